"""Fused batch normalization against Keras's own, which computes it by separate operations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.layers import BatchNorm

ROOT = Path(__file__).resolve().parents[3]

# Sums of some hundred float32 values.
FLOAT32 = 1e-5


@pytest.fixture
def policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def pair(shape, *, momentum=0.9, trainable=True):
    """Both layers, with the same weights unlike the initial ones."""
    ours = BatchNorm(momentum=momentum, trainable=trainable)
    keras_own = keras.layers.BatchNormalization(
        momentum=momentum, epsilon=1e-3, trainable=trainable)
    rng = np.random.default_rng(1)
    gamma, beta, mean = rng.normal(size=(3, shape[-1]))
    weights = [gamma, beta, mean, rng.uniform(0.5, 2, shape[-1])]
    for layer in (ours, keras_own):
        layer.build(shape)
        by_name = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), weights,
                           strict=True))
        for variable in layer.variables:
            variable.assign(by_name[variable.name])
    return ours, keras_own


def test_by_hand():
    layer = BatchNorm(momentum=0.75)
    x = np.array([[[0.0], [2.0]], [[4.0], [6.0]]], np.float32)  # mean 3, variance 5
    found = layer(x, training=True)
    np.testing.assert_allclose(found, (x - 3) / np.sqrt(5 + 1e-3), atol=FLOAT32)
    np.testing.assert_allclose(layer.moving_mean, [0.25 * 3], atol=FLOAT32)
    # of 4 values: 20 / 4, not 20 / 3
    np.testing.assert_allclose(layer.moving_variance, [0.75 + 0.25 * 5], atol=FLOAT32)
    after = layer(x)
    np.testing.assert_allclose(after, (x - 0.75) / np.sqrt(2 + 1e-3), atol=FLOAT32)


@settings(max_examples=20, deadline=None)
@given(
    axes=st.lists(st.integers(1, 5), min_size=1, max_size=3), channels=st.integers(1, 4),
    training=st.booleans(), trainable=st.booleans(), seed=st.integers(0, 99),
)
def test_outputs_averages_and_gradients_are_those_of_keras(
    axes, channels, training, trainable, seed
):
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(1, 2, (*axes, channels)), tf.float32)
    upstream = tf.constant(rng.normal(size=x.shape), tf.float32)
    results = []
    for layer in pair(x.shape, trainable=trainable):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y * upstream)
        sources = [x, *(v.value for v in layer.trainable_variables)]
        results.append([y, *tape.gradient(loss, sources), *layer.get_weights()])
    for ours, theirs in zip(*results, strict=True):
        # The variance of a single value or of equal ones is rounding noise beside epsilon.
        np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_weights_and_moments_are_float32_under_any_policy(name, policy):
    policy(name)
    layer = BatchNorm()
    x = np.random.default_rng(0).normal(300, 2, (8, 16, 16, 3)).astype(np.float32)
    half = tf.cast(x, layer.compute_dtype)
    y = layer(x, training=True)
    assert y.dtype == layer.compute_dtype
    assert {v.dtype for v in layer.variables} == {"float32"}
    seen = np.asarray(tf.cast(half, tf.float64))
    mean, variance = seen.mean(axis=(0, 1, 2)), seen.var(axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-3)
    expected = (seen - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(tf.cast(y, tf.float64), expected, atol=0.02)


@pytest.mark.parametrize("shape", [(None, 3), (None, None, 3), (None, None, None, 3)])
def test_any_length_in_a_graph(shape):
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, BatchNorm()(inputs))
    assert model.output_shape == shape
    x = np.random.default_rng(0).normal(size=[4 if n is None else n for n in shape])
    np.testing.assert_allclose(model.predict(x, verbose=0), x / np.sqrt(1 + 1e-3), atol=FLOAT32)


def test_files_keep_weights_and_settings(tmp_path):
    model = keras.Sequential([keras.Input((4, 3)), BatchNorm(momentum=0.5, epsilon=0.01)])
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    model(x, training=True)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert (loaded.layers[0].momentum, loaded.layers[0].epsilon) == (0.5, 0.01)
    np.testing.assert_array_equal(loaded(x), model(x))


REPEAT = """
import hashlib
from pipeline.training import tensorflow_setup
tensorflow_setup.start(2)
import keras, numpy as np
from models.layers import BatchNorm
for policy in ("float32", "mixed_bfloat16"):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(16, 3, use_bias=False),
                              BatchNorm(), keras.layers.GlobalMaxPooling2D(),
                              keras.layers.Dense(1, dtype="float32")])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(16, 32, 32, 1))
    for _ in range(3):
        model.train_on_batch(x, x[:, 0, 0])
    weights = b"".join(w.tobytes() for w in model.get_weights())
    print(hashlib.sha256(weights).hexdigest())
"""


def test_training_repeats_to_the_bit_under_op_determinism():
    command = [sys.executable, "-c", REPEAT]
    first, second = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert len(first) == 2
    assert first == second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, "momentum is 1.0; needs 0 or more and less than 1"),
        ({"momentum": -1, "epsilon": 0}, r"(?s)momentum is -1.*\nepsilon is 0"),
    ],
)
def test_arguments_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm(**options)


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 4, 5), (2, None)])
def test_inputs_that_cannot_be(shape):
    with pytest.raises(ValueError, match="needs 2 to 4 axes"):
        BatchNorm().build(shape)
