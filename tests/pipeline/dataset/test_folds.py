"""Folds: even in number and in every class, the same for the same seed, silent for rare classes."""

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.model_selection import StratifiedKFold

from pipeline.dataset import folds as folds_module
from pipeline.dataset.folds import assign, assign_once, rare, renumber
from pipeline.runtime.errors import UsageError

SINGLE = [("Bark",)] * 10 + [("Meow",)] * 20 + [("Purr",)] * 5


def test_single_labels_are_exactly_even():
    dealt = assign(SINGLE, folds=5, seed=0)
    assert Counter(zip(SINGLE, dealt, strict=True)) == {
        ((name,), fold): n for name, n in (("Bark", 2), ("Meow", 4), ("Purr", 1))
        for fold in range(5)}


def test_single_labels_are_scikit_learns():
    names = [name for name, in SINGLE]
    splitter = StratifiedKFold(n_splits=5, shuffle=True, random_state=7)
    dealt = np.array(assign(SINGLE, folds=5, seed=7))
    for fold, (_, validation) in enumerate(splitter.split(names, names)):
        assert np.array_equal(np.flatnonzero(dealt == fold), validation)


def test_several_labels_are_iterative_stratification():
    rng = np.random.default_rng(0)
    target = (rng.random((200, 6)) < 0.3).astype(int)
    target[np.arange(200), rng.integers(6, size=200)] = 1
    labels = [tuple("ABCDEF"[j] for j in np.flatnonzero(row)) for row in target]
    dealt = np.array(assign(labels, folds=4, seed=3))
    splitter = MultilabelStratifiedKFold(n_splits=4, shuffle=True, random_state=3)
    for fold, (_, validation) in enumerate(splitter.split(target, target)):
        assert np.array_equal(np.flatnonzero(dealt == fold), validation)
    # Each class within two clips of its quarter.
    for j in range(6):
        shares = np.bincount(dealt[target[:, j] == 1], minlength=4)
        assert np.abs(shares - target[:, j].sum() / 4).max() <= 2


def test_the_seed_decides():
    assert assign(SINGLE, folds=5, seed=1) == assign(SINGLE, folds=5, seed=1)
    assert assign(SINGLE, folds=5, seed=1) != assign(SINGLE, folds=5, seed=2)


def test_rare_classes_make_no_noise():
    labels = [*SINGLE, ("Gong",), ("Hiss",)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(assign(labels, folds=5, seed=0)) == set(range(5))
        several = [*labels, ("Bark", "Gong")]
        assert set(assign(several, folds=5, seed=0)) == set(range(5))
    assert rare(labels, ["Bark", "Gong", "Hiss", "Never"], folds=5) == {
        "Gong": 1, "Hiss": 1, "Never": 0}


def test_no_class_reaches_every_fold():
    """StratifiedKFold refuses this: 3 clips a class, 5 folds."""
    labels = [(name,) for name in "ABCD" for _ in range(3)]
    dealt = assign(labels, folds=5, seed=0)
    assert sorted(Counter(dealt).values()) == [2, 2, 2, 3, 3]
    for name in "ABCD":
        assert len({fold for fold, label in zip(dealt, labels, strict=True)
                    if label == (name,)}) == 3


def test_one_class():
    assert sorted(Counter(assign([("A",)] * 7, folds=3, seed=0)).values()) == [2, 2, 3]


def test_fewer_clips_than_folds():
    with pytest.raises(UsageError, match="4 curated clips cannot make 5 folds"):
        assign([("A",)] * 4, folds=5, seed=0)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_fold_is_empty(data):
    names = st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=3, unique=True).map(tuple)
    labels = data.draw(st.lists(names, min_size=2, max_size=14))
    folds = data.draw(st.integers(2, len(labels)))
    dealt = assign(labels, folds=folds, seed=data.draw(st.integers(0, 2**32 - 1)))
    assert set(dealt) == set(range(folds))
    assert len(dealt) == len(labels)


def test_once(tmp_path, monkeypatch):
    cache = tmp_path / "c" / "folds.txt"
    first = assign_once(SINGLE, folds=5, seed=0, cache=cache)
    assert first == assign(SINGLE, folds=5, seed=0)
    asked = []

    def spy(labels, *, folds, seed):
        asked.append((len(labels), folds, seed))
        return assign(labels, folds=folds, seed=seed)

    monkeypatch.setattr(folds_module, "assign", spy)
    assert assign_once(SINGLE, folds=5, seed=0, cache=cache) == first
    assert asked == []
    for labels, folds, seed in ((SINGLE, 5, 1), (SINGLE, 4, 1), (SINGLE[1:], 4, 1),
                                ([("Bark",), *SINGLE[2:], ("Bark", "Meow")], 4, 1)):
        result = assign_once(labels, folds=folds, seed=seed, cache=cache)
        assert result == assign(labels, folds=folds, seed=seed)
    assert asked == [(35, 5, 1), (35, 4, 1), (34, 4, 1), (35, 4, 1)]


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text[:-3],
                                    lambda text: text.replace("\n0\n", "\nx\n", 1),
                                    lambda text: "0" * 64 + text[64:]])
def test_a_damaged_memory_is_forgotten(tmp_path, damage):
    cache = tmp_path / "folds.txt"
    result = assign_once(SINGLE, folds=5, seed=0, cache=cache)
    whole = cache.read_text()
    cache.write_text(damage(whole))
    assert assign_once(SINGLE, folds=5, seed=0, cache=cache) == result
    assert cache.read_text() == whole


def test_renumber():
    assert renumber([3, 1, 7, 1]) == {1: 0, 3: 1, 7: 2}
    assert renumber([]) == {}
