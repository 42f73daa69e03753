"""The reference networks against tables worked out by hand, and against their own docstring."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from models.build import ARCHITECTURES, build
from models.networks import notebook


def conv1d_table(n_classes):
    """Layer by layer: output shape; weights are kernel * channels in * channels out + biases."""
    return [
        ("Conv1D", (31992, 16), 9 * 1 * 16 + 16),  # valid: 9 - 1 samples shorter
        ("Conv1D", (31984, 16), 9 * 16 * 16 + 16),
        ("MaxPooling1D", (1999, 16), 0),
        ("Dropout", (1999, 16), 0),
        ("Conv1D", (1997, 32), 3 * 16 * 32 + 32),
        ("Conv1D", (1995, 32), 3 * 32 * 32 + 32),
        ("MaxPooling1D", (498, 32), 0),
        ("Dropout", (498, 32), 0),
        ("Conv1D", (496, 32), 3 * 32 * 32 + 32),
        ("Conv1D", (494, 32), 3 * 32 * 32 + 32),
        ("MaxPooling1D", (123, 32), 0),
        ("Dropout", (123, 32), 0),
        ("Conv1D", (121, 256), 3 * 32 * 256 + 256),
        ("Conv1D", (119, 256), 3 * 256 * 256 + 256),
        ("GlobalMaxPooling1D", (256,), 0),
        ("Dropout", (256,), 0),
        ("Dense", (64,), 256 * 64 + 64),
        ("Dense", (1028,), 64 * 1028 + 1028),
        ("Dense", (n_classes,), 1028 * n_classes + n_classes),
    ]


def conv2d_table(n_classes):
    """Batch normalization has four numbers a channel: scale, offset, mean and variance."""
    rows, channels = [], 1
    for frames, coefficients in ((173, 40), (86, 20), (43, 10), (21, 5)):
        shape = (frames, coefficients, 32)
        rows += [
            ("Conv2D", shape, 10 * 4 * channels * 32 + 32),
            ("BatchNormalization", shape, 4 * 32),
            ("Activation", shape, 0),
            ("MaxPooling2D", (frames // 2, coefficients // 2, 32), 0),
        ]
        channels = 32
    return [
        *rows,
        ("Flatten", (10 * 2 * 32,), 0),
        ("Dense", (64,), 640 * 64 + 64),
        ("BatchNormalization", (64,), 4 * 64),
        ("Activation", (64,), 0),
        ("Dense", (n_classes,), 64 * n_classes + n_classes),
    ]


TABLES = {
    "conv1d": conv1d_table,
    "conv2d": conv2d_table,
    "dummy1d": lambda n: [("GlobalMaxPooling1D", (1,), 0), ("Dense", (n,), n + n)],
    "dummy2d": lambda n: [("GlobalMaxPooling2D", (1,), 0), ("Dense", (n,), n + n)],
}
SHAPES = {1: (32000,), 2: (173, 40)}


def notebook_model(name, n_classes):
    shape = SHAPES[len(ARCHITECTURES[name].least)]
    return build(name, shape, n_classes, labels="single", normalization="min-max")


@pytest.mark.parametrize("n_classes", [41, 80])
@pytest.mark.parametrize("name", TABLES)
def test_layers_shapes_and_parameters_are_those_worked_out_by_hand(name, n_classes):
    model = notebook_model(name, n_classes)
    expected = TABLES[name](n_classes)
    # the input, its channel axis and the normalization come before the network
    found = [
        (type(layer).__name__, layer.output.shape[1:], layer.count_params())
        for layer in model.layers[3:]
    ]
    assert found == expected
    assert model.count_params() == sum(parameters for _, _, parameters in expected)


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_the_docstring_are_true(name):
    section = re.search(rf"^{name}\n(.*?)(?=^\w|\Z)", notebook.__doc__, re.MULTILINE | re.DOTALL)
    rows = [re.split(r"  +", line.strip()) for line in section[1].splitlines()]
    source, *body, total = [row for row in rows if row[-1].isdigit()]
    model = notebook_model(name, 41)
    normalized, *layers = model.layers[2:]
    assert source[1] == " x ".join(map(str, normalized.output.shape[1:]))
    assert total == ["total", str(model.count_params())]
    for (text, shape, parameters), layer in zip(body, layers, strict=True):
        kind = {"relu": "Activation", "scores": "Dense"}.get(text, text.split()[0])
        assert kind == type(layer).__name__
        assert shape == " x ".join(map(str, layer.output.shape[1:]))
        assert int(parameters) == layer.count_params()


@pytest.mark.parametrize(
    ("name", "kernels", "rates", "pools"),
    [
        ("conv1d", [(9,)] * 2 + [(3,)] * 6, [0.1, 0.1, 0.1, 0.2], [(16,), (4,), (4,)]),
        # (frames, coefficients): the notebook's (4, 10) with time first
        ("conv2d", [(10, 4)] * 4, [], [(2, 2)] * 4),
    ],
)
def test_what_parameters_do_not_show(name, kernels, rates, pools):
    layers = notebook_model(name, 41).layers
    assert [la.kernel_size for la in layers if hasattr(la, "kernel_size")] == kernels
    assert [la.rate for la in layers if isinstance(la, keras.layers.Dropout)] == rates
    assert [la.pool_size for la in layers if hasattr(la, "pool_size")] == pools
    activations = [la.activation.__name__ for la in layers if hasattr(la, "activation")]
    if name == "conv1d":
        assert activations == ["relu"] * 10 + ["softmax"]
    else:  # a linear layer, batch normalization, relu
        assert activations == ["linear", "relu"] * 5 + ["softmax"]


@pytest.mark.parametrize("name", TABLES)
def test_the_least_length_is_enough(name):
    least = ARCHITECTURES[name].least
    model = build(name, least, 2, labels="multi", normalization="min-max")
    x = np.random.default_rng(0).normal(size=(1, *least))
    assert np.isfinite(model.predict(x, verbose=0)).all()


@pytest.mark.parametrize(
    ("name", "shape"), [("conv1d", (1615,)), ("conv2d", (15, 40)), ("conv2d", (173, 15))]
)
def test_less_is_not_enough_for_the_layers_themselves(name, shape):
    with pytest.raises(ValueError, match=r"output size would be|MaxPooling2D"):
        ARCHITECTURES[name].body(keras.Input((*shape, 1)))
