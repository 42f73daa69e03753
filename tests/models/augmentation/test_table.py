"""What every augmentation keeps to, and settings."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import augmentation_options
from models.augmentation.compatibility import FULL_SCALE, NEEDS, feature_problems
from models.augmentation.table import AUGMENTATIONS, augmentation_layers

WIDTH = 12
FILL = np.linspace(-70, -40, WIDTH)
UNITS = {FULL_SCALE: 0.0, "dB": FILL}
DEFAULTS, _ = augmentation_options.AUGMENTATIONS.check({name: {} for name in AUGMENTATIONS})
EVERY = [
    (name, unit) for name in AUGMENTATIONS for unit in UNITS
    if not feature_problems(name, DEFAULTS[name], unit=unit, bands=True)
]


def make(name, unit="dB", seed=0, **settings):
    (layer,) = augmentation_layers({name: settings}, unit=unit, fill=UNITS[unit], seed=seed)
    return layer


@pytest.fixture
def deterministic():
    """Operations that are not repeatable raise an error; there is no way back."""
    tf.config.experimental.enable_op_determinism()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def differ(one, other):
    return not np.array_equal(one["features"], other["features"])


def test_the_table_of_options_lists_every_augmentation_in_order():
    assert list(AUGMENTATIONS) == list(augmentation_options.AUGMENTATIONS.options)


def test_every_augmentation_works_on_frames():
    assert {name for name, unit in EVERY if unit == "dB"} == set(AUGMENTATIONS)


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_it_changes_crops_in_training_alone(name, unit, crops, apply):
    batch, layer = crops(unit), make(name, unit)
    assert_same(layer(batch, training=False), batch)
    assert_same(make(name, unit, probability=0)(batch, training=True), batch)
    result = apply(layer, batch)
    assert differ(result, batch)
    for key, values in result.items():
        assert values.shape == batch[key].shape
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert result["targets"].min() >= 0
    assert result["targets"].max() <= 1


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_a_crop_that_is_not_chosen_keeps_its_values(name, unit, crops, apply):
    batch, layer = crops(unit, n_crops=200), make(name, unit, probability=0.3)
    result = apply(layer, batch)
    same = np.array([np.array_equal(*pair) for pair in zip(result["features"], batch["features"],
                                                           strict=True)])
    # Some augmentations draw no change now and then.
    assert 0.5 < same.mean() < 0.9
    for key in ("targets", "noisy"):
        np.testing.assert_array_equal(result[key][same], batch[key][same])


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_in_a_graph_with_unknown_lengths_it_does_the_same(name, unit, deterministic, crops, apply):
    eager, traced = make(name, unit), make(name, unit)
    frames = (None,) if unit == FULL_SCALE else (None, WIDTH)
    signature = {
        "features": tf.TensorSpec((None, *frames), tf.float32),
        "targets": tf.TensorSpec((None, 5), tf.float32),
        "noisy": tf.TensorSpec((None,), tf.float32),
    }
    function = tf.function(lambda batch: traced(batch, training=True), input_signature=[signature])
    for seed, n_crops in enumerate((8, 3, 1)):
        batch = crops(unit, seed, n_crops)
        batch["features"] = batch["features"][:, seed:]
        result = function(batch)
        for key, values in apply(eager, batch).items():
            np.testing.assert_allclose(result[key], values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_draws_follow_the_seed_and_can_be_resumed(name, unit, crops, apply):
    batch, layer = crops(unit), make(name, unit)
    first = apply(layer, batch)
    (state,) = layer.variables
    saved = state.numpy()
    second = apply(layer, batch)
    assert differ(first, second)
    assert differ(apply(make(name, unit, seed=1), batch), first)
    resumed = make(name, unit)
    resumed.variables[0].assign(saved)
    assert_same(apply(resumed, batch), second)


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_a_model_can_hold_it_and_has_no_weights_of_it(name, unit):
    layer = make(name, unit)
    model = keras.Sequential([layer])
    assert layer.weights == model.weights == model.trainable_variables == []
    assert model.variables == layer.variables  # its random generator


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_it_computes_in_float32_under_mixed_precision(name, unit, policy, crops, apply):
    batch = crops(unit)
    expected = apply(make(name, unit), batch)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        assert_same(apply(make(name, unit), batch), expected)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_a_channel_axis_makes_no_difference(name, unit, crops, apply):
    batch = crops(unit)
    expected = apply(make(name, unit), batch)
    batch["features"] = batch["features"][..., np.newaxis]
    result = apply(make(name, unit), batch)
    np.testing.assert_array_equal(result["features"][..., 0], expected["features"])


@pytest.mark.parametrize(("name", "unit"), EVERY)
def test_configuration_survives(name, unit, crops, apply):
    layer = make(name, unit, probability=0.7)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert_same(apply(copy, crops(unit)), apply(layer, crops(unit)))


def test_layers_come_in_the_order_of_the_table():
    settings = {name: {} for name in reversed(AUGMENTATIONS)}
    layers = augmentation_layers(settings, unit="dB", fill=FILL, seed=3)
    assert [layer.name for layer in layers] == list(AUGMENTATIONS)
    assert len({layer.seed for layer in layers}) == len(layers)


def test_an_augmentation_draws_the_same_whichever_others_there_are():
    alone, *_ = augmentation_layers({"masks": {}}, unit="dB", fill=FILL, seed=3)
    *_, last = augmentation_layers({"gain": {}, "masks": {}}, unit="dB", fill=FILL, seed=3)
    assert alone.seed == last.seed


def test_everything_wrong_is_listed():
    settings = {
        "mixap": {}, "gain": {"db": -1, "probability": 2}, "masks": {"n_tme": 1}, "mixup": 3,
        "sample_pairing": {"domain": "power"}, "equalizer": {},
    }
    with pytest.raises(ValueError) as error:  # noqa: PT011
        augmentation_layers(settings, unit="PCEN", fill=0.0, seed=0)
    assert str(error.value).splitlines() == [
        "augment.mixap is unknown; did you mean mixup?",
        "augment.gain.db is -1: needs a number, at least 0",
        "augment.gain.probability is 2: needs a number, 0 to 1",
        "augment.mixup is 3: needs a mapping of some of its settings: probability, alpha, weights, "
        "labels, domain, levels",
        "augment.masks.n_tme is no setting of masks; did you mean n_time?",
        "augment.equalizer needs features in dB, not in PCEN",
        "augment.sample_pairing.domain is power: needs features in dB, not in PCEN",
    ]


def test_coefficients_and_waves_are_no_bands():
    for name in ("gain", "equalizer", "resized_crop", "mel_warp", "band_shift"):
        with pytest.raises(ValueError, match=f"augment.{name} needs frequency bands"):
            augmentation_layers({name: {}}, unit="dB", fill=FILL, seed=0, bands=False)
    with pytest.raises(ValueError, match="masks needs frames of several values"):
        augmentation_layers({"masks": {}}, unit=FULL_SCALE, fill=0.0, seed=0)
    assert augmentation_layers({"masks": {}}, unit="dB", fill=FILL, seed=0, bands=False)


def test_levels_are_known_of_power_and_of_waves():
    with pytest.raises(ValueError, match=r"mixup\.levels is true: needs domain: power, or waves"):
        augmentation_layers({"mixup": {"levels": True}}, unit="dB", fill=FILL, seed=0)
    for settings, unit in (({"domain": "power"}, "dB"), ({}, FULL_SCALE)):
        assert augmentation_layers({"mixup": {"levels": True, **settings}}, unit=unit, fill=0.0,
                                   seed=0)


def test_what_needs_something_is_an_augmentation():
    assert NEEDS.keys() < AUGMENTATIONS.keys()
