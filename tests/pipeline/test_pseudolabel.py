"""The stage between two trainings: which teachers it takes, and what it writes for each fold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline import pseudolabel
from pipeline.dataset.tables import read_labels, write_labels
from pipeline.pseudo_labelling.methods import given_labels, sharpen
from pipeline.pseudo_labelling.teacher import check_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import load
from pipeline.runtime.errors import UsageError


@pytest.fixture
def data(scored_data, monkeypatch):
    result = scored_data().add_run("mfcc", strength=4.0, settings={"noisy": False})
    monkeypatch.chdir(result.root)
    (result.root / "params.yaml").write_text(
        "follow_ups:\n  student: {follows: mfcc, teacher: mfcc, features: mfcc}\n"
        "  tuned: {follows: mfcc, start_from: mfcc, features: mfcc}\n")
    return result


def run(data, **changed):
    pseudolabel.run(pseudolabel.Settings(**{
        "runs_dir": data.root / "runs", "data": data.root / "prepared", "method": "agreement",
        "threshold": 1.0, "keep": None, "temperature": 0.5, "min_confidence": 0.0,
        "run": "student", **changed,
    }))


def labels_of(data, fold, run="student"):
    return load(RunFolder(data.root / "runs", run).fold(fold).pseudo_labels, made_by="")


def test_agreement_keeps_right_labels_and_leaves_out_wrong_ones(data, capsys):
    run(data)
    wrong = [clip for i, clip in enumerate(sorted(data.of("noisy"))) if i % 3 == 0]
    for fold in data.folds:
        kept = labels_of(data, fold)
        assert 10 < len(kept.clip_ids) < 25
        assert len(set(kept.clip_ids) & set(wrong)) <= 2
        np.testing.assert_array_equal(kept.values, given_labels(data.labels, kept))
    assert "fold 1: " in capsys.readouterr().out
    summary = (data.root / "runs/student/pseudo_labels/summary.csv").read_text().splitlines()
    assert len(summary) == 3
    assert summary[1].startswith("0,mfcc,agreement,1.0,,0.5,0.0,30,")


def test_a_folds_labels_come_from_the_teachers_network_of_that_fold(data):
    run(data, method="pseudo")
    teacher = RunFolder(data.root / "runs", "mfcc")
    for fold in data.folds:
        scores = load(teacher.fold(fold).predicted("noisy"), made_by="")
        expected = sharpen(scores.values.astype(float), 0.5, single=False)
        np.testing.assert_allclose(labels_of(data, fold).values, expected, rtol=1e-6)
    assert (labels_of(data, 0).values != labels_of(data, 1).values).any()


def test_a_run_of_its_own_needs_a_teacher(data):
    run(data, run="other", teacher="mfcc", method="mix")
    assert len(labels_of(data, 0, "other").clip_ids) == 30
    with pytest.raises(UsageError, match=r"no run 'studnt' .*did you mean student\?.*--teacher"):
        run(data, run="studnt")
    with pytest.raises(UsageError, match=r"no run is named; needs .*: student, tuned"):
        run(data, run=None)


def test_a_run_without_a_teacher_has_an_empty_folder(data, capsys):
    run(data, run="tuned", teacher="mfcc")
    run(data, run="tuned")
    assert list((data.root / "runs/tuned/pseudo_labels").iterdir()) == []
    assert "nothing to do: tuned has no teacher" in capsys.readouterr().out


def test_teachers_that_know_the_noisy_labels_are_refused(data):
    data.add_run("seen", settings={"noisy": True})
    with pytest.raises(UsageError, match="runs/seen was trained on the noisy clips"):
        run(data, teacher="seen")
    data.add_run("later", settings={"noisy": False, "start_from": "seen"})
    with pytest.raises(UsageError, match="later begins with the weights of seen, which was"):
        run(data, teacher="later")
    data.add_run("logmel").add_ensemble("mfcc", "logmel")
    with pytest.raises(UsageError, match=r"is an ensemble.*mfcc, logmel"):
        run(data, teacher="ensemble")
    assert not (data.root / "runs/student").exists()


def test_scores_that_are_missing_or_of_other_data(data):
    with pytest.raises(UsageError, match=r"has no run 'mfc'; did you mean mfcc\?"):
        run(data, teacher="mfc")
    labels = read_labels(data.root / "prepared")
    write_labels(data.root / "prepared", [x for x in labels if x.clip_id != "n000.wav"])
    with pytest.raises(UsageError, match=r"no such noisy clips: n000\.wav"):
        run(data)
    (data.root / "runs/mfcc/noisy/1.npz").unlink()
    write_labels(data.root / "prepared", labels)
    with pytest.raises(UsageError, match=r"mfcc/noisy/1\.npz: no such file; .*predict --run mfcc"):
        run(data)
    assert not (data.root / "runs/student").exists()


def test_the_same_scores_give_the_same_bytes_and_old_folds_go(data):
    folder = data.root / "runs/student/pseudo_labels"
    run(data)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "7.npz").write_bytes(b"of an earlier teacher")
    run(data)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert json.loads((data.root / "runs/mfcc/run.json").read_text())["folds"] == [0, 1]


def moved(labels):
    """The labels with the first two curated clips in each other's folds."""
    first = {}
    for label in labels:
        if label.fold is not None:
            first.setdefault(label.fold, label)
    folds = {first[0].clip_id: 1, first[1].clip_id: 0}
    return [replace(x, fold=folds.get(x.clip_id, x.fold)) for x in labels]


def test_a_teacher_of_other_folds_has_seen_validation_clips(data):
    write_labels(data.root / "prepared", moved(read_labels(data.root / "prepared")))
    with pytest.raises(UsageError, match="mfcc, fold 0: 1 clips are in another fold"):
        run(data)
    assert not (data.root / "runs/student").exists()


def test_labels_must_be_what_the_teacher_says_now(data):
    runs, labels = data.root / "runs", data.labels
    student, teacher = RunFolder(runs, "student"), RunFolder(runs, "mfcc")
    check_labels(student, teacher, labels)  # there are none, which train says
    run(data)
    check_labels(student, teacher, labels)
    with pytest.raises(UsageError, match="the labels are those of mfcc, not of the teacher logmel"):
        check_labels(student, RunFolder(runs, "logmel"), labels)
    by_id = {x.clip_id: x for x in moved(labels.values())}
    with pytest.raises(UsageError, match="mfcc, fold 0: 1 clips are in another fold"):
        check_labels(student, teacher, by_id)
    path = teacher.fold(1).predicted("noisy")
    path.write_bytes(teacher.fold(0).predicted("noisy").read_bytes())
    with pytest.raises(UsageError, match="labels of fold 1 are made of other scores") as caught:
        check_labels(student, teacher, labels)
    assert "fold 0" not in str(caught.value)
    assert "pseudolabel --run student --teacher mfcc" in str(caught.value)
    summary = student.pseudo_labels / "summary.csv"
    for old, new, message in (("fold,", "fld,", "needs the columns"),
                              ("1,mfcc", "x,mfcc", "fold is 'x'")):
        before = summary.read_text()
        summary.write_text(before.replace(old, new, 1))
        with pytest.raises(UsageError, match=rf"summary\.csv:\d: {message}.*pseudolabel --run"):
            check_labels(student, teacher, labels)
        summary.write_text(before)
