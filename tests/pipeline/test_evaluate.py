import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import evaluate
from pipeline.dataset.tables import Dataset, Label, read_labels, write_dataset, write_labels
from pipeline.runs.scores import Scores, load, save, select
from pipeline.runs.staleness import digests
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.scoring import evaluation, metrics

ROOT = Path(__file__).parents[2]
CLASSES = ("Bark", "Rain", "Thunder", "Zither")
N_CURATED, FOLDS = 40, 2
HISTORY = "epoch,loss,val_loss,lwlrap,val_lwlrap\n0,1.0,2.0,0.1,0.2\n1,0.5,1.5,0.3,0.4\n"


def label(clip, *labels, split="curated", fold=None, usage=""):
    return Label(clip, labels, split, fold, usage)


def scores_of(clips, values):
    return Scores(tuple(clips), CLASSES, np.asarray(values, np.float32))


def prepare(root, labels, label_mode="multi"):
    (root / "prepared").mkdir(exist_ok=True)
    write_dataset(root / "prepared", Dataset(root, "fsdkaggle2019", CLASSES, label_mode))
    write_labels(root / "prepared", labels)


def make(root, label_mode="multi"):
    """prepared/ and runs/mfcc; the test clips t0 to t9 are public, to t19 private, t20 unknown."""
    rng = np.random.default_rng(4)
    labels = []
    for k in range(N_CURATED):
        n = 1 if label_mode == "single" or k % 3 else 2
        drawn = sorted(rng.choice(3, n, replace=False))  # no clip has the last class
        labels.append(label(f"c{k:02}", *(CLASSES[i] for i in drawn), fold=k % FOLDS))
    labels += [label(f"t{k:02}", CLASSES[k % 3], split="test",
                     usage="Public" if k < 10 else "Private") for k in range(20)]
    labels += [label("t20", split="test"), label("n00", "Rain", split="noisy")]
    prepare(root, labels, label_mode)
    run = root / "runs" / "mfcc"
    for fold in range(FOLDS):
        clips = [f"c{k:02}" for k in range(fold, N_CURATED, FOLDS)]
        save(run / f"folds/{fold}/oof.npz", scores_of(clips, rng.random((len(clips), 4))))
        clips = [f"t{k:02}" for k in range(21)]
        save(run / f"test/{fold}.npz", scores_of(clips, rng.random((21, 4))))
        (run / f"folds/{fold}/history.csv").write_text(HISTORY)
    write_facts(run, label_mode=label_mode)
    return root


def write_facts(run, **changed):
    content = {"classes": CLASSES, "label_mode": "multi", "folds": list(range(FOLDS)), **changed}
    (run / "run.json").write_text(json.dumps(content))


@pytest.fixture
def made_up(tmp_path):
    return make(tmp_path)


def settings(root, out="reports", **changed):
    result = evaluate.Settings(runs_dir=root / "runs", runs=("mfcc",), data=root / "prepared",
                             out=root / out, seed=0, resamples=50)
    return dataclasses.replace(result, **changed)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# ---- numbers


def test_truth_goes_by_clip_and_class():
    labels = {"a": label("a", "Zither"), "b": label("b", "Rain", "Bark")}
    truth = evaluation.truth_of(labels, scores_of(["b", "a"], np.zeros((2, 4))))
    assert truth.tolist() == [[True, True, False, False], [False, False, False, True]]


def test_truth_that_is_not_known_is_an_error():
    scores = scores_of(["a", "b"], np.zeros((2, 4)))
    with pytest.raises(UsageError, match=r"no labels for 2 clips that have scores: a, b"):
        evaluation.truth_of({"a": label("a", split="test")}, scores)
    labels = {"a": label("a", "Dog"), "b": label("b", "Rain")}
    with pytest.raises(UsageError, match="does not know: Dog"):
        evaluation.truth_of(labels, scores)


