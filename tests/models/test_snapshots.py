"""Several snapshots of a network in one model: the mean of their scores, also from a file."""

import keras
import numpy as np
import pytest

from models.build import build
from models.snapshots import mean_of_snapshots

N_CLASSES = 3


def make_network(model, precision="float32", **network):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    try:
        return build(model, (20, 8), N_CLASSES, labels="single", mean=np.arange(8),
                     variance=np.arange(1, 9), network=network)
    finally:
        keras.config.set_dtype_policy("float32")


def weights_of(network, n):
    """`n` sets of weights, none larger than initially, so that nothing overflows in 16 bits."""
    rng = np.random.default_rng(n)
    sets = [[w * rng.uniform(0.7, 1, w.shape) for w in network.get_weights()] for _ in range(n)]
    for *_, bias in sets:
        bias += rng.normal(size=bias.shape)
    return sets


def test_scores_are_averaged_not_weights():
    inputs = keras.Input((1,))
    network = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
    model = mean_of_snapshots(network, [[[[0]], [0]], [[[np.log(3)]], [0]], [[[np.log(9)]], [0]]])
    np.testing.assert_allclose(model(np.ones((1, 1))), [[(0.5 + 0.75 + 0.9) / 3]], rtol=1e-6)


@pytest.mark.parametrize(("name", "precision"), [
    ("se_resnet", "float32"), ("crnn", "float32"), ("cnn", "mixed_float16"),
])
def test_the_model_scores_as_each_of_its_snapshots_on_average_also_from_a_file(
    name, precision, tmp_path
):
    network = make_network(name, precision, size="tiny")
    own = network.get_weights()
    snapshots = weights_of(network, 3)
    model = mean_of_snapshots(network, snapshots)
    for before, after in zip(own, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    crops = np.random.default_rng(1).normal(size=(4, 20, 8)).astype(np.float32)
    expected = []
    for weights in snapshots:
        network.set_weights(weights)
        expected.append(network(crops, training=False))
    assert np.ptp(expected, axis=0).max() > 1e-3  # they differ
    found = model(crops, training=False)
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded(crops, training=False), found)
    assert loaded.input_shape == network.input_shape
    assert loaded.output_shape == network.output_shape


def test_what_is_no_snapshot_is_refused():
    network = make_network("dummy2d")
    one, two = weights_of(network, 2)
    with pytest.raises(ValueError, match="snapshots has 1; needs at least 2"):
        mean_of_snapshots(network, [one])
    with pytest.raises(ValueError, match="weight"):
        mean_of_snapshots(network, [one, two[:-1]])
