import numpy as np
import pytest

from pipeline.diagnostics.ensemble_steps import ensemble_steps
from pipeline.diagnostics.reported_runs import read_run
from pipeline.ensembling.means import mean_over_folds
from pipeline.runs.folder import RunFolder
from pipeline.scoring.evaluation import paired_gain, truth_of
from pipeline.scoring.metrics import lwlrap


def read(data, name):
    return read_run(RunFolder(data.root / "runs", name), data.labels, seed=0, resamples=20)


def steps(data, name):
    return ensemble_steps(read(data, name), seed=0, resamples=50)


def test_a_run_gains_over_its_folds(scored_data):
    data = scored_data().add_run("mfcc")
    (step,) = steps(data, "mfcc")
    folder = RunFolder(data.root / "runs", "mfcc")
    _, folds = folder.load()
    labelled = [i for i, c in enumerate(folds[0].clip_ids) if data.labels[c].labels]
    truth = truth_of(data.labels, read(data, "mfcc").sets["test"].scores)
    single = [lwlrap(truth, scores.values[labelled]) for scores in folds]
    mean = lwlrap(truth, mean_over_folds("", folds, single=False).values[labelled])
    assert step.clips == "test"
    assert step.value == pytest.approx(mean)
    assert step.gain == pytest.approx(mean - np.mean(single))
    assert step.low < step.gain < step.high
    assert (step.new, step.old) == ("mean of 2 folds", "a single fold")


def test_members_are_added_best_first(scored_data):
    data = (scored_data().add_run("weak", strength=0.5).add_run("best", seed=1, strength=3)
            .add_run("middle", seed=2, strength=1.5))
    data.add_ensemble("weak", "best", "middle")
    found = steps(data, "ensemble")
    assert [(s.clips, s.new, s.old) for s in found] == [
        (clips, *names) for clips in ("oof", "test") for names in (
            ("+ middle", "best"), ("+ weak", "best + middle"), ("ensemble", "best"))
    ]
    first, second, total = found[:3]
    assert total.gain == pytest.approx(first.gain + second.gain)
    assert second.value == total.value
    result = read(data, "ensemble").sets["oof"]
    best = read(data, "best").sets["oof"].scores
    assert best.clip_ids == result.scores.clip_ids
    expected = paired_gain(result.truth, result.scores.values, best.values, seed=0, resamples=50)
    assert (total.gain, total.low, total.high) == pytest.approx(expected)


def test_weights_and_stacking_are_compared_with_a_plain_mean(scored_data):
    data = scored_data().add_run("mfcc").add_run("logmel", seed=1)
    data.add_ensemble("mfcc", "logmel", weights=(3.0, 1.0))
    assert [s.old for s in steps(data, "ensemble") if s.clips == "oof"][1:] == ["equal weights"]
    folder = RunFolder(data.root / "runs", "ensemble")
    record = folder.read()
    oof, tests = folder.load()
    for method in ("stack", "blend", "boost"):
        object.__setattr__(record, "method", method)
        folder.write_ensemble(record, oof, tests[0])
        found = [s for s in steps(data, "ensemble") if s.clips == "oof"]
        assert [s.new for s in found] == ["plain geometric mean of 2 runs", f"ensemble ({method})"]


def test_nothing_to_compare(scored_data):
    data = scored_data().add_run("mfcc", test=False).add_run("logmel", test=False)
    assert steps(data, "mfcc") == []
    data.add_ensemble("mfcc", "logmel")
    assert {s.clips for s in steps(data, "ensemble")} == {"oof"}
    (data.root / "runs" / "mfcc" / "run.json").unlink()
    assert steps(data, "ensemble") == []
