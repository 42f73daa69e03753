"""Settings that are small mappings of options: in the file, as flags, key by key, in entries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from models.options import KindOptions, NamedOptions, Option
from models.settings import Number
from pipeline.cli.declaration import entry_class
from pipeline.cli.markers import FlagOnly, Group, Help, Options, Section, SharedBy
from pipeline.cli.settings import parse
from pipeline.runtime.errors import UsageError

SCALE = (Number(1.0, low=0), "how much")
LOSSES = KindOptions({"plain": Option("as it is"), "focal": Option("less", {"gamma": SCALE})})
CHANGES = NamedOptions({"gain": Option("louder", {"db": SCALE}), "time_shift": Option(
    "later", {"least_share": SCALE})})
RUNS = SharedBy("runs", chosen_by=("run",))


def run_entries() -> list[type]:
    return [entry_class("RunEntry", {"features": str}, Settings, section="runs")]


@dataclass(frozen=True)
class Settings:
    loss: Annotated[Mapping[str, Any], Options(LOSSES), Group("loss"), RUNS, Help(
        "what is minimized")]
    noisy_loss: Annotated[Mapping[str, Any] | None, Options(LOSSES), Group("loss"),
                          RUNS, Help("of noisy clips; none: the same")]
    augment: Annotated[Mapping[str, Any], Options(CHANGES), RUNS, Help(
        "random changes")]
    runs: Annotated[Mapping[str, Any], Section("runs", run_entries), Help("KEY of the run NAME")]
    run: Annotated[str | None, FlagOnly(), Help("name of the run")] = None


TEXT = """
demo:
  loss: &loss {kind: focal, gamma: 3}
  noisy_loss: null
  augment: {gain: {db: 6}}
runs:
  plain: {features: mfcc}
  own: {features: mfcc, loss: {kind: plain}, augment: {}}
  v1.2: {features: mfcc, noisy_loss: *loss}
