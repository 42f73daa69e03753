"""What the settings of the cnn do."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.build import build, training_outputs
from models.layers import BatchNorm
from models.networks.cnn import SIZES


def cnn(shape=(32, 16), **network):
    return build("cnn", shape, 5, labels="multi", normalization="min-max",
                 network={"size": "tiny", **network})


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def parameters_by_hand(channels, n_classes, n_inputs):
    """Convolutions without biases and four numbers per channel of batch normalization."""
    total = 0
    for n in channels:
        total += 9 * n_inputs * n + 4 * n + 9 * n * n + 4 * n
        n_inputs = n
    return total + n_inputs * n_inputs + n_inputs + n_inputs * n_classes + n_classes


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("frequency_channel", [True, False])
def test_parameters_are_those_worked_out_by_hand(size, frequency_channel):
    model = cnn(size=size, frequency_channel=frequency_channel)
    expected = parameters_by_hand(SIZES[size], 5, 2 if frequency_channel else 1)
    assert model.count_params() == expected


def test_convolutions_have_no_bias_and_are_followed_by_batch_norm_and_relu():
    layers = cnn().layers
    found = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Conv2D)]
    assert len(found) == 8
    for i in found:
        assert not layers[i].use_bias
        assert layers[i].kernel_size == (3, 3)
        assert isinstance(layers[i + 1], BatchNorm)
        assert isinstance(layers[i + 2], keras.layers.ReLU)


@pytest.mark.parametrize(
    ("network", "kind", "count"),
    [
        ({"block_pooling": "max"}, "MaxPooling2D", 4),
        ({"block_pooling": "average"}, "AveragePooling2D", 4),
        ({"pooling": "mean-max"}, "MeanMaxPooling", 1),
        ({"pooling": "mean"}, "GlobalAveragePooling1D", 1),
        ({"pooling": "attention"}, "AttentionPooling", 1),
        ({"attention": None}, "Multiply", 0),
        ({"attention": "se"}, "Multiply", 4),
        ({"attention": "cbam"}, "ChannelSummary", 4),
        ({"frequency_channel": False}, "FrequencyChannel", 0),
    ],
)
def test_settings_choose_layers(network, kind, count):
    assert kinds(cnn(**network)).count(kind) == count


def test_a_stem_of_stride_2_halves_frames_and_bands_once_more():
    shapes = [cnn((64, 32), stem_stride=stride).get_layer("block_1").output.shape[1:3]
              for stride in (1, 2)]
    assert shapes == [(32, 16), (16, 8)]


def test_dropout_has_the_rate_asked_for():
    rates = [layer.rate for layer in cnn(dropout=0.4).layers
             if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.4, 0.4]


def test_auxiliary_heads_train_the_blocks_and_leave_the_model_as_it_is(tmp_path):
    keras.utils.set_random_seed(0)
    model = cnn(auxiliary=True)
    heads = training_outputs(model)
    assert [tuple(head.shape) for head in heads] == [(None, 5)] * 3
    assert model.count_params() == cnn().count_params()
    trainer = keras.Model(model.input, [model.output, *heads])
    # Deepest first: the scores of 64, 32 and 16 channels.
    sizes = [trainer.get_layer(f"auxiliary_{i}").kernel.shape for i in (1, 2, 3)]
    assert sizes == [(64, 5), (32, 5), (16, 5)]
    trainer.compile("sgd", ["binary_crossentropy"] * 4, loss_weights=[0, 0, 0, 1])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 32, 16)), rng.integers(0, 2, (4, 5))
    before = [v.numpy() for v in model.trainable_variables]
    trainer.train_on_batch(x, [y] * 4)
    moved = [not np.array_equal(a, b.numpy())
             for a, b in zip(before, model.trainable_variables, strict=True)]
    # The head of the first block reaches its two convolutions and their batch normalization alone.
    assert moved == [True] * 6 + [False] * (len(moved) - 6)

    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert training_outputs(loaded) == []


@pytest.mark.parametrize("network", [{"attention": "cbam", "pooling": "attention"},
                                     {"attention": "se", "block_pooling": "max"}])
def test_files_keep_every_variant(network, tmp_path):
    model = cnn(**network)
    x = np.random.default_rng(0).normal(size=(2, 32, 16))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(x), model(x))
