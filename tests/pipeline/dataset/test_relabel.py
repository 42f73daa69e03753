"""Corrections of labels: what they change, what they leave alone, and every row that is wrong."""

import csv
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.audio.file_header import Header
from pipeline.dataset import preparation
from pipeline.dataset.relabel import place, read_relabelling, relabelled
from pipeline.dataset.tables import Clip, Dataset, Label
from pipeline.runtime.errors import UsageError

CLASSES = ("Bark", "Meow", "Purr")
SPLITS = {"a": "curated", "b": "curated", "n": "noisy", "t": "test"}


def write(path, *rows, header=("clip_id", "action", "new_labels")):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "corrections.csv"


def read(path):
    return read_relabelling(path, SPLITS, CLASSES)


def test_actions(path):
    write(path, ("a", "correct", "Meow, Purr"), ("b", " Drop ", "Bark"), ("n", "keep", "Nonsense"),
          ("t", "", "also a suggestion"), ("", "", ""))
    result = read(path)
    assert result.corrected == {"a": ("Meow", "Purr")}
    assert result.dropped == {"b"}


def test_other_columns_and_any_order(path):
    write(path, ("Bark", "0.9", "Meow", "correct", "a"),
          header=("labels", "suspicion", "new_labels", "action", "clip_id"))
    assert read(path).corrected == {"a": ("Meow",)}


@pytest.mark.parametrize(("row", "words"), [
    (("x", "drop", ""), "no clip 'x' in the data set"),
    (("x", "", ""), "no clip 'x' in the data set"),
    (("a", "fix", "Bark"), "action is 'fix'; known: keep, correct, drop"),
    (("a", "corect", "Bark"), "did you mean correct?"),
    (("a", "correct", ""), "correct needs at least one class"),
    (("a", "correct", "Brak"), "'Brak' is not a class; did you mean Bark?"),
    (("a", "correct", "Bark;Meow"), "'Bark;Meow' is not a class"),
    (("a", "correct", "Bark,"), "separate labels by single commas"),
    (("a", "correct", "Bark,Bark"), "name each label once"),
    (("t", "correct", "Bark"), "'t' is a test clip"),
    (("t", "drop", ""), "'t' is a test clip"),
    (("b", "drop", ""), "'b' is in row 2 already"),
    (("a", "correct", "Bark", "Meow"), "4 cells, the header has 3"),
])
def test_rows_that_are_wrong(path, row, words):
    write(path, ("b", "keep", ""), row)
    with pytest.raises(UsageError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:3: ")
    assert words in str(error.value)


def test_all_that_is_wrong_is_listed(path):
    write(path, ("x", "drop", ""), ("a", "fix", ""), ("y", "correct", "Brak,Moo"),
          ("b", "drop", ""), ("b", "keep", ""))
    with pytest.raises(UsageError) as error:
        read(path)
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [
        f"{path}:{row}" for row in (2, 3, 4, 6)]
    assert "no clip 'y' in the data set; 'Brak' is not a class" in str(error.value)


@pytest.mark.parametrize(("header", "words"), [
    (("clip_id", "action"), "no column new_labels (it has: clip_id, action)"),
    (("fname", "labels"), "no column clip_id, no column action, no column new_labels"),
    (("clip_id", "clip_id", "action", "new_labels"), "more than one column clip_id"),
    (("clip_id;action;new_labels",), "separated by semicolons"),
])
def test_columns_that_are_missing(path, header, words):
    write(path, header=header)
    with pytest.raises(UsageError) as error:
        read(path)
    assert words in str(error.value)


def test_a_table_that_is_not_there(path):
    with pytest.raises(UsageError, match="not a file"):
        read(path)


def prepared(labels, mode="multi", classes=CLASSES):
    """What prepare finds, of (clip_id, labels, split, own fold)."""
    rows = [Label(i, names, split, fold, "") for i, names, split, fold in labels]
    kept, several = preparation._by_mode(rows, mode)
    clips = [Clip(i, f"{i}.wav", Header("WAV", "PCM_16", 44100, 1, 9)) for i, *_ in labels]
    return preparation.Prepared(Dataset(None, "csv", classes, mode), clips, kept, [], [], several,
                                {i: split for i, _, split, _ in labels})


def with_folds(found, path=None, folds=2):
    return preparation.with_folds(found, folds=folds, seed=0, relabel=path)


def test_relabelled_and_dropped(path):
    found = prepared([("a", ("Bark",), "curated", None), ("b", ("Bark",), "curated", None),
                      ("c", ("Meow",), "curated", None), ("d", ("Meow",), "curated", None),
                      ("n", ("Purr",), "noisy", None), ("t", ("Bark",), "test", None)])
    write(path, ("a", "correct", "Meow,Purr"), ("b", "correct", "Bark"), ("c", "keep", "Bark"),
          ("n", "drop", ""))
    before, after = with_folds(found), with_folds(found, path)
    assert [(x.clip_id, x.labels, x.split) for x in after.labels] == [
        ("a", ("Meow", "Purr"), "curated"), ("b", ("Bark",), "curated"),
        ("c", ("Meow",), "curated"), ("d", ("Meow",), "curated"), ("t", ("Bark",), "test")]
    assert [c.clip_id for c in after.clips] == ["a", "b", "c", "d", "t"]
    fold_of = {x.clip_id: x.fold for x in before.labels}
    assert all(x.fold == fold_of[x.clip_id] for x in after.labels)
    assert f"{path}: 1 clips relabelled, 1 dropped" in after.notes
    assert after.dataset == before.dataset
    assert "classes with fewer curated clips than folds: Bark: 1, Purr: 1" in after.notes
    # What was given is not changed.
    assert with_folds(found) == before


def test_clips_that_are_left_out_anyway(path):
    found = prepared([("a", ("Bark",), "curated", None), ("b", ("Bark",), "curated", None)])
    found.splits["gone"] = "curated"
    write(path, ("gone", "drop", ""))
    assert f"{path}: 1 of its clips are left out anyway" in with_folds(found, path).notes


def test_own_folds_stay(path):
    found = prepared([(c, ("Bark",), "curated", i % 3) for i, c in enumerate("abcdef")])
    write(path, ("a", "drop", ""), ("b", "correct", "Meow"))
    assert [x.fold for x in with_folds(found, path, folds=5).labels] == [1, 2, 0, 1, 2]


def test_a_fold_without_clips_is_refused(path):
    found = prepared([(c, ("Bark",), "curated", i % 2) for i, c in enumerate("abcd")])
    write(path, ("a", "drop", ""), ("c", "drop", ""))
    with pytest.raises(UsageError, match="no clip is left in fold 0"):
        with_folds(found, path)


def test_single_labels(path):
    """A correction may bring a clip into labels.csv, and another one out."""
    found = prepared([("a", ("Bark",), "curated", None), ("b", ("Bark",), "curated", None),
                      ("c", ("Bark", "Meow"), "curated", None), ("d", ("Meow",), "curated", None),
                      ("e", ("Meow",), "curated", None)], mode="single")
    write(path, ("c", "correct", "Meow"), ("a", "correct", "Bark,Meow"))
    before, after = with_folds(found), with_folds(found, path)
    fold_of = {x.clip_id: x.fold for x in before.labels}
    assert [x.clip_id for x in before.labels] == ["a", "b", "d", "e"]
    assert [x.clip_id for x in after.labels] == ["b", "c", "d", "e"]
    assert {x.clip_id: x.fold for x in after.labels if x.clip_id != "c"} == {
        c: fold_of[c] for c in "bde"}
    (new,) = [x for x in after.labels if x.clip_id == "c"]
    # Both folds have one clip of Meow; the other fold than b's is smaller now.
    assert new.fold == 1 - fold_of["b"]
    for result in (before, after):
        assert sum("1 training clips with several labels" in n for n in result.notes) == 1


def test_a_newcomer_joins_the_fold_with_the_fewest_of_its_class():
    labels = [Label("a", ("Bark",), "curated", 0, ""), Label("b", ("Bark",), "curated", 0, ""),
              Label("c", ("Meow",), "curated", 1, ""), Label("x", ("Meow",), "curated", None, ""),
              Label("y", ("Meow",), "curated", None, ""), Label("n", ("Bark",), "noisy", None, "")]
    assert [x.fold for x in place(labels, folds=2)] == [0, 0, 1, 0, 1, None]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.data())
