import numpy as np
import pytest

from pipeline.diagnostics.reported_runs import read_run
from pipeline.diagnostics.run_differences import compare
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import load, save, select
from pipeline.runtime.errors import UsageError
from pipeline.scoring.metrics import lwlrap, per_class_lwlrap


def read(data, name):
    return read_run(RunFolder(data.root / "runs", name), data.labels, seed=0, resamples=20)


def test_two_runs_are_compared_on_the_clips_that_both_have(scored_data):
    data = scored_data().add_run("weak", strength=0.5).add_run("strong", seed=1, strength=4)
    path = data.root / "runs/weak/folds/1/oof.npz"
    scores = load(path, made_by="")
    save(path, select(scores, scores.clip_ids[:0:-1], scores.classes))
    oof, test = compare(read(data, "weak"), read(data, "strong"), seed=0, resamples=100)
    assert (oof.clips, test.clips) == ("oof", "test")
    assert len(oof.truth) == 59
    assert len(test.truth) == 19
    values = [lwlrap(oof.truth, s.values) for s in (oof.old, oof.new)]
    assert oof.overall[0] == pytest.approx(values[1] - values[0])
    assert 0 < oof.overall[1] < oof.overall[0] < oof.overall[2]
    per_class = [per_class_lwlrap(oof.truth, s.values)[0] for s in (oof.old, oof.new)]
    np.testing.assert_allclose(oof.per_class[:, 0], per_class[1] - per_class[0])
    gaps = np.abs(np.diff(oof.per_clip[oof.furthest]))[:, 0]
    assert (np.diff(gaps) <= 0).all()
    assert gaps.min() > 0


def test_a_run_does_not_differ_from_itself(scored_data):
    run = read(scored_data().add_run("mfcc"), "mfcc")
    for each in compare(run, run, seed=0, resamples=20):
        assert each.overall.tolist() == [0, 0, 0]
        assert len(each.furthest) == 0


def test_runs_without_a_common_clip_are_refused(scored_data):
    data = scored_data().add_run("a").add_run("b")
    for name, fold in (("a", 1), ("b", 0)):
        (data.root / f"runs/{name}/folds/{fold}/oof.npz").unlink()
        (data.root / f"runs/{name}/test/{fold}.npz").unlink()
        data.write_facts(name, kind="train", folds=[1 - fold])
    with pytest.raises(UsageError, match="a and b have no oof clip in common"):
        compare(read(data, "a"), read(data, "b"), seed=0, resamples=20)
