"""The tables in the networks' docstrings, and what all networks with settings have in common."""

from __future__ import annotations

import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.build import ARCHITECTURES, build, training_outputs

NETWORKS = [name for name, each in ARCHITECTURES.items() if each.any_length]
SHAPES = {1: (48000,), 2: (220, 80)}
CHEAP = {"size": "tiny"}


def model_of(name, shape, n_classes=5, **network):
    return build(name, shape, n_classes, labels="multi", normalization="min-max", network=network)


def rows_of(name):
    """The rows of a network's tables: lists of cells."""
    doc = sys.modules[ARCHITECTURES[name].body.__module__].__doc__
    section = re.search(rf"^{name}\n(.*?)(?=^\w|\Z)", doc, re.MULTILINE | re.DOTALL)[1]
    rows = [re.split(r"  +", line.strip()) for line in section.splitlines()]
    return [row for row in rows if row[-1].isdigit()]


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_of_the_docstring_are_true(name):
    source, *body, total = [row for row in rows_of(name) if len(row) == 3 or row[0] == "total"]
    model = model_of(name, SHAPES[len(ARCHITECTURES[name].least)], 80)
    normalized, *layers = model.layers[2:]
    assert source[1:] == [" x ".join(map(str, normalized.output.shape[1:])), "0"]
    found, parameters, named = [], 0, {row[0] for row in body}
    for layer in layers:
        parameters += layer.count_params()
        if layer.name in named:
            shape = " x ".join(map(str, layer.output.shape[1:]))
            found.append([layer.name, shape, str(parameters)])
            parameters = 0
    assert found == body
    assert parameters == 0
    assert total == ["total", str(model.count_params())]


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_of_the_docstring_are_true(name):
    sizes = {row[0]: int(row[1]) for row in rows_of(name) if len(row) == 2 and row[0] != "total"}
    assert {"tiny", "small"} <= set(sizes)
    shape = SHAPES[len(ARCHITECTURES[name].least)]
    found = {size: model_of(name, shape, 80, size=size).count_params() for size in sizes}
    assert found == sizes


@pytest.mark.parametrize("name", NETWORKS)
def test_the_least_input_is_enough(name):
    least = ARCHITECTURES[name].least
    x = np.random.default_rng(0).normal(size=(2, *least))
    model = model_of(name, least, **CHEAP)
    assert np.isfinite(model(x)).all()
    with pytest.raises(ValueError, match="needs at least"):
        model_of(name, (least[0] - 1, *least[1:]))


@pytest.mark.parametrize("name", NETWORKS)
def test_one_network_takes_any_length(name):
    """The same weights as of a network of a fixed length, and the same scores."""
    least = ARCHITECTURES[name].least
    width = (24,) if len(least) == 2 else ()
    any_length = model_of(name, (None, *width), **CHEAP)
    for length in (least[0], 3 * least[0] + 41):
        keras.utils.set_random_seed(0)
        fixed = model_of(name, (length, *width), **CHEAP)
        any_length.set_weights(fixed.get_weights())
        x = np.random.default_rng(length).normal(size=(2, length, *width))
        np.testing.assert_allclose(any_length(x), fixed(x), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_moves_every_weight_and_average(name):
    """No layer is left out of the graph or of the gradient."""
    least = ARCHITECTURES[name].least
    shape = (16, 16) if len(least) == 2 else (max(4000, least[0]),)
    keras.utils.set_random_seed(0)
    model = model_of(name, shape, **CHEAP)
    # A step in a graph is faster, but tracing it takes far longer than two steps.
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", run_eagerly=True)
    before = model.get_weights()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, *shape)), rng.integers(0, 2, (8, 5))
    for _ in range(2):
        model.train_on_batch(x, y)
    still = [v.path for v, w in zip(model.weights, before, strict=True)
             if np.array_equal(v.numpy(), w)]
    assert not [path for path in still if "seed" not in path]


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_bfloat16_gives_nearly_the_same_scores(name):
    least = ARCHITECTURES[name].least
    shape = (64, 32) if len(least) == 2 else (8000,)
    x = np.random.default_rng(0).normal(size=(2, *shape))
    keras.utils.set_random_seed(0)
    plain = model_of(name, shape, **CHEAP)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = model_of(name, shape, **CHEAP)
    finally:
        keras.config.set_dtype_policy(before)
    mixed.set_weights(plain.get_weights())
    assert "bfloat16" in {layer.compute_dtype for layer in mixed.layers}
    found = mixed(x)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, plain(x), atol=0.05)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_outputs_are_none_unless_asked_for(name):
    least = ARCHITECTURES[name].least
    assert training_outputs(model_of(name, least, **CHEAP)) == []


@pytest.mark.parametrize("name", NETWORKS)
def test_files_keep_the_network(name, tmp_path):
    least = ARCHITECTURES[name].least
    model = model_of(name, (None, 24) if len(least) == 2 else (None,), **CHEAP)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    x = np.random.default_rng(0).normal(size=(2, 300, 24) if len(least) == 2 else (2, 3000))
    np.testing.assert_array_equal(loaded(x), model(x))
