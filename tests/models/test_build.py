"""Every model of the table: it builds, runs, learns, and comes back from a file the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.build import ACTIVATIONS, ARCHITECTURES, build
from models.losses import make_loss
from models.metrics import Lwlrap
from models.names import MODELS, WAVE_MODELS, default_model
from pipeline.scoring import metrics

ROOT = Path(__file__).resolve().parents[2]

# Small, and unlike the notebook's: any length that the layers allow will do.
SHAPES = {
    name: tuple(map(max, ((2000,), (33, 20))[len(each.least) - 1], each.least))
    for name, each in ARCHITECTURES.items()
} | {"dummy1d": (50, 1), "dummy2d": (6, 5)}


def compile_for(model, labels, learning_rate):
    accuracy = [keras.metrics.CategoricalAccuracy(name="accuracy")] if labels == "single" else []
    model.compile(keras.optimizers.Adam(learning_rate), metrics=[*accuracy, Lwlrap()],
                  loss=make_loss({"kind": "cross-entropy"}, labels=labels))
    # A step that creates variables is traced twice.
    model.optimizer.build(model.trainable_variables)


LOAD = """
import sys
import keras
import numpy as np
import models.build
import models.metrics

for path in sys.argv[1:]:
    model = keras.saving.load_model(path, safe_mode=True)
    data = np.load(path + ".npz")
    found = model.test_on_batch(data["x"], data["y"], return_dict=True)
    np.savez(path + ".out.npz", scores=model(data["x"]), lwlrap=found["lwlrap"])
