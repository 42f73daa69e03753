"""lwlrap and the rest: closed forms, then scikit-learn, then plain loops."""

from __future__ import annotations

import doctest
import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    label_ranking_average_precision_score,
)

from pipeline.scoring import metrics

# Float64 sums of at most a few thousand terms of at most 1, in another order.
ROUNDING = 1e-12

FEW = st.integers(0, 3).map(float)


def sklearn_lwlrap(truth, scores):
    """scikit-learn's, as the 2019 competition defined its own measure by it."""
    weight = truth.sum(axis=1)
    kept = weight > 0
    return label_ranking_average_precision_score(
        truth[kept], scores[kept], sample_weight=weight[kept]
    )


def official_per_class(truth, scores):
    """The official per-class algorithm as a plain loop: the list of one clip, cut at each hit."""
    n_classes = truth.shape[1]
    found = [[] for _ in range(n_classes)]
    for labels, values in zip(truth, scores, strict=True):
        ranked = np.argsort(values, kind="stable")[::-1]
        hits = 0
        for place, label in enumerate(ranked, start=1):
            if labels[label]:
                hits += 1
                found[label].append(hits / place)
    n_labels = sum(map(len, found))
    per_class = np.array([np.mean(f) if f else np.nan for f in found])
    return per_class, np.array([len(f) / n_labels for f in found])


@st.composite
def cases(draw, values=FEW, single=False):
    """Truth with at least one label, and scores of few values, so that many are tied."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(2, 6)))
    scores = draw(hnp.arrays(np.float64, shape, elements=values))
    if single:
        label = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
        return np.eye(shape[1], dtype=int)[label], scores
    truth = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1)))
    truth[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = 1
    return truth, scores


def example(n_clips=500, n_classes=12, seed=0):
    """A task of a usual kind: a label or two a clip, scores that know something, none tied."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n_clips, n_classes)) < 0.1
    truth[:, -1] = False
    return truth, rng.random(truth.shape) + 0.5 * truth


# --- lwlrap ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([[1, 0, 0]], [[0.9, 0.5, 0.1]], 1),
        ([[0, 0, 1]], [[0.9, 0.5, 0.1]], 1 / 3),
        ([[1, 0, 1]], [[0.9, 0.5, 0.1]], (1 + 2 / 3) / 2),
        ([[0, 1, 1]], [[0.9, 0.5, 0.1]], (1 / 2 + 2 / 3) / 2),
        ([[1, 1, 1]], [[0.9, 0.5, 0.1]], 1),
        # a clip with two labels weighs twice as much
        ([[1, 0, 0], [0, 1, 1]], [[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]], (1 + 1 / 2 + 2 / 3) / 3),
        # a clip without a label does not count
        ([[1, 0, 0], [0, 0, 0]], [[0.5, 0.9, 0.1], [0.9, 0.5, 0.1]], 1 / 2),
        # ties: the worst rank of the tie
        ([[1, 0, 0]], [[0.5, 0.5, 0.5]], 1 / 3),
        ([[1, 1, 0]], [[0.5, 0.5, 0.5]], 2 / 3),
        ([[1, 0, 0]], [[0.5, 0.5, 0.1]], 1 / 2),
        ([[0, 1, 0]], [[0.5, 0.5, 0.1]], 1 / 2),
        # only the order counts, not the scale or the sign
        ([[1, 0, 0]], [[-3, -7, -2]], 1 / 2),
    ],
)
def test_lwlrap_by_hand(truth, scores, expected):
    assert metrics.lwlrap(truth, scores) == pytest.approx(expected, abs=ROUNDING)


def test_official_code_breaks_ties_by_class_index():
    scores = np.array([[0.5, 0.5]])
    first, second = np.array([[1, 0]]), np.array([[0, 1]])
    assert np.nansum(np.prod(official_per_class(first, scores), axis=0)) == 1 / 2
    assert np.nansum(np.prod(official_per_class(second, scores), axis=0)) == 1
    assert metrics.lwlrap(first, scores) == metrics.lwlrap(second, scores) == 1 / 2


def test_lwlrap_of_chance_is_the_mean_of_1_to_1_over_n():
    rng = np.random.default_rng(0)
    n_clips, n_classes = 20_000, 80
    truth = np.eye(n_classes, dtype=bool)[rng.integers(n_classes, size=n_clips)]
    expected = sum(1 / rank for rank in range(1, n_classes + 1)) / n_classes
    # the standard deviation of 1 / rank is under sqrt(E[1 / rank**2]) = 0.143; five of the mean's
    tolerance = 5 * 0.143 / math.sqrt(n_clips)
    assert metrics.lwlrap(truth, rng.random(truth.shape)) == pytest.approx(expected, abs=tolerance)


