"""Which run a command names, and what it is trained with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.runs.choice import choice_problems, choose_run
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Entry:
    features: str
    start_from: str | None = None


@dataclass(frozen=True)
class FollowUp(Entry):
    follows: str = ""


RUNS = {"base": Entry("mfcc"), "broken": None}


@dataclass(frozen=True)
class Settings:
    run: str | None = None
    features: str | None = None
    runs: dict = field(default_factory=lambda: RUNS)
    follow_ups: dict = field(default_factory=dict)
    runs_dir: Path = Path("runs")
    start_from: str | None = None


def test_a_follow_up_is_chosen_like_a_run():
    entry = FollowUp("mfcc", "base", follows="base")
    folder, chosen = choose_run(Settings(run="next", follow_ups={"next": entry}), Entry)
    assert folder.name == "next"
    assert chosen is entry


def test_flags_may_build_on_another_run_under_a_name_of_their_own():
    settings = Settings(run="try", features="mfcc", start_from="base")
    assert choose_run(settings, Entry)[1] == Entry("mfcc", "base")


def test_a_run_has_to_be_named():
    with pytest.raises(UsageError, match="give --run NAME, one of base, broken"):
        choose_run(Settings(), Entry)


@pytest.mark.parametrize(("run", "features", "problems"), [
    (None, None, []), ("base", None, []), ("base", "mfcc", []), ("new", "mfcc", []),
    (None, "mfcc", []), ("broken", "mfcc", []),
    ("bse", None, ["no run 'bse' in r.yaml; did you mean base?. "
                   "A run that is not in there needs --features too"]),
    ("base", "logmel", ["run base is on mfcc in r.yaml, not on logmel; give another --run"]),
    ("a/b", "mfcc", ["--run is 'a/b'; needs the name of a folder, not a path or hidden"]),
])
def test_names_that_choose_a_run(run, features, problems):
    assert choice_problems(run, features, RUNS, params=Path("r.yaml")) == problems
