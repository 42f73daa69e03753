"""Labels that a teacher gives: sharpening, agreement, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, logit, softmax

from pipeline.dataset.tables import Label
from pipeline.pseudo_labelling.methods import Method, agreeing, given_labels, make_labels, sharpen
from pipeline.runs.scores import Scores

probabilities = hnp.arrays(np.float64, (4, 3), elements=st.floats(0, 1))


def test_sharpening_by_hand():
    np.testing.assert_allclose(sharpen(np.array([[0.8, 0.2]]), 0.5, single=True),
                               [[0.64 / 0.68, 0.04 / 0.68]])
    np.testing.assert_allclose(sharpen(np.array([[0.8, 0.5, 0.0, 1.0]]), 0.5, single=False),
                               [[0.64 / 0.68, 0.5, 0, 1]])


def test_sharpening_is_a_division_of_logits():
    x = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_allclose(sharpen(softmax(x, axis=1), 0.3, single=True),
                               softmax(x / 0.3, axis=1))
    np.testing.assert_allclose(sharpen(expit(x), 0.3, single=False), expit(logit(expit(x)) / 0.3))


@settings(deadline=None)
@given(probabilities, st.floats(0.001, 100), st.booleans())
def test_sharpened_scores_are_probabilities_whatever_the_temperature(p, temperature, single):
    result = sharpen(p, temperature, single=single)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1
    if single:
        np.testing.assert_allclose(result.sum(axis=1), 1)


@given(probabilities)
def test_a_temperature_of_1_changes_nothing(p):
    np.testing.assert_allclose(sharpen(p, 1.0, single=False), p, atol=1e-12)
    p = p + 0.1
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sharpen(p, 1.0, single=True), p, atol=1e-12)


def test_agreement_by_hand():
    scores = np.array([
        [0.4, 0.3, 0.1],  # its label is the highest
        [0.4, 0.4, 0.1],  # another one scores as much
        [0.4, 0.3, 0.1],  # both labels are the two highest
        [0.9, 0.6, 0.1],  # not the highest, but above the threshold
        [0.9, 0.4, 0.1],
        [0.9, 0.8, 0.1],  # no label
    ])
    own = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    assert agreeing(scores, own, threshold=0.5).tolist() == [
        True, False, True, True, False, False]
    assert agreeing(scores, own, threshold=1.0)[3] == False  # noqa: E712 (NumPy's)


def test_each_class_keeps_at_most_its_share():
    rng = np.random.default_rng(0)
    own = np.eye(3, dtype=bool)[np.repeat([0, 1, 2], (40, 10, 3))]
    scores = np.where(own, rng.uniform(0.5, 1, own.shape), 0.1)
    kept = agreeing(scores, own, threshold=0.5, keep=0.25)
    assert [int((own[:, k] & kept).sum()) for k in range(3)] == [10, 3, 1]
    of_first = scores[:40, 0]
    assert set(np.flatnonzero(kept[:40])) == set(np.argsort(-of_first)[:10])
    assert agreeing(scores, own, threshold=0.5, keep=1.0).all()
    # What the teacher does not agree with is never kept to fill a share.
    assert not agreeing(0.2 * own[:, ::-1], own, threshold=0.5, keep=0.5)[:40].any()


SCORES = Scores(("a", "b", "c"), ("Bark", "Meow"),
                np.array([[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]], np.float32))
OWN = np.array([[1, 0], [1, 0], [1, 1]], bool)


@pytest.mark.parametrize(("method", "single", "clips", "labels"), [
    (Method("agreement", threshold=1.0), False, "ac", [[1, 0], [1, 1]]),
    (Method("agreement", threshold=0.4), False, "abc", [[1, 0], [1, 0], [1, 1]]),
    (Method("pseudo", temperature=0.5, min_confidence=0.9), False, "a", [[16 / 17, 1 / 17]]),
    (Method("pseudo", temperature=1.0), True, "abc", [[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]]),
    (Method("mix", temperature=1.0), False, "abc", [[0.9, 0.1], [0.7, 0.3], [0.75, 0.75]]),
    (Method("mix", temperature=1.0), True, "abc", [[0.9, 0.1], [0.7, 0.3], [0.5, 0.5]]),
])
def test_labels_by_hand(method, single, clips, labels):
    result = make_labels(SCORES, OWN, method, single=single)
    assert result.clip_ids == tuple(clips)
    np.testing.assert_allclose(result.values, labels, rtol=1e-6)


def test_given_labels_have_the_order_of_the_scores():
    labels = {"b": Label("b", ("Meow",), "noisy", None, ""),
              "a": Label("a", ("Bark", "Meow"), "noisy", None, ""),
              "c": Label("c", (), "noisy", None, "")}
    assert given_labels(labels, SCORES).tolist() == [[True, True], [False, True], [False, False]]


def test_no_clips_no_labels():
    nothing = Scores((), ("Bark", "Meow"), np.empty((0, 2), np.float32))
    for name in ("agreement", "pseudo", "mix"):
        result = make_labels(nothing, given_labels({}, nothing), Method(name), single=True)
        assert result.values.shape == (0, 2)