"""


def moments(name):
    """Mean and variance that standardize :func:`crops`."""
    shape = SHAPES[name]
    n_features = shape[1] if len(ARCHITECTURES[name].least) == 2 else 1
    return {"mean": np.linspace(-3, 3, n_features), "variance": np.linspace(1, 9, n_features)}


def crops(name, n_clips=3):
    return np.random.default_rng(0).normal(size=(n_clips, *SHAPES[name])).astype(np.float32)


@pytest.fixture
def mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_names_are_those_of_the_table_and_need_no_keras():
    assert set(MODELS) == set(ARCHITECTURES)
    assert [name for name in MODELS if len(ARCHITECTURES[name].least) == 1] == [*WAVE_MODELS]
    assert len(ARCHITECTURES[default_model(0)].least) == 1
    assert len(ARCHITECTURES[default_model(40)].least) == 2
    code = "import sys, models.names; assert not {'keras', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("labels", ACTIVATIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_scores(name, labels):
    model = build(name, SHAPES[name], 7, labels=labels, **moments(name))
    scores = np.asarray(model(crops(name)))
    assert scores.shape == (3, 7)
    assert scores.dtype == np.float32
    assert scores.min() >= 0
    assert scores.max() <= 1
    if labels == "single":
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_scores_of_several_labels_do_not_sum_to_one(name):
    keras.utils.set_random_seed(0)
    model = build(name, SHAPES[name], 7, labels="multi", **moments(name))
    # By its batch: normalized by its first averages, an untrained network gives zeros and ones.
    scores = np.asarray(model(crops(name), training=True))
    assert np.abs(scores.sum(axis=1) - 1).min() > 0.1


@pytest.mark.parametrize("name", SHAPES)
def test_standardizing_inside_is_standardizing_outside(name):
    shape, inside = SHAPES[name], moments(name)
    n_features = len(inside["mean"])
    keras.utils.set_random_seed(0)
    model = build(name, shape, 4, labels="multi", **inside)
    plain = build(
        name, shape, 4, labels="multi", mean=np.zeros(n_features), variance=np.ones(n_features)
    )
    plain.set_weights(model.get_weights())
    x = crops(name)
    mean, variance = (np.reshape(inside[k], -1) for k in ("mean", "variance"))
    np.testing.assert_allclose(model(x), plain((x - mean) / np.sqrt(variance)), atol=1e-5)


def test_min_max_makes_the_level_irrelevant():
    model = build("conv1d", (2000,), 4, labels="multi", normalization="min-max")
    x = crops("conv1d")
    found = model.predict(0.5 * x, verbose=0)
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-5)


def test_waves_with_and_without_a_channel_axis_give_the_same():
    x = crops("conv1d")
    flat = build("conv1d", (2000,), 4, labels="multi", normalization="min-max")
    column = build("conv1d", (2000, 1), 4, labels="multi", normalization="min-max")
    column.set_weights(flat.get_weights())
    np.testing.assert_array_equal(
        flat.predict(x, verbose=0), column.predict(x[..., np.newaxis], verbose=0)
    )


@pytest.mark.parametrize("name", ["conv1d", "conv2d"])
def test_mixed_precision_rounds_neither_input_nor_output(name, mixed_precision):
    shape = SHAPES[name]
    n_features = len(moments(name)["mean"])
    model = build(
        name, shape, 4, labels="single",
        mean=np.full(n_features, 1000), variance=np.ones(n_features),
    )
    assert "float16" in {layer.compute_dtype for layer in model.layers}
    # float16 has no number between 1000 and 1000.5
    x = np.full((2, *shape), 1000.25, np.float32)
    normalized = keras.Model(model.input, model.get_layer("standardize").output)(x)
    np.testing.assert_allclose(normalized, 0.25, atol=1e-4)
    scores = model(x)
    assert scores.dtype == "float32"
    np.testing.assert_allclose(np.sum(scores, axis=1), 1, atol=1e-6)


def tones():
    """Eight crops of four classes by pitch, for a network that sees waves or frames."""
    label = np.arange(8) % 4
    rng = np.random.default_rng(0)
    phase = rng.random((8, 1))
    for name in ("conv1d", "conv2d", "cnn"):
        time = np.linspace(0, 20 * np.pi, SHAPES[name][0])
        x = np.sqrt(2) * np.sin((0.5 + label[:, np.newaxis]) * time + phase)
        x = x.reshape(8, -1, *[1] * (len(SHAPES[name]) - 1))
        yield name, x + rng.normal(scale=0.05, size=(8, *SHAPES[name])), label


def levels():
    """Eight crops of two classes by level, which is all that the dummies know."""
    label = np.arange(8) % 2
    rng = np.random.default_rng(0)
    for name in ("dummy1d", "dummy2d"):
        level = (1.0 + label).reshape(8, *[1] * len(SHAPES[name]))
        yield name, level * rng.uniform(0.9, 1, size=(8, *SHAPES[name])), label


@pytest.mark.parametrize(
    ("name", "labels", "learning_rate", "steps"),
    [
        ("conv1d", "single", 1e-3, 150),
        ("cnn", "single", 1e-3, 60),
        # batch normalization's running moments trail by a hundred steps
        ("conv2d", "multi", 1e-3, 300),
        ("dummy1d", "multi", 0.2, 300),
        ("dummy2d", "single", 0.2, 300),
    ],
)
def test_overfits_eight_clips(name, labels, learning_rate, steps):
    keras.utils.set_random_seed(0)
    data = {name: (x.astype(np.float32), label) for name, x, label in [*tones(), *levels()]}
    x, label = data[name]
    y = np.eye(label.max() + 1, dtype=np.float32)[label]
    n_features = len(moments(name)["mean"])
    model = build(
        name, SHAPES[name], y.shape[1], labels=labels,
        mean=np.zeros(n_features), variance=np.ones(n_features),
    )
    compile_for(model, labels, learning_rate)
    untrained = model.evaluate(x, y, verbose=0, return_dict=True)
    steps_of_one_batch = tf.data.Dataset.from_tensors((x, y)).repeat(steps)
    model.fit(steps_of_one_batch, verbose=0, shuffle=False)
    trained = model.evaluate(x, y, verbose=0, return_dict=True)
    assert untrained["lwlrap"] < 1
    assert trained["lwlrap"] == 1
    assert trained["loss"] < 0.2 * untrained["loss"]


@pytest.mark.parametrize("labels", ACTIVATIONS)
def test_loss_and_metrics_are_those_of_the_task(labels):
    model = build("dummy2d", (6, 5), 4, labels=labels, normalization="min-max")
    compile_for(model, labels, 0.01)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    x, y = crops("dummy2d", 8), np.eye(4)[np.arange(8) % 4]
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0).astype(np.float64)
    if labels == "single":
        expected = {
            "loss": -np.log(p[y > 0]).mean(),
            "accuracy": metrics.accuracy(y, p),
        }
    else:
        expected = {"loss": -np.mean(np.where(y > 0, np.log(p), np.log(1 - p)))}
    expected["lwlrap"] = metrics.lwlrap(y, p)
    assert found == pytest.approx(expected, abs=1e-5)


def test_saved_models_load_in_a_fresh_process_that_imports_models_build(tmp_path, mixed_precision):
    cases = [
        ("cnn", "single", "mixed_bfloat16",
         {"normalization": "min-max", "network": {"size": "tiny"}}),
        ("conv1d", "single", "float32", {"normalization": "min-max"}),
        ("conv2d", "multi", "mixed_float16", moments("conv2d")),
        ("dummy1d", "multi", "float32", moments("dummy1d")),
        ("dummy2d", "single", "mixed_float16", {"normalization": "min-max"}),
    ]
    saved = {}
    for name, labels, policy, scaling in cases:
        keras.config.set_dtype_policy(policy)
        model = build(name, SHAPES[name], 5, labels=labels, **scaling)
        compile_for(model, labels, 0.01)
        x, y = crops(name, 4), np.eye(5)[:4]
        model.train_on_batch(x, y)
        path = tmp_path / f"{name}.keras"
        model.save(path)
        np.savez(f"{path}.npz", x=x, y=y)
        saved[path] = np.asarray(model(x)), y
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, saved)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}, check=False,
    )
    assert done.returncode == 0, done.stderr
    for path, (scores, y) in saved.items():
        with np.load(f"{path}.out.npz") as out:
            np.testing.assert_allclose(out["scores"], scores, atol=1e-6, err_msg=path.name)
            assert float(out["lwlrap"]) == pytest.approx(metrics.lwlrap(y, scores), abs=1e-6)


GOOD = {"labels": "multi", "normalization": "min-max"}


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("dummy", (2000,), 4), {}, "model is 'dummy'; did you mean dummy"),
        (("wavenet", (2000,), 4), {}, "known: cnn, conv1d, conv2d, crnn"),
        (("conv1d", (1615,), 4), {}, "conv1d needs at least 1616 samples, not 1615"),
        (("conv1d", (173, 40), 4), {}, r"\(173, 40\); conv1d takes \(samples,\)"),
        (("conv1d", (None,), 4), {}, r"\(None,\); .* whole numbers"),
        (("conv2d", (2000,), 4), {}, r"conv2d takes \(frames, features\)"),
        (("conv2d", (15, 10), 4), {}, r"(?s)least 16 frames, not 15\n.*least 16 features, not 10"),
        (("dummy1d", (0,), 4), {}, "dummy1d needs at least 1 samples, not 0"),
        (("conv1d", (2000,), 0), {}, "n_classes is 0; needs at least 1"),
        (("conv1d", (2000,), 1), {"labels": "single"}, "n_classes is 1; needs at least 2"),
        (("conv1d", (2000,), 4), {"labels": "mutli"}, "labels is 'mutli'; did you mean multi"),
        (("conv1d", (2000,), 4), {"normalization": "minmax"}, "did you mean min-max"),
        (("conv1d", (2000,), 4), {"normalization": "standardize"}, "mean is missing"),
        (("conv2d", (20, 40), 4),
         {"normalization": "standardize", "mean": np.zeros(20), "variance": np.ones(20)},
         r"(?s)mean has shape \(20,\); needs \(40,\)\nvariance has"),
        (("cnn", (None, 0), 4), {}, "cnn needs at least 1 features, not 0"),
        (("cnn", (20, None), 4), {}, r"\(20, None\); .* whole numbers"),
        (("conv2d", (None, 40), 4), {}, r"\(None, 40\); .* whole numbers"),
        (("conv2d", (20, 40), 4), {"network": {"size": "tiny"}},
         "network.size is no setting of conv2d, which has none"),
        (("cnn", (20, 40), 0), {"network": {"size": "huge", "poolin": "mean", "dropout": 1}},
         r"(?s)n_classes is 0.*\nnetwork.size is 'huge': needs one of tiny, small, medium, large\n"
         r"network.poolin is no setting of cnn; did you mean pooling\?\n"
         r"network.dropout is 1: needs a number, at least 0, below 1"),
        (("conv9", (1,), 0), {"labels": "x", "normalization": "y"},
         r"(?s)model is .*\n.*normalization is .*\n.*labels is .*\n.*n_classes is 0"),
    ],
)
def test_wrong_arguments_are_refused_all_at_once(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        build(*arguments, **(GOOD | options))


def test_deltas_become_channels():
    """The values of a frame are images one behind the other: three of 20 are three channels."""
    model = build("conv2d", (32, 60), 5, labels="multi", mean=np.arange(60), variance=np.ones(60),
                  channels=3)
    body = keras.Model(model.input, model.get_layer("channels").output)
    crop = np.random.default_rng(0).standard_normal((1, 32, 60)).astype(np.float32)
    (found,) = np.asarray(body(crop))
    assert found.shape == (32, 20, 3)
    for channel in range(3):
        part = slice(20 * channel, 20 * (channel + 1))
        np.testing.assert_allclose(found[:, :, channel], (crop - np.arange(60))[0, :, part],
                                   rtol=1e-5)


def test_deltas_of_any_number_of_frames_become_channels():
    model = build("cnn", (None, 60), 5, labels="multi", normalization="min-max", channels=3,
                  network={"size": "tiny"})
    assert model.get_layer("channels").output.shape == (None, None, 20, 3)
    assert model.predict(np.ones((2, 9, 60)), verbose=0).shape == (2, 5)


@pytest.mark.parametrize(("name", "shape", "message"), [
    ("conv2d", (32, 61), "cannot be 3 channels of the same width"),
    ("conv2d", (32, 45), "conv2d needs at least 16 features, not 15"),
    ("conv1d", (32000,), "cannot be 3 channels of the same width"),
])
def test_channels_that_cannot_be(name, shape, message):
    with pytest.raises(ValueError, match=message):
        build(name, shape, 5, labels="multi", normalization="min-max", channels=3)
