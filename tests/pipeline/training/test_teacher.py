"""Folds that are trained on a teacher's labels are trained again where these change."""

import numpy as np
import pytest

from pipeline.dataset.tables import Label
from pipeline.pseudo_labelling.student import pseudo_label_digests
from pipeline.runs.folder import RunFolder
from pipeline.runs.identity import fold_identity, unfinished_folds
from pipeline.runs.scores import Scores, save
from pipeline.runtime.errors import UsageError
from pipeline.training.train_run import _taught

CLASSES = ("Bark", "Meow")
TRAINING = (Label("a", ("Bark",), "curated", 1, ""), Label("b", ("Bark",), "noisy", None, ""),
            Label("c", ("Meow",), "noisy", None, ""))


def write_labels(run, fold, ids, value=0.5):
    path = run.fold(fold).pseudo_labels
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, Scores(ids, CLASSES, np.full((len(ids), 2), value, np.float32)))
    return path


def test_another_label_of_one_fold_retrains_that_fold_alone(tmp_path):
    run = RunFolder(tmp_path, "student")

    def identity():
        return {"seed": 0, "pseudo_labels": pseudo_label_digests(run, (0, 1))}

    for fold in (0, 1):
        write_labels(run, fold, ("b",))
        run.fold(fold).begin(fold_identity(identity(), fold))
        for path in (run.fold(fold).model, run.fold(fold).oof, run.fold(fold).history):
            path.touch()
        run.fold(fold).finish()
    assert unfinished_folds(run, identity(), (0, 1), resume=False) == ([], [])
    write_labels(run, 1, ("b",), value=0.25)
    left, notes = unfinished_folds(run, identity(), (0, 1), resume=False)
    assert left == [1]
    assert "the teacher gives other labels" in notes[0]


def test_clips_without_a_label_are_left_out_and_missing_files_are_all_listed(tmp_path):
    run = RunFolder(tmp_path, "student")
    paths = {0: write_labels(run, 0, ("c",)), 1: run.fold(1).pseudo_labels,
             2: write_labels(run, 2, ("x",))}
    splits = dict.fromkeys(paths, (TRAINING, ()))
    result, notes = _taught(splits, {0: paths[0]}, CLASSES)
    assert [x.clip_id for x in result[0][0]] == ["a", "c"]
    assert "fold 0: 1 noisy clips without a label" in notes[0]
    with pytest.raises(UsageError) as caught:
        _taught(splits, paths, CLASSES)
    assert f"{paths[1]}: no such file" in str(caught.value)
    assert "label for none of the noisy clips" in str(caught.value)