@given(cases())
def test_lwlrap_is_scikit_learns_where_scores_tie(case):
    assert metrics.lwlrap(*case) == pytest.approx(sklearn_lwlrap(*case), abs=ROUNDING)


@given(cases(values=st.floats(-1e6, 1e6)))
def test_lwlrap_is_scikit_learns_on_any_numbers(case):
    assert metrics.lwlrap(*case) == pytest.approx(sklearn_lwlrap(*case), abs=ROUNDING)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_lwlrap_takes_any_real_dtype(dtype):
    truth, scores = example()
    scores = (scores * 1000).astype(dtype)
    # As float64, for with SciPy 1.18 scikit-learn averages in the scores' own precision.
    assert metrics.lwlrap(truth, scores) == pytest.approx(
        sklearn_lwlrap(truth, scores.astype(np.float64)), abs=ROUNDING
    )


def test_blocks_do_not_show(monkeypatch):
    truth, scores = example()
    whole = metrics.lwlrap(truth, scores)
    for block in (1, 7 * truth.shape[1], 10**9):
        monkeypatch.setattr(metrics, "BLOCK", block)
        assert metrics.lwlrap(truth, scores) == whole


def test_memory_is_bounded_where_every_class_is_true():
    truth = np.ones((20_000, 80), bool)
    scores = np.random.default_rng(0).random(truth.shape, np.float32)
    tracemalloc.start()
    assert metrics.lwlrap(truth, scores) == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # three arrays of one number a label; comparing all pairs at once would take 128 MB of bool
    assert peak < 64e6


def test_doc_example():
    failed, attempted = doctest.testmod(metrics)
    assert attempted
    assert not failed


# --- per class ------------------------------------------------------------------------------


def test_per_class_by_hand():
    truth = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]]
    scores = [[0.9, 0.5, 0.1, 0], [0.1, 0.5, 0.9, 0], [0.9, 0.8, 0.7, 0]]
    per_class, weight = metrics.per_class_lwlrap(truth, scores)
    np.testing.assert_allclose(per_class, [(1 + 2 / 3) / 2, (1 / 2 + 1 / 2) / 2, np.nan, np.nan])
    np.testing.assert_allclose(weight, [1 / 2, 1 / 2, 0, 0])


def test_per_class_is_the_official_one_without_ties():
    truth, scores = example()
    for ours, official in zip(
        metrics.per_class_lwlrap(truth, scores), official_per_class(truth, scores), strict=True
    ):
        np.testing.assert_allclose(ours, official, atol=ROUNDING)


@given(cases())
def test_per_class_adds_up_to_the_whole(case):
    per_class, weight = metrics.per_class_lwlrap(*case)
    assert weight.sum() == pytest.approx(1, abs=ROUNDING)
    assert np.nansum(per_class * weight) == pytest.approx(metrics.lwlrap(*case), abs=ROUNDING)
    absent = ~case[0].any(axis=0)
    np.testing.assert_array_equal(np.isnan(per_class), absent)
    np.testing.assert_array_equal(weight == 0, absent)


# --- average precision ----------------------------------------------------------------------


def test_average_precision_by_hand():
    truth = [[1, 1, 0], [0, 0, 0], [1, 1, 0]]
    scores = [[0.9, 0.5, 0], [0.8, 0.5, 0], [0.7, 0.9, 0]]
    expected = [(1 + 2 / 3) / 2, (1 + 2 / 3) / 2, np.nan]
    np.testing.assert_allclose(metrics.average_precision(truth, scores), expected)
    assert metrics.mean_average_precision(truth, scores) == pytest.approx(5 / 6)


def mean_precision(true, values):
    """The mean, over the clips of a class, of the precision among all that score as high."""
    return np.mean([true[values >= v].mean() for v in values[true.astype(bool)]])


@given(cases())
def test_average_precision_is_scikit_learns(case):
    truth, scores = case
    present = truth.any(axis=0)
    expected = [average_precision_score(truth[:, c], scores[:, c]) for c in np.flatnonzero(present)]
    ours = metrics.average_precision(truth, scores)
    for c in np.flatnonzero(present):
        assert ours[c] == pytest.approx(mean_precision(truth[:, c], scores[:, c]), abs=ROUNDING)
    np.testing.assert_allclose(ours[present], expected, atol=ROUNDING)
    assert np.isnan(ours[~present]).all()
    assert metrics.mean_average_precision(truth, scores) == pytest.approx(
        np.mean(expected), abs=ROUNDING
    )


# --- one label a clip -----------------------------------------------------------------------


def test_map_at_3_by_hand():
    truth = np.eye(5, dtype=int)
    ranked = [5, 4, 3, 2, 1]  # class 0 first, class 4 last
    assert metrics.map_at_3(truth, [ranked] * 5) == pytest.approx((1 + 1 / 2 + 1 / 3) / 5)
    # of four that tie for the first place none is among the three guesses
    assert metrics.map_at_3(truth[:1], [[1, 1, 1, 1, 0]]) == 0


