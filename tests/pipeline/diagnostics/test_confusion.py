import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix

from pipeline.diagnostics.confusion import Pair, outranking, pairs, predictions


def test_what_outranks_a_label_by_hand():
    truth = [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    scores = [[0.2, 0.9, 0.2],  # both others are at or above the first class
              [0.1, 0.9, 0.5],  # the second class is true too
              [0.1, 0.2, 0.9]]
    result = outranking(truth, scores)
    assert result.count.tolist() == [[0, 1, 2], [0, 1, 0], [0, 0, 1]]
    assert result.of.tolist() == [[2, 1, 2], [0, 1, 1], [1, 1, 1]]
    np.testing.assert_array_equal(result.share, [[0, 1, 1], [np.nan, 1, 0], [0, 0, 1]])
    assert pairs(result, 5) == [Pair(0, 2, 2, 2), Pair(0, 1, 1, 1)]
    assert pairs(result, 1) == [Pair(0, 2, 2, 2)]


def test_of_equal_counts_the_larger_share_is_first():
    # Class 0 is outranked by 1 in one of two clips, class 2 by 1 in one of one.
    truth = [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    scores = [[0.5, 0.9, 0.1], [0.9, 0.5, 0.1], [0.1, 0.9, 0.5]]
    assert [(p.actual, p.count, p.of) for p in pairs(outranking(truth, scores), 9)] == [
        (2, 1, 1), (0, 1, 2)]


@given(hnp.arrays(np.float64, (8, 4), elements=st.integers(0, 3).map(float)),
       hnp.arrays(bool, (8, 4)))
def test_outranking_is_what_a_loop_over_clips_counts(scores, truth):
    truth[0, 0] = True
    expected = np.zeros((4, 4), int)
    for labels, values in zip(truth, scores, strict=True):
        for a in np.flatnonzero(labels):
            above = [b for b in range(4) if not labels[b] and values[b] >= values[a]]
            for b in above or [a]:
                expected[a, b] += 1
    assert outranking(truth, scores).count.tolist() == expected.tolist()


@given(hnp.arrays(np.float64, (9, 4), elements=st.integers(0, 3).map(float)),
       hnp.arrays(int, 9, elements=st.integers(0, 2)))
def test_predictions_are_scikit_learns_confusion_matrix(scores, label):
    result = predictions(np.eye(4)[label], scores)
    expected = confusion_matrix(label, scores.argmax(axis=1), labels=range(4))
    assert result.count.tolist() == expected.tolist()
    assert result.of[:, 0].tolist() == np.bincount(label, minlength=4).tolist()
    assert np.isnan(result.share[3]).all()


def test_several_labels_have_no_confusion_matrix():
    with pytest.raises(ValueError, match="exactly one label"):
        predictions([[1, 1]], [[0.5, 0.4]])
