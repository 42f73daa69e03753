"""The Keras metric against the NumPy one, whatever the batches are."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.metrics import Lwlrap
from pipeline.scoring import metrics

# A mean of terms of at most 1, summed in the metric's own dtype.
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


def example(n_clips=200, n_classes=10):
    """Labels, some clips without any, and scores of few values so that many are tied."""
    rng = np.random.default_rng(0)
    truth = (rng.random((n_clips, n_classes)) < 0.15).astype(np.float32)
    return truth, (rng.integers(8, size=truth.shape) / 8 + 0.2 * truth).astype(np.float32)


def fed(truth, scores, cuts, **options):
    metric = Lwlrap(**options)
    for y_true, y_pred in zip(np.split(truth, cuts), np.split(scores, cuts), strict=True):
        metric.update_state(y_true, y_pred)
    return metric


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_agrees_with_numpy_over_any_batches(data):
    shape = data.draw(st.tuples(st.integers(1, 8), st.integers(2, 6)))
    truth = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1)))
    truth[data.draw(st.integers(0, shape[0] - 1)), 0] = 1
    scores = data.draw(hnp.arrays(np.float64, shape, elements=st.integers(0, 3).map(float)))
    cuts = sorted(data.draw(st.lists(st.integers(1, shape[0]), max_size=3)))
    dtype = data.draw(st.sampled_from(sorted(TOLERANCE)))
    found = float(fed(truth, scores, cuts, dtype=dtype).result())
    assert found == pytest.approx(metrics.lwlrap(truth, scores), abs=TOLERANCE[dtype])


def test_before_the_first_label_it_is_0():
    metric = Lwlrap()
    assert metric.result() == 0
    metric.update_state([[0, 0]], [[0.1, 0.2]])
    assert metric.result() == 0


def test_reset_forgets():
    truth, scores = example()
    metric = fed(truth, scores, [50])
    metric.reset_state()
    metric.update_state([[1, 0]], [[0.1, 0.2]])
    assert metric.result() == 0.5


def test_nan_does_not_pass_for_a_score():
    for scores in ([[np.nan, 0.2]], [[0.2, np.nan]]):
        metric = fed(np.array([[1, 0]]), np.array(scores), [])
        metric.update_state([[1, 0]], [[0.3, 0.2]])
        assert np.isnan(metric.result())


def test_scores_are_compared_in_their_own_dtype():
    # equal in float32
    assert fed(np.array([[1, 0]]), np.array([[1 + 1e-12, 1]]), []).result() == 1


def test_a_soft_target_is_a_label_from_a_half_on():
    truth = np.array([[0.5, 0.49, 0.3]], np.float32)
    assert fed(truth, np.array([[0.8, 0.9, 0.1]]), []).result() == 0.5


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_weight_is_how_often_a_clip_counts(shape):
    truth, scores = example(n_clips=30)
    times = np.random.default_rng(1).integers(0, 4, size=30)
    metric = Lwlrap()
    metric.update_state(truth, scores, sample_weight=times.reshape(shape))
    expected = metrics.lwlrap(np.repeat(truth, times, axis=0), np.repeat(scores, times, axis=0))
    assert float(metric.result()) == pytest.approx(expected, abs=TOLERANCE["float32"])


def test_runs_compiled_with_batches_of_unknown_size():
    truth, scores = example()
    metric = Lwlrap()
    batch = tf.TensorSpec([None, truth.shape[1]], tf.float32)

    @tf.function(input_signature=[batch, batch], jit_compile=True)
    def update(y_true, y_pred):
        metric.update_state(y_true, y_pred)

    for part in (slice(0, 64), slice(64, None)):
        update(truth[part], scores[part])
    expected = metrics.lwlrap(truth, scores)
    assert float(metric.result()) == pytest.approx(expected, abs=TOLERANCE["float32"])


def test_configuration_survives():
    metric = Lwlrap(name="val", dtype="float64")
    config = keras.saving.serialize_keras_object(metric)
    copy = keras.saving.deserialize_keras_object(config)
    assert isinstance(copy, Lwlrap)
    assert (copy.name, copy.dtype) == ("val", "float64")