@given(cases(single=True, values=st.integers(0, 2).map(float)))
def test_map_at_3_is_the_least_that_any_order_of_the_ties_gives(case):
    truth, scores = case
    worst = []
    for label, values in zip(truth.argmax(axis=1), scores, strict=True):
        lists = [
            order for order in itertools.permutations(range(len(values)))
            if all(values[a] >= values[b] for a, b in itertools.pairwise(order))
        ]
        worst.append(min(1 / (o.index(label) + 1) if label in o[:3] else 0 for o in lists))
    assert metrics.map_at_3(truth, scores) == pytest.approx(np.mean(worst), abs=ROUNDING)


@given(cases(single=True))
def test_accuracy_and_confusions_are_scikit_learns(case):
    truth, scores = case
    true, predicted = truth.argmax(axis=1), scores.argmax(axis=1)
    assert metrics.accuracy(truth, scores) == pytest.approx(accuracy_score(true, predicted))
    matrix = confusion_matrix(true, predicted, labels=range(truth.shape[1]))
    pairs = metrics.top_confusions(truth, scores, most=100)
    assert {(t, p): n for t, p, n in pairs} == {
        (t, p): n for (t, p), n in np.ndenumerate(matrix) if n and t != p
    }
    assert pairs == sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))


def test_top_confusions_by_hand():
    truth = np.eye(3, dtype=int)[[0, 0, 0, 1, 1, 2]]
    scores = np.eye(3)[[1, 1, 0, 2, 1, 0]]
    assert metrics.top_confusions(truth, scores, most=2) == [(0, 1, 2), (1, 2, 1)]
    assert metrics.top_confusions(truth, truth, most=2) == []


def test_single_measures_refuse_several_labels():
    for measure in (metrics.map_at_3, metrics.accuracy):
        with pytest.raises(ValueError, match="2 of 3 clips do not have exactly one label, "
                                             "first clip 1 with 2; is this a multi-label task"):
            measure([[1, 0], [1, 1], [0, 0]], np.zeros((3, 2)))


# --- evaluate and validate ------------------------------------------------------------------


def test_evaluate():
    truth, scores = np.eye(4, dtype=int)[[0, 1, 2]], np.eye(4)[[0, 1, 1]]
    multi = metrics.evaluate(truth, scores, single=False)
    assert multi == {
        "lwlrap": metrics.lwlrap(truth, scores),
        "mean_average_precision": metrics.mean_average_precision(truth, scores),
    }
    assert metrics.evaluate(truth, scores, single=True) == multi | {
        "map_at_3": metrics.map_at_3(truth, scores), "accuracy": 2 / 3,
    }


@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        ([1, 0], [[1, 0]], r"truth has shape \(2,\); needs \(n_clips, n_classes\)"),
        ([[1, 0]], [], r"scores has shape \(0,\)"),
        (np.ones((2, 3)), np.ones((3, 2)), "is one of them transposed"),
        (np.ones((2, 3)), np.ones((2, 4)), r"truth has shape \(2, 3\), scores have \(2, 4\)$"),
        ([["a", "b"]], [[1, 0]], "truth has dtype <U1; needs numbers"),
        ([[0.9, 0.1]], [[1, 0]], "truth: 2 of 2 .*, first clip 0, class 0; did you swap"),
        ([[1, 2]], [[0.5, 0.7]], "1 of 2 are neither 0 nor 1, first clip 0, class 1$"),
        ([[0, 0]], [[0.5, 0.7]], "truth has no label"),
        ([[0, 1], [1, 0]], [[0, 1], [0, np.nan]], "scores: 1 of 4 .* clip 1, class 1$"),
        ([[0, 1], [1, 0]], [[0, np.inf], [0, 0]], "scores: 1 of 4 .* clip 0, class 1$"),
    ],
)
def test_bad_input_is_refused_by_every_function(truth, scores, message):
    for function in (
        metrics.validate, metrics.lwlrap, metrics.per_class_lwlrap, metrics.average_precision,
        metrics.mean_average_precision, metrics.map_at_3, metrics.accuracy,
    ):
        with pytest.raises(ValueError, match=message):
            function(truth, scores)


def test_validate_lists_everything():
    with pytest.raises(ValueError, match=r"(?s)neither 0 nor 1.*\n.*NaN"):
        metrics.validate([[1, 2]], [[0, np.nan]])


@given(case=cases())
def test_arguments_are_left_as_they_were(case):
    truth, scores = case
    before = truth.copy(), scores.copy()
    metrics.evaluate(truth, scores, single=False)
    np.testing.assert_array_equal(truth, before[0])
    np.testing.assert_array_equal(scores, before[1])
