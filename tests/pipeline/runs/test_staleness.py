"""What an ensemble remembers of its members, and whether folds are still those trained on."""

import json

import numpy as np
import pytest

from pipeline.dataset.tables import Label
from pipeline.runs.scores import Scores, save
from pipeline.runs.staleness import check_folds, digests, stale
from pipeline.runtime.errors import UsageError

LABELS = {c: Label(c, ("A",), "curated", k % 2, "") for k, c in enumerate("abcd")}


def write(runs, name, facts, **files):
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"kind": "train", "classes": ["A"], "label_mode": "multi", **facts}
    (folder / "run.json").write_text(json.dumps(facts))
    for path, clips in files.items():
        path = folder / path.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path.with_suffix(".npz"), Scores(tuple(clips), ("A",), np.ones((len(clips), 1), "f4")))


@pytest.fixture
def runs(tmp_path):
    write(tmp_path, "mfcc", {"folds": [0, 1]}, folds__0__oof="ac", folds__1__oof="bd")
    made_of = digests(tmp_path, ["mfcc"])
    write(tmp_path, "both", {"kind": "ensemble", "made_of": made_of}, oof="abcd")
    return tmp_path


def test_nothing_has_changed(runs):
    assert stale(runs, "both") == stale(runs, "mfcc") == []
    check_folds(runs, ["mfcc", "both"], LABELS)


@pytest.mark.parametrize("changed", ["folds__0__oof", "test__1"])
def test_a_member_with_other_scores(runs, changed):
    write(runs, "mfcc", {"folds": [0, 1]}, **{changed: "ca"})
    (errors,) = stale(runs, "both")
    assert "made from scores that have changed since in mfcc" in errors
    # What is made of both is no fresher.
    outer = {"kind": "ensemble", "made_of": digests(runs, ["both"])}
    write(runs, "outer", outer, oof="abcd")
    assert stale(runs, "outer") == [errors]


def test_a_member_that_is_gone_cannot_differ(runs):
    (runs / "mfcc" / "run.json").unlink()
    assert stale(runs, "both") == []


def test_folds_that_were_made_anew(runs):
    labels = {**LABELS, "a": Label("a", ("A",), "curated", 1, "")}
    for name in ("mfcc", "both"):
        with pytest.raises(UsageError, match=r"mfcc, fold 0: 1 clips are in another fold.*: a"):
            check_folds(runs, [name], labels)
