"""All that is wrong with the runs of a file is listed at once, before any data is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.params_file import PARAMS
from pipeline.cli.settings import parse
from pipeline.runtime.errors import UsageError
from pipeline.train import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the project's params.yaml, where settings are read."""
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text((ROOT / PARAMS).read_text())
    return tmp_path


@pytest.fixture
def refused(folder):
    """The lines about a recipe with these sections, or about flags."""
    def call(text="", *flags):
        Path("r.yaml").write_text(text)
        with pytest.raises(UsageError) as caught:
            parse("train", Settings, "", ["--params", "r.yaml", *flags])
        return str(caught.value).split("\n")

    return call


@pytest.fixture
def accepted(folder):
    def call(text="", *flags):
        Path("r.yaml").write_text(text)
        return parse("train", Settings, "", ["--params", "r.yaml", *flags])

    return call


def test_everything_wrong_of_every_run_is_one_list(refused):
    lines = refused("""
        inspect: {top: 3}
        train: {epochs: 12, noisy_head: true}
        runs:
          typo: {features: mfcc, epochs: many}
          network: {features: mfcc, model: cnn, network: {sise: tiny, dropout: 3}}
          schedule: {features: mfcc, schedule: {kind: cosine, cycles: 5}}
          order: {features: mfcc, seconds_max: 0.5, start_from: typo}
          feature: {features: mfc}
          model: {features: waveform, model: cnn, augment: {mel_warp: {}}}
        follow_ups:
          next: {features: mfcc, follows: typo, teacher: typo}
        """, "--run", "zz", "--set", "machine.jobs=0")
    assert lines == [
        "r.yaml: unknown section inspect; inspect is set by flags alone",
        "r.yaml: runs.typo.epochs is 'many': needs a whole number",
        "--jobs is 0; it needs 1 or more, or -1 for one per CPU core",
        "no run 'zz' in r.yaml; known: typo, network, schedule, order, feature, model, next. A run "
        "that is not in there needs --features too",
        "r.yaml: runs.order.start_from: typo names another run: move order into section "
        "follow_ups, with follows: typo",
        "r.yaml: train.noisy_head: true contradicts train.noisy: false; it is for noisy clips",
        "r.yaml: runs.network.network.sise is no setting of cnn; did you mean size?",
        "r.yaml: runs.network.network.dropout is 3: needs a number, at least 0, below 1",
        "r.yaml: runs.schedule.schedule.cycles is 5: needs a divisor of the number of epochs, 12",
        "r.yaml: runs.order.seconds_max: 0.5 is less than train.seconds: 2.0",
        "r.yaml: runs.feature.features is 'mfc': no such feature; did you mean mfcc?",
        "r.yaml: runs.model.model is cnn: takes frames of several values, unlike feature waveform; "
        "needs one of conv1d, dummy1d, resnet1d",
        "r.yaml: runs.model.augment.mel_warp needs frames of several values, not waves "
        "(feature waveform)",
        "r.yaml: follow_ups.next.teacher: typo contradicts train.noisy: false; it is for noisy "
        "clips",
    ]


@pytest.mark.parametrize(("flags", "lines"), [
    (("--seconds-max", "0.5", "--no-curated"), [
        "--seconds-max 0.5 is less than train.seconds: 2.0",
        "--no-curated and train.noisy: false leave no clips to train on"]),
    (("--noisy-share", "0.01"), [
        "--noisy-share 0.01 contradicts train.noisy: false; it needs curated and noisy clips"]),
    (("--noisy-share", "0.01", "--noisy"), [
        "--noisy-share 0.01 of train.batch_size: 16 is 0 noisy clips per batch; a batch needs at "
        "least one noisy and one curated clip"]),
    (("--noisy-head", "--noisy", "--no-curated"), [
        "--noisy-head contradicts --no-curated; nothing would train the output layer that is "
        "kept"]),
    (("--noisy-loss.kind", "lsoft", "--runs.mfcc.teacher", "cnn"), [
        "--runs.mfcc.teacher cnn names another run: give another --run, with --features",
        "--noisy-loss contradicts train.noisy: false; it is for noisy clips",
        "--runs.mfcc.teacher cnn contradicts train.noisy: false; it is for noisy clips"]),
    (("--validate-every", "2", "--schedule", "{kind: plateau}"), [
        "--validate-every 2 contradicts train.keep: best, which needs a validation after every "
        "epoch",
        "--validate-every 2 contradicts --schedule.kind plateau, which needs a validation after "
        "every epoch"]),
    (("--averaging.kind", "snapshots"), [
        "--averaging.kind snapshots contradicts train.keep: best; it needs last",
        "--averaging.kind snapshots contradicts train.schedule.kind: constant; it needs cosine"]),
    (("--averaging.kind", "snapshots", "--keep", "last", "--schedule.kind", "cosine",
      "--schedule.cycles", "2"), ["--averaging.last 3 is more than --schedule.cycles 2"]),
    (("--augment", "{gain: {}, mixup: {domain: power}}", "--model", "conv1d"), [
        "--model is conv1d: takes waves, unlike feature mfcc; needs one of cnn, conv2d, crnn, "
        "densenet, dummy2d, mobilenet_v2, se_resnet",
        "--augment.gain needs frequency bands, not coefficients or deltas (feature mfcc)",
        "--augment.mixup.domain is power: needs frequency bands, not coefficients or deltas "
        "(feature mfcc)"]),
    (("--network.size", "tiny"), ["--network.size is no setting of conv2d, which has none"]),
])
def test_what_flags_make_wrong_is_named_as_they_were_written(refused, flags, lines):
    assert refused("", "--run", "mfcc", *flags) == lines