def test_subsets_leave_out_unknown_truth_silently_and_missing_scores_with_a_note():
    labels = {x.clip_id: x for x in (
        label("a", "Rain", fold=0), label("b", "Rain", fold=0), label("c", "Rain", fold=1),
        label("n", "Rain", split="noisy"),
        label("t", "Rain", split="test", usage="Public"), label("u", split="test"),
        label("v", "Bark", split="test", usage="Private"),
        label("w", "Bark", split="test", usage="Private"),
    )}
    oof = scores_of(["a"], np.zeros((1, 4)))
    test = scores_of(["w", "u", "t"], np.zeros((3, 4)))
    found, notes = evaluation.subsets(oof, test, labels)
    assert {k: s.clip_ids for k, s in found.items()} == {
        "oof": ("a",), "test": ("t", "w"), "public": ("t",), "private": ("w",)
    }
    # Fold 1 was not trained, so c is not expected.
    assert notes == ["oof: 1 labelled clips have no scores and are left out: b",
                     "test: 1 labelled clips have no scores and are left out: v"]
    assert list(evaluation.subsets(oof, None, labels)[0]) == ["oof"]


def test_a_result_is_what_metrics_say():
    rng = np.random.default_rng(0)
    truth = np.eye(4, dtype=bool)[rng.integers(3, size=30)]
    values = rng.random((30, 4)).astype(np.float32)
    result = evaluation.measure("x", scores_of(map(str, range(30)), values), truth, single=True,
                                seed=3, resamples=40)
    s = result.summary
    assert s["clips"] == 30
    assert s["lwlrap"] == pytest.approx(metrics.lwlrap(truth, values), abs=1e-6)
    assert s["map_at_3"] == pytest.approx(metrics.map_at_3(truth, values), abs=1e-6)
    assert s["accuracy"] == pytest.approx(metrics.accuracy(truth, values), abs=1e-6)
    assert s["lwlrap_low"] < s["lwlrap"] < s["lwlrap_high"]
    per_class, _ = metrics.per_class_lwlrap(truth, values)
    np.testing.assert_array_equal(result.per_class[:, 0], per_class)
    assert np.isnan(result.per_class[3]).all()
    assert (result.per_class[:3, 1] <= result.per_class[:3, 0]).all()
    assert (result.per_class[:3, 0] <= result.per_class[:3, 2]).all()


def test_a_paired_gain_by_hand():
    truth = np.eye(2, dtype=bool)[[0, 1, 0, 1]]
    right, errors = truth.astype(float), 1 - truth.astype(float)
    assert evaluation.paired_gain(truth, right, errors, seed=0, resamples=9) == (0.5, 0.5, 0.5)
    assert evaluation.paired_gain(truth, errors, errors, seed=0, resamples=9) == (0, 0, 0)
    gain, low, high = evaluation.paired_gain(truth, np.where([[1], [0], [1], [0]], right, errors),
                                             errors, seed=0, resamples=99)
    assert low < gain == 0.25 < high


# ---- the stage


def test_the_command_writes_metrics_and_says_them(made_up):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.evaluate",
         "--runs-dir", made_up / "runs", "--runs", "mfcc",
         "--data", made_up / "prepared", "--out", made_up / "reports", "--resamples", "50"],
        cwd=ROOT, capture_output=True, text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((made_up / "reports" / "metrics.json").read_text())
    assert {k: v["clips"] for k, v in result["mfcc"].items()} == {
        "oof": 40, "test": 20, "public": 10, "private": 10
    }
    assert set(result["mfcc"]["oof"]) == {"clips", "lwlrap", "lwlrap_low", "lwlrap_high",
                                        "mean_average_precision"}
    for kind in result["mfcc"].values():
        assert f"{kind['clips']:5}  {kind['lwlrap']:.4f}" in done.stdout
    assert "MAP@3" not in done.stdout
    written = sorted(p.relative_to(made_up / "reports").as_posix()
                     for p in (made_up / "reports").rglob("*.*"))
    assert written == [
        "confusion/mfcc-oof.csv", "confusion/mfcc-test.csv", "curves/mfcc.csv",
        "figures/mfcc-curves.png", "figures/mfcc-oof-confusions.png",
        "figures/mfcc-oof-per-class.png", "figures/mfcc-test-confusions.png",
        "figures/mfcc-test-per-class.png", "figures/runs.png", "metrics.json",
        "per_class/mfcc-oof.csv", "per_class/mfcc-test.csv",
    ]


