"""The trainer's loss and averages against NumPy; what is kept, and what the digest covers."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.build import build
from models.losses import make_loss
from pipeline.runs.recipe import Recipe
from pipeline.runtime.errors import UsageError
from pipeline.store.schema import FeatureSpec
from pipeline.training import tensorflow_setup
from pipeline.training.callbacks import is_over, kept_epoch, plateau_scale
from pipeline.training.network import make_model, network_digest
from pipeline.training.network_task import NetworkTask
from pipeline.training.trainer import AUXILIARY_WEIGHTS, BATCH, Trainer

N_CLASSES, SHAPE = 3, (16, 8)
SPEC = FeatureSpec("logmel", 1, "float32", 8, "dB", {
    "sr": 8000, "n_fft": 256, "hop_length": 80, "n_mels": 8, "fmin": 0.0, "fmax": None,
    "top_db": 80.0, "trim_db": 60.0})
RECIPE = Recipe(
    features="logmel", model="dummy2d", network={}, start_from=None, labels="multi", noisy=True,
    seconds=0.16, pad="silence", normalization="standardize", crops="clip", seconds_max=None,
    overlap=0.0, score_seconds=None, curated=True, noisy_share=None, balance=False, teacher=None,
    batch_size=4, augment={}, loss={"kind": "cross-entropy"}, noisy_loss=None, noisy_head=False,
    optimizer={"kind": "adam"}, learning_rate=0.1, schedule={"kind": "constant"},
    averaging={"kind": "none"}, epochs=5, patience=2, monitor="loss", keep="best", validate_every=1,
    precision="float32", seed=0,
)


@pytest.fixture(scope="module", autouse=True)
def _started():
    """TensorFlow as training has it, which clears its session quickly."""
    tensorflow_setup.start()


def make_network(model="dummy2d", **settings):
    keras.utils.set_random_seed(0)
    return build(model, SHAPE, N_CLASSES, labels="multi", normalization="min-max",
                 network=settings)


def make_trainer(network, *, averaging=None, loss=None, noisy_loss=None, **settings):
    loss = loss or make_loss({"kind": "cross-entropy"}, labels="multi")
    trainer = Trainer(network, loss=loss, noisy_loss=noisy_loss or loss,
                      averaging=averaging or {"kind": "none"}, **settings)
    trainer.compile(keras.optimizers.SGD(0.5))
    return trainer


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return dict(zip(BATCH, (
        rng.normal(size=(4, *SHAPE)).astype(np.float32),
        (rng.random((4, N_CLASSES)) < 0.5).astype(np.float32),
        np.array([0, 1, 0.25, 0], np.float32),
    ), strict=True))


def cross_entropy(targets, scores):
    p = np.asarray(scores, np.float64)
    return -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p), axis=1)


def loss_of(trainer, batch):
    return float(trainer.compute_loss(y_pred=trainer(batch, training=False)))


# ---- the loss


def test_the_loss_is_the_mean_over_clips(batch):
    network = make_network()
    expected = cross_entropy(batch["targets"], network(batch["features"]))
    assert loss_of(make_trainer(network), batch) == pytest.approx(expected.mean(), rel=1e-6)


def test_noisy_clips_have_their_own_loss_in_proportion(batch):
    network = make_network()
    noisy_loss = make_loss({"kind": "focal", "gamma": 2}, labels="multi")
    scores = network(batch["features"])
    curated, noisy = cross_entropy(batch["targets"], scores), noisy_loss.call(
        batch["targets"], scores).numpy()
    expected = np.mean((1 - batch["noisy"]) * curated + batch["noisy"] * noisy)
    trainer = make_trainer(network, noisy_loss=noisy_loss)
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=1e-6)


def test_a_noisy_head_learns_noisy_clips_and_is_no_part_of_the_network(batch):
    network = make_network()
    n_layers = len(network.layers)
    trainer = make_trainer(network, noisy_head=True)
    own, other = trainer(batch, training=False)["scores"]
    expected = ((1 - batch["noisy"]) * cross_entropy(batch["targets"], own)
                + batch["noisy"] * cross_entropy(batch["targets"], other)).mean()
    assert not np.allclose(own, other)
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=1e-6)
    assert len(network.layers) == n_layers
    # Noisy clips alone leave the network's own output layer as it was.
    before = network.get_layer("scores").get_weights()
    trainer.train_on_batch({**batch, "noisy": np.ones(4, np.float32)})
    np.testing.assert_array_equal(network.get_layer("scores").get_weights()[0], before[0])


def test_auxiliary_heads_count_less_from_the_deepest_to_the_first(batch):
    network = make_network("cnn", size="tiny", auxiliary=True)
    trainer = make_trainer(network)
    scores = trainer(batch, training=False)["scores"]
    assert len(scores) == 1 + len(AUXILIARY_WEIGHTS)
    losses = [cross_entropy(batch["targets"], each).mean() for each in scores]
    expected = losses[0] + sum(w * x for w, x in zip(AUXILIARY_WEIGHTS, losses[1:], strict=True))
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=1e-5)
    assert AUXILIARY_WEIGHTS == (0.4, 0.2, 0.1)


def test_augmentation_changes_what_the_network_and_the_loss_see_in_training_alone(batch):
    class Swap(keras.layers.Layer):
        def call(self, batch, training=None):
            return {**batch, "targets": 1 - batch["targets"]} if training else batch

    network = make_network()
    trainer = make_trainer(network, augmentation=[Swap()])
    trained = trainer(batch, training=True)
    np.testing.assert_array_equal(trained["targets"], 1 - batch["targets"])
    np.testing.assert_array_equal(trainer(batch, training=False)["targets"], batch["targets"])


# ---- averages


def test_moving_averages_are_the_recursion_and_the_raw_weights_come_back(batch):
    network = make_network("cnn", size="tiny")
    trainer = make_trainer(network, averaging={"kind": "ema", "momentum": 0.4})
    variables = [v for v in network.variables if v.dtype == "float32"]
    average = None
    for n in range(6):
        trainer.train_on_batch(batch)
        weights = [v.numpy() for v in variables]
        keep = min(0.4, n / (n + 9))
        average = weights if average is None else [
            keep * a + (1 - keep) * w for a, w in zip(average, weights, strict=True)]
    with trainer.averaged() as averaged:
        assert averaged is network
        for v, expected in zip(variables, average, strict=True):
            np.testing.assert_allclose(v.numpy(), expected, rtol=1e-4, atol=1e-6)
    for v, w in zip(variables, weights, strict=True):
        np.testing.assert_array_equal(v.numpy(), w)
    # Batch normalization's statistics are averaged, too.
    assert any("moving" in v.path for v in variables)


def test_stochastic_weight_averaging_is_the_mean_over_epochs(batch):
    network = make_network()
    trainer = make_trainer(network, averaging={"kind": "swa", "start": 0.5})
    kernel, seen = network.get_layer("scores").kernel, []
    with trainer.averaged():  # nothing to average yet
        before = kernel.numpy()
    np.testing.assert_array_equal(kernel.numpy(), before)
    for _ in range(3):
        trainer.train_on_batch(batch)
        trainer.average_epoch()
        seen.append(kernel.numpy())
    with trainer.averaged():
        np.testing.assert_allclose(kernel.numpy(), np.mean(seen, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(kernel.numpy(), seen[-1])


def test_snapshots_average_scores_once_all_are_there(batch):
    network = make_network()
    trainer = make_trainer(network, averaging={"kind": "snapshots", "last": 2})
    expected = []
    for _ in range(2):
        with trainer.averaged() as scored:
            assert scored is network
        trainer.train_on_batch(batch)
        trainer.average_epoch()
        expected.append(network(batch["features"], training=False))
    trainer.train_on_batch(batch)
    own = network.get_weights()
    with trainer.averaged() as mean:
        np.testing.assert_allclose(mean(batch["features"], training=False),
                                   np.mean(expected, axis=0), atol=1e-6)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    for before, after in zip(own, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@given(st.integers(2, 6), st.integers(0, 4), st.integers(1, 5))
def test_snapshots_are_of_the_ends_of_the_last_cycles(last, earlier, length):
    cycles = last + earlier
    recipe = replace(RECIPE, epochs=cycles * length, keep="last",
                     schedule={"kind": "cosine", "cycles": cycles},
                     averaging={"kind": "snapshots", "last": last})
    found = [epoch for epoch in range(1, recipe.epochs + 1) if recipe.adds_to_average(epoch)]
    assert found == [length * cycle for cycle in range(earlier + 1, cycles + 1)]


# ---- which epoch, which learning rate


def rows_of(*losses):
    return [{"epoch": i, "val_loss": x, "val_lwlrap": 1 - x} for i, x in enumerate(losses, 1)]


def test_keep_last_trains_all_epochs_and_keeps_the_last():
    last = replace(RECIPE, keep="last")
    worse = rows_of(0.1, 0.2, 0.3, 0.4)
    assert is_over(worse, RECIPE)
    assert not is_over(worse, last)
    assert is_over(rows_of(0.1, 0.2, 0.3, 0.4, 0.5), last)
    assert [kept_epoch(rows_of(0.1, 0.2, 0.3, 0.4, 0.5)[:n], last) for n in range(6)] == [
        0, 0, 0, 0, 0, 5]
    assert kept_epoch(worse, RECIPE) == 1


@pytest.mark.parametrize(("losses", "scale"), [
    ((), 1), ((0.5, 0.4, 0.3), 1), ((0.5, 0.6), 1), ((0.5, 0.6, 0.5), 0.1),
    ((0.5, 0.6, 0.5, 0.4, 0.5), 0.1), ((0.5, 0.6, 0.5, 0.6, 0.7), 0.01),
])
def test_the_learning_rate_falls_after_epochs_without_improvement(losses, scale):
    recipe = replace(RECIPE, schedule={"kind": "plateau", "factor": 0.1, "patience": 2})
    assert plateau_scale(rows_of(*losses), recipe) == pytest.approx(scale)


# ---- from a recipe


def digest(**settings):
    return network_digest(NetworkTask(replace(RECIPE, **settings), SPEC, N_CLASSES, 1))


def test_the_digest_covers_everything_that_training_computes_with():
    found = [digest()] + [digest(**each) for each in (
        {"augment": {"mixup": {}}}, {"augment": {"mixup": {"alpha": 0.3}}},
        {"loss": {"kind": "focal"}}, {"noisy_loss": {"kind": "lsoft"}}, {"noisy_head": True},
        {"optimizer": {"kind": "sgd"}}, {"optimizer": {"kind": "sgd", "momentum": 0.5}},
        {"schedule": {"kind": "cosine"}}, {"schedule": {"kind": "cosine", "final": 0.5}},
        {"model": "cnn", "network": {"size": "tiny"}},
        {"model": "cnn", "network": {"size": "tiny", "auxiliary": True}},
    )]
    assert len(set(found)) == len(found)
    assert digest() == found[0]


def test_bad_settings_are_one_error_that_lists_them():
    bad = replace(RECIPE, model="cnn", network={"sizes": 1}, augment={"gain": {"db": -1}},
                  schedule={"kind": "cosine", "warmup_epochs": 9})
    with pytest.raises(UsageError) as caught:
        make_model(bad, SPEC, N_CLASSES, fold=0, mean=np.zeros(8), variance=np.ones(8))
    for part in ("size", "augment.gain.db", "warmup_epochs is 9"):
        assert part in str(caught.value)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_precision_is_that_of_the_layers_and_scores_are_float32(precision):
    trainer = make_model(replace(RECIPE, model="cnn", network={"size": "tiny"},
                                 precision=precision),
                         SPEC, N_CLASSES, fold=0, mean=np.zeros(8), variance=np.ones(8))
    computed = {layer.compute_dtype for layer in trainer.network.layers
                if isinstance(layer, keras.layers.Conv2D)}
    keras.config.set_dtype_policy("float32")
    assert computed == {precision.removeprefix("mixed_")}
    assert trainer.network.output.dtype == "float32"