def test_no_other_clip_changes_its_fold(tmp_path, data):
    names = st.lists(st.sampled_from(CLASSES), min_size=1, max_size=2, unique=True).map(tuple)
    labels = data.draw(st.lists(names, min_size=6, max_size=14))
    mode = data.draw(st.sampled_from(["multi", "single"]))
    ids = [f"{i:02}" for i in range(len(labels))]
    found = prepared([(i, each, "curated", None) for i, each in zip(ids, labels, strict=True)],
                     mode)
    if len(found.labels) < 2:
        return
    changes = data.draw(st.dictionaries(st.sampled_from(ids), st.none() | names, max_size=4))
    path = write(tmp_path / "c.csv", *(
        (i, "drop", "") if new is None else (i, "correct", ",".join(new))
        for i, new in changes.items()))
    before = {x.clip_id: x.fold for x in with_folds(found).labels}
    try:
        after = with_folds(found, path)
    except UsageError:
        # No clip is left in one of the folds.
        assert len(changes) >= min(Counter(before.values()).values())
        return
    for label in after.labels:
        if label.clip_id in before:
            assert label.fold == before[label.clip_id]
        else:
            assert label.clip_id in changes
            assert label.fold in (0, 1)
    assert set(before) - {x.clip_id for x in after.labels} <= set(changes)


def test_counts():
    labels = [Label("a", ("Bark",), "curated", 0, ""), Label("b", ("Bark",), "curated", 1, "")]
    from pipeline.dataset.relabel import Relabelling

    result, corrected, dropped = relabelled(
        labels, Relabelling(None, {"a": ("Bark",)}, frozenset({"b"})))
    assert (result, corrected, dropped) == (labels[:1], 0, 1)