"""
FOCAL = {"kind": "focal", "gamma": 3.0}


@pytest.fixture
def params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the params.yaml of the current folder would lie below
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def read(params):
    return lambda *flags: parse("demo", Settings, "What it does.",
                                ["--params", str(params), *flags])


@pytest.fixture
def refused(read, params):
    def call(*flags):
        with pytest.raises(UsageError) as caught:
            read(*flags)
        return str(caught.value).replace(str(params), "FILE").split("\n")

    return call


def test_the_file_with_defaults_filled_in_and_entries_that_share_or_replace(read):
    found = read()
    assert (found.loss, found.noisy_loss, found.augment) == (FOCAL, None, {"gain": {"db": 6.0}})
    assert found.runs["plain"].loss == FOCAL
    assert found.runs["plain"].augment == {"gain": {"db": 6.0}}
    assert (found.runs["own"].loss, found.runs["own"].augment) == ({"kind": "plain"}, {})
    assert found.runs["v1.2"].noisy_loss == FOCAL


def test_a_flag_takes_yaml_and_replaces_the_mapping_everywhere(read):
    found = read("--augment", "{time_shift: {}}", "--noisy-loss", "{kind: focal}")
    assert found.augment == {"time_shift": {"least_share": 1.0}}
    assert [run.augment for run in found.runs.values()] == [found.augment] * 3
    assert found.runs["v1.2"].noisy_loss == {"kind": "focal", "gamma": 1.0}
    assert read("--noisy-loss", "none").runs["v1.2"].noisy_loss is None


@pytest.mark.parametrize("flags", [
    ("--augment.gain.db", "2"), ("--augment.gain.db=2",),
])
def test_a_dotted_flag_sets_one_key_in_the_mappings_of_all_entries(read, flags):
    found = read(*flags)
    assert found.augment == {"gain": {"db": 2.0}}
    assert found.runs["own"].augment == {"gain": {"db": 2.0}}


def test_a_dotted_flag_may_begin_a_mapping_and_writes_hyphens_for_underscores(read):
    found = read("--noisy-loss.kind", "focal", "--augment.time-shift.least-share", "0.5")
    assert found.noisy_loss == {"kind": "focal", "gamma": 1.0}
    assert found.augment == {"gain": {"db": 6.0}, "time_shift": {"least_share": 0.5}}


@pytest.mark.parametrize("flags", [
    ("--noisy_loss.kind", "focal", "--augment.time_shift.least_share", "0.5"),
    ("--noisy-loss.kind=focal", "--augment.time-shift.least-share=0.5"),
    ("--noisy_loss", "{kind: focal}", "--set", "demo.augment.time-shift.least-share=0.5",
     "--runs.own.augment.time-shift.least-share", "0.5"),
    ("--set", "demo.noisy-loss.kind=focal", "--set", "runs.own.augment.time-shift={}",
     "--runs.own.augment.time_shift.least-share", "0.5"),
])
def test_hyphens_and_underscores_are_the_same_in_flags(read, flags):
    found = read(*flags)
    assert found.noisy_loss == {"kind": "focal", "gamma": 1.0}
    assert found.runs["own"].augment == {"time_shift": {"least_share": 0.5}}


@pytest.mark.parametrize("flags", [
    ("--runs.v1.2.loss.gamma", "7"), ("--set", "runs.v1.2.loss.gamma=7"),
])
def test_an_entrys_dotted_flag_sets_one_key_in_its_mapping_or_a_copy_of_the_shared_one(read, flags):
    found = read(*flags)
    assert found.runs["v1.2"].loss == {"kind": "focal", "gamma": 7.0}
    # An alias in the file is no bond.
    assert found.runs["v1.2"].noisy_loss == FOCAL
    assert found.runs["plain"].loss == found.loss == FOCAL


def test_what_names_an_entry_wins_over_what_names_all(read):
    found = read("--runs.own.augment.gain.db", "9", "--augment.gain.db", "2",
                 "--set", "runs.plain.loss={kind: plain}", "--loss.gamma", "5",
                 "--set", "runs.own.loss={kind: focal}")
    assert found.runs["own"].augment == {"gain": {"db": 9.0}}
    assert found.runs["plain"].augment == {"gain": {"db": 2.0}}
    assert found.runs["plain"].loss == {"kind": "plain"}
    assert found.runs["own"].loss == {"kind": "focal", "gamma": 1.0}
    assert found.runs["v1.2"].loss["gamma"] == 5


def test_with_a_chosen_entry_flags_are_for_it_alone(read, refused):
    # Of run own the loss is plain, which has no gamma.
    found = read("--run", "v1.2", "--loss.gamma", "5", "--noisy-loss.gamma", "4")
    assert found.runs["v1.2"].loss == {"kind": "focal", "gamma": 5.0}
    assert found.runs["v1.2"].noisy_loss == {"kind": "focal", "gamma": 4.0}
    assert found.runs["own"].loss == {"kind": "plain"}
    assert found.loss == found.runs["plain"].loss == FOCAL
    assert refused("--run", "own", "--loss.gamma", "5") == [
        "--loss.gamma is no setting of plain, which has none"
    ]
    found = read("--run", "own", "--loss", "{kind: focal}", "--loss.gamma", "5")
    assert found.runs["own"].loss == {"kind": "focal", "gamma": 5.0}
    # A run that is not in the file is made of the stage's own settings.
    found = read("--run", "new", "--loss.gamma", "5")
    assert found.loss == {"kind": "focal", "gamma": 5.0}
    assert found.runs["own"].loss == {"kind": "plain"}


@pytest.mark.parametrize("flags", [
    ("--loss.kind", "focal", "--loss.gamma", "2"), ("--loss.gamma", "2", "--loss.kind", "focal"),
])
def test_another_kind_drops_the_settings_of_the_one_before(read, flags):
    assert read("--loss.kind", "plain").loss == {"kind": "plain"}
    assert read("--set", "runs.v1.2.noisy_loss.kind=plain").runs["v1.2"].noisy_loss == {
        "kind": "plain"}
    assert read("--run", "own", *flags).runs["own"].loss == {"kind": "focal", "gamma": 2.0}
    assert read("--loss.kind", "focal").loss == FOCAL  # the kind that it is


def test_set_of_the_section_is_as_in_the_file(read):
    found = read("--set", "demo.loss.gamma=5", "--demo.augment.gain.db", "1")
    assert found.loss["gamma"] == found.runs["plain"].loss["gamma"] == 5
    assert found.runs["own"].augment == {}


def test_all_that_is_wrong_is_said_once_with_its_place(refused):
    assert refused("--loss.gamma", "-1", "--noisy-loss", "5", "--runs.plain.augment.gian.db", "1",
                   "--runs.own.loss", "{kind: foca}") == [
        "--loss.gamma is -1: needs a number, at least 0",
        "--noisy-loss is 5: needs a mapping such as "
        "{kind: plain}",
        "--runs.plain.augment.gian is unknown; did you mean "
        "gain?",
        "--runs.own.loss.kind is 'foca': did you mean focal?",
    ]


def test_yaml_that_is_none_is_refused(refused, read, capsys):
    assert refused("--loss.gamma", "[") == ["--loss.gamma: '[' is not valid YAML"]
    with pytest.raises(SystemExit):
        read("--loss", "{")
    assert "--loss: '{' is not valid YAML" in capsys.readouterr().err


def test_help_groups_flags_and_explains_options(read, capsys):
    with pytest.raises(SystemExit):
        read("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "loss: --loss {...} what is minimized (default: {kind: focal, gamma: 3})" in text
    assert "of focal: how much (a number, at least 0; default: 1.0)" in text
    assert "--augment.gain.KEY" in text
    assert "--augment.time-shift.KEY" in text
    assert "_" not in "".join(re.findall(r"--[\w.-]+", text)).replace("--batch_size", "")
    assert "hyphens or underscores: --batch-size is --batch_size" in text


def test_a_wrong_value_is_named_as_it_was_given(refused, params):
    params.write_text(TEXT.replace("noisy_loss: null", "noisy_loss: {kind: foca}"))
    assert refused("--loss.gamma", "-1") == [
        "--loss.gamma is -1: needs a number, at least 0",
        "FILE: demo.noisy_loss.kind is 'foca': did you mean focal?",
        "--loss.gamma is no setting of plain, which has none",
    ]
    params.write_text(TEXT)
    assert refused("--runs.own.loss", "{kind: focal, gamma: x}", "--set", "demo.loss.gamma=-3") == [
        "--set demo.loss.gamma is -3: needs a number, at least 0",
        "--runs.own.loss.gamma is 'x': needs a number, at least 0",
    ]
    assert refused("--set", "runs.own.loss.gama=2", "--run", "v1.2", "--loss", "{kind: focl}") == [
        "--set runs.own.loss.gama is no setting of plain, which has none",
        "--loss.kind is 'focl': did you mean focal?",
    ]
