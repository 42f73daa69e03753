"""What a crop goes through before it meets a weight."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.layers import MinMaxCentring, standardization

# A few float32 operations.
FLOAT32 = 1e-6


@pytest.fixture
def mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_standardization_by_hand():
    x = np.array([[[1, 10], [3, 30]]], np.float32)[..., np.newaxis]
    y = standardization([1, 20], [4, 100], 2)(x)
    np.testing.assert_allclose(np.squeeze(y), [[0, -1], [1, 1]], atol=FLOAT32)


def test_standardized_training_data_has_mean_0_and_variance_1():
    rng = np.random.default_rng(0)
    x = rng.normal([-500, 0, 20], [100, 1e-3, 5], (50, 40, 3)).astype(np.float32)
    moments = x.mean(axis=(0, 1), dtype=np.float64), x.var(axis=(0, 1), dtype=np.float64)
    y = np.asarray(standardization(*moments, 3)(x), np.float64)
    np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=(0, 1)), 1, atol=1e-5)


def test_a_constant_feature_is_only_centred():
    # 1e-12 is what is left of the variance of a constant 700 after float32 rounding
    y = standardization([0, 700], [0, 1e-12], 2)(np.array([[[0.5, 701]]], np.float32))
    np.testing.assert_allclose(y, [[[0.5, 1]]], atol=FLOAT32)


@pytest.mark.parametrize(("mean", "variance"), [(0.25, 4), ([0.25], [4.0])])
def test_waves_have_one_feature(mean, variance):
    y = standardization(mean, variance, 1)(np.full((2, 5, 1), 2.25, np.float32))
    np.testing.assert_allclose(y, np.ones((2, 5, 1)), atol=FLOAT32)


@pytest.mark.parametrize(
    ("mean", "variance", "message"),
    [
        (None, [1, 1], "mean is missing"),
        ([0, 0], None, "variance is missing"),
        ([0, 0, 0], [1, 1], r"mean has shape \(3,\); needs \(2,\)"),
        ([0, 0], 1, r"variance has shape \(\); needs \(2,\)"),
        ([0, np.nan], [1, 1], "mean of feature 1 is nan"),
        ([0, 0], [np.inf, 1], "variance of feature 0 is inf"),
        ([0, 0], [1, -1], "variance of feature 1 is -1; needs 0 or more"),
        (["a", "b"], [1, 1], "mean has dtype <U1"),
        (None, [1], r"(?s)mean is missing.*\n.*variance has shape \(1,\)"),
    ],
)
def test_wrong_moments_are_refused(mean, variance, message):
    with pytest.raises(ValueError, match=message):
        standardization(mean, variance, 2)


def audio_norm(crop):
    """The notebook's normalization of one crop."""
    return (crop - crop.min()) / (crop.max() - crop.min() + 1e-6) - 0.5


def test_min_max_centring_by_hand():
    y = MinMaxCentring()(np.array([[0.2, -0.2, 0.0, 0.1]], np.float32))
    np.testing.assert_allclose(y, [[0.5, -0.5, 0, 0.25]], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-1, 1, width=16),
))
def test_min_max_centring_is_the_notebooks_crop_by_crop(x):
    y = np.asarray(MinMaxCentring()(x))
    expected = np.stack([audio_norm(crop.astype(np.float64)) for crop in x])
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert y.min() >= -0.5
    assert y.max() <= 0.5


def test_silence_becomes_a_constant():
    np.testing.assert_array_equal(MinMaxCentring()(np.zeros((1, 9, 1))), np.full((1, 9, 1), -0.5))


def test_both_compute_in_float32_under_mixed_precision(mixed_precision):
    # float16 has no number between 1000 and 1000.5
    x = np.array([[[1000.25], [1000.75]]], np.float32)
    for layer, expected in ((standardization([1000], [1], 1), [0.25, 0.75]),
                            (MinMaxCentring(), [-0.5, 0.5])):
        y = layer(x)
        assert y.dtype == "float32"
        np.testing.assert_allclose(np.ravel(y), expected, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [standardization([1, 2, 3], [0, 5, 1e-9], 3), MinMaxCentring(name="centre")]
)
def test_configuration_survives(layer):
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(copy(x), layer(x))
    assert copy.name == layer.name
    assert copy.compute_output_shape((2, 4, 3)) == layer(x).shape