def test_the_same_scores_give_the_same_bytes_beside_any_other_run(made_up):
    write_ensemble(made_up)
    for out, runs in (("one", ("mfcc",)), ("two", ("ensemble", "mfcc"))):
        evaluate.run(settings(made_up, out=out, runs=runs))
    for path in (made_up / "one").rglob("mfcc*.*"):
        again = made_up / "two" / path.relative_to(made_up / "one")
        assert again.read_bytes() == path.read_bytes(), path.name
    one, two = (json.loads((made_up / o / "metrics.json").read_text()) for o in ("one", "two"))
    assert list(two) == ["ensemble", "mfcc"]
    assert one["mfcc"] == two["mfcc"]
    assert not (made_up / "two" / "curves" / "ensemble.csv").exists()


def write_ensemble(root):
    rng = np.random.default_rng(8)
    folder = root / "runs" / "ensemble"
    clips = [f"c{k:02}" for k in range(N_CURATED)]
    save(folder / "oof.npz", scores_of(clips, rng.random((N_CURATED, 4))))
    write_facts(folder, kind="ensemble")


def test_plot_files_hold_what_was_measured(made_up):
    evaluate.run(settings(made_up))
    out = made_up / "reports"
    per_class = rows(out / "per_class" / "mfcc-oof.csv")
    assert [r["class"] for r in per_class] == ["Bark", "Rain", "Thunder"]  # no clip has Zither
    weights = np.array([int(r["labels"]) for r in per_class])
    values = np.array([float(r["lwlrap"]) for r in per_class])
    overall = json.loads((out / "metrics.json").read_text())["mfcc"]["oof"]["lwlrap"]
    assert values @ weights / weights.sum() == pytest.approx(overall, abs=2e-6)
    assert all(float(r["low"]) <= float(r["lwlrap"]) <= float(r["high"]) for r in per_class)

    confusion = rows(out / "confusion" / "mfcc-oof.csv")
    assert len(confusion) == sum(1 for k in range(N_CURATED) if k % 3)  # of one label
    assert {r["actual"] for r in confusion} == {"Bark", "Rain", "Thunder"}
    assert {r["predicted"] for r in confusion} <= set(CLASSES)

    for figure in (out / "figures").iterdir():
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_test_scores_are_the_geometric_mean_of_the_folds(made_up):
    evaluate.run(settings(made_up))
    folds = [load(made_up / f"runs/mfcc/test/{k}.npz", made_by="") for k in range(FOLDS)]
    mean = np.sqrt(folds[0].values.astype(float) * folds[1].values)[:20]
    truth = np.eye(4, dtype=bool)[[k % 3 for k in range(20)]]
    result = json.loads((made_up / "reports" / "metrics.json").read_text())["mfcc"]
    assert result["test"]["lwlrap"] == pytest.approx(metrics.lwlrap(truth, mean), abs=1e-6)
    public = metrics.lwlrap(truth[:10], mean[:10])
    assert result["public"]["lwlrap"] == pytest.approx(public, abs=1e-6)


def test_with_one_label_a_clip_there_are_map_at_3_and_accuracy(tmp_path, capsys):
    make(tmp_path, label_mode="single")
    evaluate.run(settings(tmp_path))
    result = json.loads((tmp_path / "reports" / "metrics.json").read_text())["mfcc"]
    assert {"map_at_3", "accuracy"} <= set(result["oof"])
    assert result["oof"]["accuracy"] <= result["oof"]["map_at_3"] <= 1
    assert "MAP@3" in capsys.readouterr().out
    assert len(rows(tmp_path / "reports" / "confusion" / "mfcc-oof.csv")) == N_CURATED


def test_curves_are_means_over_the_folds_that_still_train(made_up):
    short = HISTORY.replace("1.0,2.0", "3.0,4.0").rsplit("1,0.5", 1)[0]
    (made_up / "runs/mfcc/folds/1/history.csv").write_text(short)
    evaluate.run(settings(made_up))
    result = pd.read_csv(made_up / "reports" / "curves" / "mfcc.csv")
    assert list(result) == ["epoch", "folds", "loss", "val_loss", "lwlrap", "val_lwlrap"]
    expected = [[0, 2, 2, 3, 0.1, 0.2], [1, 1, 0.5, 1.5, 0.3, 0.4]]
    np.testing.assert_allclose(result.to_numpy(), expected)


