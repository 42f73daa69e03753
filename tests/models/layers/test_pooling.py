"""Layers that pool bands, time and channels, and the one that tells bands apart."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import softmax

from models.layers import (
    AttentionPooling,
    BandMean,
    ChannelSummary,
    FrequencyChannel,
    MeanMaxPooling,
)

FLOAT32 = 1e-6
X = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)


def test_band_mean():
    np.testing.assert_allclose(BandMean()(X), X.mean(axis=2), atol=FLOAT32)


def test_mean_plus_maximum_of_time():
    x = X[:, :, 0]
    expected = x.mean(axis=1) + x.max(axis=1)
    np.testing.assert_allclose(MeanMaxPooling()(x), expected, atol=FLOAT32)


def test_attention_is_the_mean_at_first():
    x = X[:, :, 0]
    np.testing.assert_allclose(AttentionPooling()(x), x.mean(axis=1), atol=FLOAT32)


def test_attention_weighs_time_by_what_it_learned():
    x, layer = X[:, :, 0], AttentionPooling()
    layer.build(x.shape)
    kernel, bias = np.random.default_rng(1).normal(size=(3, 3)), np.array([1.0, 0.0, -1.0])
    layer.set_weights([kernel, bias])
    weights = softmax(x @ kernel + bias, axis=1)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(layer(x), (weights * x).sum(axis=1), atol=FLOAT32)


def test_channel_summary():
    expected = np.stack([X.mean(axis=-1), X.max(axis=-1)], axis=-1)
    np.testing.assert_allclose(ChannelSummary()(X), expected, atol=FLOAT32)


def test_frequency_channel_goes_from_minus_1_to_1_over_the_bands():
    found = np.asarray(FrequencyChannel()(X))
    np.testing.assert_array_equal(found[..., :3], X)
    np.testing.assert_allclose(
        found[..., 3], np.broadcast_to([-1, -0.5, 0, 0.5, 1], (2, 7, 5)), atol=FLOAT32)
    assert np.asarray(FrequencyChannel()(X[:, :, :1]))[0, 0, 0, 3] == 0


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (BandMean, (None, 5, 3), (None, None, 3)),
        (MeanMaxPooling, (None, 3), (None, 3)),
        (AttentionPooling, (None, 3), (None, 3)),
        (ChannelSummary, (None, 5, 3), (None, None, 5, 2)),
        (FrequencyChannel, (None, 5, 3), (None, None, 5, 4)),
    ],
)
def test_shapes_of_any_length(layer, shape, expected):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer()(inputs))
    assert model.output_shape == expected
    x = np.ones([2] + [7 if n is None else n for n in shape])
    found = model.predict(x, verbose=0).shape
    assert found == tuple(n or m for n, m in zip(expected, (2, 7, 0, 0), strict=False))


@pytest.mark.parametrize("layer", [BandMean, MeanMaxPooling, AttentionPooling])
def test_pooling_is_float32_under_any_policy(layer):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x = X if layer is BandMean else X[:, :, 0]
        assert layer()(x).dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)