def test_a_run_of_flags_alone_is_checked_too(refused):
    assert refused("", "--features", "logmel", "--run", "new", "--schedule.kind", "cosine",
                   "--schedule.warmup-epochs", "30", "--batch-size", "0") == [
        "--batch-size is 0: needs a whole number, at least 1"]
    assert refused("", "--features", "logml", "--run", "new", "--schedule.kind", "cosine",
                   "--schedule.warmup-epochs", "30") == [
        "--schedule.warmup-epochs is 30: needs less than the number of epochs, 20",
        "--features is 'logml': no such feature; did you mean logmel?"]


def test_flags_for_one_run_say_nothing_of_the_others(accepted):
    found = accepted("runs: {a: {features: waveform}, b: {features: mfcc, epochs: 9}}", "--run",
                     "b", "--model", "cnn", "--network.size", "tiny", "--epochs", "3",
                     "--schedule.kind", "cosine", "--schedule.cycles", "3").runs
    assert (found["a"].model, found["a"].network, found["a"].epochs) == (None, {}, 20)
    assert (found["b"].model, found["b"].epochs) == ("cnn", 3)


FOLLOW_UPS = """
runs: {base: {features: mfcc}, other: {features: mfcc}}
follow_ups: {next: {features: mfcc, noisy: true, %s}}
"""


@pytest.mark.parametrize(("entry", "line"), [
    ("follows: base", "follows: base, but nothing is taken from it; needs start_from: base or "
     "teacher: base, or the section runs"),
    ("follows: base, start_from: base, teacher: other",
     "teacher: other is not the run that next follows, base"),
    ("follows: bse, start_from: bse",
     "follows: bse is no other run of the sections runs and follow_ups; did you mean base?"),
    ("follows: next, start_from: next",
     "follows: next is no other run of the sections runs and follow_ups; known: base, other"),
])
def test_follow_ups_that_cannot_be(refused, entry, line):
    assert refused(FOLLOW_UPS % entry) == [f"r.yaml: follow_ups.next.{line}"]


def test_a_name_is_of_one_run(refused):
    assert refused("follow_ups: {mfcc: {features: mfcc, follows: cnn, start_from: cnn}}")[0] == (
        "mfcc is in the sections runs and follow_ups; give one another name")


@pytest.mark.parametrize("flags", [
    ("--model", "crnn"), ("--runs.cnn.model", "crnn"), ("--set", "runs.cnn.model=crnn"),
    ("--model", "conv2d"),
])
def test_another_model_drops_the_settings_of_the_files_network(accepted, flags):
    assert accepted("", "--run", "cnn").runs["cnn"].network == {"size": "tiny", "stem_stride": 2}
    assert accepted("", "--run", "cnn", *flags).runs["cnn"].network == {}


@pytest.mark.parametrize(("flags", "network"), [
    (("--model", "crnn", "--network.size", "medium"), {"size": "medium"}),
    (("--network", "{size: medium}", "--model", "crnn"), {"size": "medium"}),
    (("--runs.cnn.network.size", "medium", "--runs.cnn.model", "crnn"), {"size": "medium"}),
    (("--model", "cnn", "--network.size", "medium"), {"size": "medium", "stem_stride": 2}),
])
def test_settings_given_with_another_model_are_its_own(accepted, flags, network):
    assert accepted("", "--run", "cnn", *flags).runs["cnn"].network == network


def test_settings_of_section_trains_network_are_dropped_alike(accepted):
    text = "train: {model: cnn, network: {size: tiny, stem_stride: 2}}\nruns: {a: {features: mfcc}}"
    assert accepted(text).runs["a"].network == {"size": "tiny", "stem_stride": 2}
    for flags in (("--model", "crnn"), ("--run", "a", "--model", "crnn"),
                  ("--set", "train.model=crnn")):
        assert accepted(text, *flags).runs["a"].network == {}
    # One that the run has in the file is the user's own business.
    assert accepted(text.replace("mfcc}", "mfcc, model: crnn, network: {size: small}}"),
                    "--set", "train.model=conv2d").runs["a"].network == {"size": "small"}


def test_a_file_in_which_features_are_missing_or_broken(refused, accepted):
    assert accepted("features: {mfcc: {kind: mfc}, waveform: {}, logmel: 3}").runs
    assert refused("features: {a: {kind: mfcc}}\nruns: {r: {features: b}}") == [
        "r.yaml: runs.r.features is 'b': no such feature; known: a"]
    assert accepted("features: {a: {kind: delta, of: a}}\nruns: {r: {features: a}}").runs


@pytest.mark.parametrize(("text", "line"), [
    ("train: 5", "r.yaml: no section 'train' with the stage's settings"),
    ("runs: 5", "r.yaml: no section 'runs'"),
    ("follow_ups:", "r.yaml: no section 'follow_ups'"),
    ("features: 3", "r.yaml: no section 'features'"),
])
def test_sections_that_are_none(refused, text, line):
    assert refused(text, "--run", "cnn", "--model", "crnn") == [line]
