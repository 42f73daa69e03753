"""Every network of the project in every format gives the scores that Keras gives."""

import importlib.util

import keras
import numpy as np
import pytest

from features.logmel import LogMel
from features.waveform import Waveform
from models.build import ARCHITECTURES, build
from pipeline.batching.batches import cut
from pipeline.batching.crops import covering_crops
from pipeline.batching.source import CropSource
from pipeline.ensembling.means import mean_over_folds
from pipeline.exporting.clip_graph import ClipTagger
from pipeline.exporting.description import Description
from pipeline.exporting.exported_model import open_exported
from pipeline.exporting.float32_network import in_float32, rounding_bound
from pipeline.exporting.formats import WRITERS
from pipeline.extraction.clip_features import quantised
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import PipelineError

RUNTIMES = {"saved_model": "tensorflow", "litert": "ai_edge_litert", "onnx": "onnxruntime"}
CLASSES = ("a", "b", "c")
SECONDS = 0.25


@pytest.fixture
def mixed_precision():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def networks(name, feature, normalization, settings):
    """Two networks whose scores differ from crop to crop."""
    n_frames = feature.n_frames(round(SECONDS * feature.sr))
    shape = (n_frames, feature.width) if feature.width else (n_frames,)
    moments = {"mean": np.full(feature.width or 1, -30.0 if feature.width else 0.0),
               "variance": np.full(feature.width or 1, 400.0 if feature.width else 0.01)}
    found = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        network = build(name, shape, len(CLASSES), labels="single", normalization=normalization,
                        network=settings, **moments)
        network.layers[-1].kernel.assign(3 * network.layers[-1].kernel)
        found.append(network)
    return n_frames, found


def expected_scores(tagger, y, nets, n_frames):
    frames, _ = quantised(tagger(y), tagger.dtype)
    length, scale = np.array([len(frames)]), 1 / 32768 if tagger.dtype == "int16" else 1.0
    source = CropSource(("y",), frames, np.array([0]), length, n_frames, scale,
                        {0: tagger.silent_frame(frames)}, True)
    crops = cut(source, covering_crops(length, np.array([0]), n_frames))
    folds = [Scores(("y",), CLASSES, net(crops, training=False).numpy().mean(axis=0)[None])
             for net in nets]
    return mean_over_folds("run", folds, single=True).values[0]


def check(kind, path, feature, name, normalization, *, atol, settings=None, rounding=None):
    """Compare with Keras in float32, and within `rounding` with the networks as they were built."""
    if importlib.util.find_spec(RUNTIMES[kind]) is None:
        pytest.skip(f"{RUNTIMES[kind]} is not installed")
    n_frames, as_built = networks(name, feature, normalization, settings or {})
    nets = [in_float32(network) for network in as_built]
    tagger = ClipTagger(feature, nets, n_frames=n_frames, pad="silence", single=True)
    about = Description(run=name, model_version="0", folds=(0, 1), label_mode="single",
                        classes=CLASSES, sr=feature.sr, seconds=SECONDS, pad="silence", feature={})
    WRITERS[kind](path, tagger, about)
    model, rng, seen = open_exported(path), np.random.default_rng(0), []
    for seconds in (0.05, 0.25, 0.7):
        n = round(seconds * feature.sr)
        y = (np.linspace(0.01, 0.5, n) * rng.standard_normal(n)).astype(np.float32)
        seen.append(model.scores(y))
        np.testing.assert_allclose(seen[-1], expected_scores(feature, y, nets, n_frames), atol=atol)
        if rounding is not None:
            off = np.abs(seen[-1] - expected_scores(feature, y, as_built, n_frames)).max()
            assert atol < off <= rounding
    # The notebook's dummies see little more than a maximum.
    assert name.startswith("dummy") or np.ptp(seen, axis=0).max() > 10 * atol


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("normalization", ["standardize", "min-max"])
def test_all_networks(kind, name, normalization, tmp_path):
    feature = (Waveform(sr=8000) if len(ARCHITECTURES[name].least) == 1
               else LogMel(sr=8000, n_fft=256, hop_length=80, n_mels=32))
    if (kind, name) == ("litert", "crnn"):
        with pytest.raises(PipelineError, match=r"with --format litert: .*TensorListReserve"):
            check(kind, tmp_path / "model", feature, name, normalization, atol=1e-5)
        return
    check(kind, tmp_path / "model", feature, name, normalization, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_frames_stored_as_float16(kind, tmp_path):
    feature = LogMel(sr=8000, n_fft=256, hop_length=80, n_mels=32, dtype="float16")
    # A value that lies between two of float16 may be rounded to either.
    check(kind, tmp_path / "model", feature, "conv2d", "standardize", atol=1e-4)


@pytest.mark.parametrize("precision", [
    "mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", WRITERS)
def test_networks_of_mixed_precision(kind, precision, tmp_path, mixed_precision):
    mixed_precision(precision)
    feature = LogMel(sr=8000, n_fft=256, hop_length=80, n_mels=32)
    check(kind, tmp_path / "model", feature, "cnn", "standardize", atol=1e-5,
          settings={"size": "tiny", "stem_stride": 2}, rounding=rounding_bound(precision))
