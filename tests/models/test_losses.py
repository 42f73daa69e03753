"""Losses against NumPy, clip by clip."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from models.loss_options import LOSSES
from models.losses import BUILDERS, make_loss

LABELS = ("single", "multi")


def clips(labels, seed=0, n_clips=6, n_classes=5):
    """Targets and scores, some of the targets soft."""
    rng = np.random.default_rng(seed)
    outputs = rng.normal(0, 2, (n_clips, n_classes))
    if labels == "single":
        targets = softmax(rng.normal(0, 5, outputs.shape), axis=1)
        return targets.astype(np.float32), softmax(outputs, axis=1).astype(np.float32)
    targets = rng.choice([0, 0, 0.3, 0.6, 1], outputs.shape)
    return targets.astype(np.float32), expit(outputs).astype(np.float32)


def cross_entropy(labels, targets, scores):
    if labels == "single":
        return -(targets * np.log(scores)).sum(axis=1)
    return -(targets * np.log(scores) + (1 - targets) * np.log(1 - scores)).mean(axis=1)


def by_hand(kind, labels, y, p):
    """The loss with its default settings."""
    y, p = y.astype(np.float64), p.astype(np.float64)
    if kind == "cross-entropy":
        return cross_entropy(labels, y, p)
    if kind == "focal":
        if labels == "single":
            return -(y * (1 - p) ** 2 * np.log(p)).sum(axis=1)
        of_target = y * p + (1 - y) * (1 - p)
        entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p))
        return ((1 - of_target) ** 2 * entropy).mean(axis=1)
    if kind == "lsep":
        f = np.log(p) if labels == "single" else np.log(p / (1 - p))
        return np.array([
            np.log(1 + sum(np.exp(scores[v] - scores[u]) for u in np.flatnonzero(row >= 0.5)
                           for v in np.flatnonzero(row < 0.5)))
            for row, scores in zip(y, f, strict=True)
        ])
    if kind == "lsoft":
        return cross_entropy(labels, 0.7 * y + 0.3 * p, p)
    if kind == "symmetric-cross-entropy":
        log, log_other = (np.log(np.maximum(t, np.exp(-4.0))) for t in (y, 1 - y))
        reverse = -(p * log).sum(axis=1) if labels == "single" else (
            -(p * log + (1 - p) * log_other).mean(axis=1))
        return 0.1 * cross_entropy(labels, y, p) + reverse
    losses = cross_entropy(labels, y, p)
    return np.where(losses <= 0.8 * losses.max(), losses, 0)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", BUILDERS)
def test_every_loss_is_its_formula(kind, labels):
    loss = make_loss({"kind": kind}, labels=labels)
    targets, scores = clips(labels)
    result = loss.call(targets, scores)
    np.testing.assert_allclose(result, by_hand(kind, labels, targets, scores), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(loss(targets, scores), np.mean(result), rtol=1e-6)


def test_the_table_of_options_lists_every_loss():
    assert list(BUILDERS) == list(LOSSES.options)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", BUILDERS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.sampled_from([1, 30, 1000]))
def test_losses_and_gradients_are_finite(kind, labels, seed, scale):
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    outputs = tf.constant(rng.normal(0, scale, (4, 3)), tf.float32)
    targets = rng.choice([0, 1], (4, 3)).astype(np.float32)
    loss = make_loss({"kind": kind}, labels=labels)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        scores = tf.nn.softmax(outputs) if labels == "single" else tf.sigmoid(outputs)
        value = loss.call(targets, scores)
    assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(value, outputs)).all()


@pytest.mark.parametrize("kind", BUILDERS)
def test_losses_are_float32_whatever_the_scores_are(kind):
    targets, scores = clips("multi")
    loss = make_loss({"kind": kind}, labels="multi")
    half = keras.ops.cast(scores, "bfloat16")
    result = loss.call(targets, keras.ops.cast(half, "float32"))
    if kind not in ("cross-entropy", "focal"):  # Keras's own compute in the scores' dtype
        np.testing.assert_array_equal(loss.call(targets, half), result)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"


@pytest.mark.parametrize("kind", ["cross-entropy", "focal"])
def test_smoothed_labels_are_spread_over_the_classes(kind):
    targets, scores = np.array([[0, 1, 0, 0]], np.float32), np.array([[0.1, 0.6, 0.1, 0.2]])
    for labels, spread in (("single", 0.8 * targets + 0.2 / 4), ("multi", 0.8 * targets + 0.1)):
        smooth = make_loss({"kind": kind, "label_smoothing": 0.2}, labels=labels)
        plain = make_loss({"kind": kind}, labels=labels)
        np.testing.assert_allclose(smooth.call(targets, scores), plain.call(spread, scores),
                                   rtol=1e-5)


def test_a_focal_loss_without_focus_is_cross_entropy():
    for labels in LABELS:
        targets, scores = clips(labels)
        losses = [make_loss(each, labels=labels).call(targets, scores)
                  for each in ({"kind": "focal", "gamma": 0}, {"kind": "cross-entropy"})]
        np.testing.assert_allclose(*losses, rtol=1e-5)


def test_lsep_is_0_without_pairs_and_falls_with_the_right_order():
    loss = make_loss({"kind": "lsep"}, labels="multi")
    scores = np.array([[0.2, 0.8], [0.8, 0.2], [0.5, 0.5]], np.float32)
    np.testing.assert_array_equal(loss.call(np.zeros((3, 2)), scores), 0)
    np.testing.assert_array_equal(loss.call(np.ones((3, 2)), scores), 0)
    right, wrong, tied = loss.call(np.array([[0, 1]] * 3), scores)
    # logits of 0.2 and 0.8 are -log(4) and log(4)
    np.testing.assert_allclose([right, wrong, tied], np.log1p([1 / 16, 16, 1]), rtol=1e-5)


def test_masked_clips_have_no_gradient():
    import tensorflow as tf

    loss = make_loss({"kind": "masked", "share": 0.5}, labels="multi")
    scores = tf.constant([[0.9], [0.6], [0.1]])  # losses of 0.11, 0.51 and 2.3
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = loss(np.ones((3, 1), np.float32), scores)
    np.testing.assert_allclose(value, -np.log(0.9 * 0.6) / 3, rtol=1e-5)
    gradient = np.ravel(tape.gradient(value, scores))
    assert (gradient != 0).tolist() == [True, True, False]


@pytest.mark.parametrize("kind", BUILDERS)
def test_configuration_survives(kind):
    targets, scores = clips("multi")
    loss = make_loss({"kind": kind}, labels="multi")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    np.testing.assert_array_equal(copy.call(targets, scores), loss.call(targets, scores))


def test_everything_wrong_is_listed():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make_loss({"kind": "lsoft", "beta": 2, "gamma": 1}, labels="many")
    assert str(error.value).splitlines() == [
        "loss.beta is 2: needs a number, 0 to 1",
        "loss.gamma is no setting of lsoft; known: beta",
        "labels is 'many'; known: single, multi",
    ]