@pytest.mark.parametrize(("content", "error", "message"), [
    (None, UsageError, "no such file; .*pipeline.train"),
    ("", StoreError, "No columns"),
    ("loss\n1\n", StoreError, "needs a column epoch"),
    ("epoch,loss\n0,low\n", StoreError, "numbers alone"),
    ("epoch,loss\n0,1\n1,2,3,4\n", StoreError, "Expected 2 fields in line 3, saw 4; train"),
    (b"\xff\xfe\x00", StoreError, "'utf-8' codec can't decode .*; train the run again"),
])
def test_a_bad_history(made_up, content, error, message):
    path = made_up / "runs/mfcc/folds/1/history.csv"
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=message):
        evaluate.run(settings(made_up))
    assert not (made_up / "reports").exists()


def test_runs_of_another_task_are_all_listed(made_up):
    write_ensemble(made_up)
    write_facts(made_up / "runs" / "ensemble", kind="ensemble", classes=["Bark", "Cat"])
    write_facts(made_up / "runs" / "mfcc", classes=["Bark", "Dog"])
    with pytest.raises(UsageError) as caught:
        evaluate.run(settings(made_up, runs=("mfcc", "ensemble")))
    assert "mfcc and" in str(caught.value)
    assert "differ in their classes: Dog, Rain, Thunder, Zither" in str(caught.value)
    assert "ensemble and" in str(caught.value)


def test_a_run_of_one_label_a_clip_on_data_of_several(made_up, capsys):
    """The clips of several labels, which it was not trained on, are left out of the test too."""
    labels = read_labels(made_up / "prepared")
    several = {x.clip_id for x in labels if len(x.labels) > 1}
    run = made_up / "runs" / "mfcc"
    write_facts(run, label_mode="single")
    for path in run.glob("folds/*/oof.npz"):
        scores = load(path, made_by="")
        kept = [c for c in scores.clip_ids if c not in several]
        save(path, select(scores, kept, scores.classes))
    evaluate.run(settings(made_up))
    out = capsys.readouterr().out
    assert ("mfcc predicts one label per clip; clips with several are left out: "
            f"{len(several)} out of fold\n" in out)
    metrics = json.loads((made_up / "reports" / "metrics.json").read_text())["mfcc"]
    assert all("accuracy" in each for each in metrics.values())
    assert metrics["oof"]["clips"] == N_CURATED - sum(
        x.split == "curated" and x.clip_id in several for x in labels)


def test_an_ensemble_of_scores_that_are_there_no_more(made_up):
    write_ensemble(made_up)
    facts = {"kind": "ensemble", "made_of": digests(made_up / "runs", ["mfcc"])}
    write_facts(made_up / "runs" / "ensemble", **facts)
    evaluate.run(settings(made_up, runs=("ensemble",)))
    path = made_up / "runs/mfcc/folds/0/oof.npz"
    old = load(path, made_by="")
    save(path, Scores(old.clip_ids, old.classes, old.values[::-1].copy()))
    with pytest.raises(UsageError, match="was made from scores that have changed since in mfcc"):
        evaluate.run(settings(made_up, runs=("ensemble",)))


def test_several_labels_where_one_is_needed(made_up):
    run = made_up / "runs" / "mfcc"
    write_facts(run, label_mode="single")
    prepare(made_up, read_labels(made_up / "prepared"), "single")
    with pytest.raises(UsageError, match=r"mfcc, oof cannot be measured: .*exactly one label"):
        evaluate.run(settings(made_up))


def test_bad_clips_are_left_out_with_a_word(made_up, capsys):
    path = made_up / "runs/mfcc/folds/0/oof.npz"
    clips = [f"c{k:02}" for k in range(2, N_CURATED, FOLDS)]
    save(path, scores_of(clips, np.random.default_rng(0).random((len(clips), 4))))
    evaluate.run(settings(made_up))
    assert ("mfcc, oof: 1 labelled clips have no scores and are left out: c00"
            in capsys.readouterr().out)


def test_no_runs_and_unknown_runs(made_up):
    with pytest.raises(UsageError, match="no runs to measure"):
        evaluate.run(settings(made_up, runs=()))
    with pytest.raises(UsageError, match=r"'mfc'; did you mean mfcc\?"):
        evaluate.run(settings(made_up, runs=("mfc",)))
