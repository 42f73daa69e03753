"""Networks of mixed precision, rebuilt in float32."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.build import ARCHITECTURES, build
from pipeline.exporting.float32_network import in_float32, rounding_bound

MIXED = ("mixed_bfloat16", "mixed_float16")


def network(name, precision, **settings):
    """A network whose scores differ from crop to crop, with the same weights for any precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        keras.utils.set_random_seed(0)
        shape = (24, 16) if len(ARCHITECTURES[name].least) == 2 else (2000,)
        result = build(name, shape, 3, labels="single", normalization="min-max", network=settings)
    finally:
        keras.config.set_dtype_policy(before)
    result.layers[-1].kernel.assign(3 * result.layers[-1].kernel)
    return result


def crops(name, n=4):
    shape = (24, 16) if len(ARCHITECTURES[name].least) == 2 else (2000,)
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)


@pytest.mark.parametrize(("precision", "bound"), zip(MIXED, (1 / 16, 1 / 128), strict=True))
def test_the_bound_is_sixteen_roundings(precision, bound):
    assert rounding_bound(precision) == bound


@pytest.mark.parametrize("precision", MIXED)
def test_scores_are_those_of_a_network_that_was_built_in_float32(precision):
    mixed = network("cnn", precision, size="tiny", attention="cbam", pooling="attention")
    plain = network("cnn", "float32", size="tiny", attention="cbam", pooling="attention")
    plain.set_weights(mixed.get_weights())
    result, x = in_float32(mixed), crops("cnn")
    np.testing.assert_array_equal(result.predict_on_batch(x), plain.predict_on_batch(x))
    off = np.abs(result.predict_on_batch(x) - mixed.predict_on_batch(x)).max()
    assert 1e-7 < off <= rounding_bound(precision)
    assert {layer.compute_dtype for layer in result.layers} == {"float32"}
    assert precision.removeprefix("mixed_") in {layer.compute_dtype for layer in mixed.layers}


def test_layers_inside_of_layers_are_rebuilt_too():
    gru = in_float32(network("crnn", "mixed_bfloat16", size="tiny")).get_layer("gru")
    inner = (gru.forward_layer, gru.backward_layer, gru.forward_layer.cell)
    assert {layer.compute_dtype for layer in inner} == {"float32"}


def test_a_network_in_float32_is_returned_as_it_is():
    plain = network("cnn", "float32", size="tiny")
    assert in_float32(plain) is plain


@pytest.mark.slow
@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if "dummy" not in name])
def test_scores_of_all_networks_lie_within_the_bound(name, precision):
    mixed, x = network(name, precision), crops(name, 16)
    scores = in_float32(mixed).predict_on_batch(x)
    off = np.abs(scores - mixed.predict_on_batch(x)).max()
    print(name, precision, off, np.ptp(scores, axis=0).max())
    assert 0 < off <= rounding_bound(precision)
