"""Features in a graph: those of ``features/``, in each format that they are exported to."""

import importlib.util
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf

from features.base import Feature
from features.delta import Delta
from features.logmel import LogMel
from features.mfcc import Mfcc
from features.pcen import Pcen
from features.waveform import Waveform
from pipeline.exporting.description import Description
from pipeline.exporting.exported_model import OUTPUT, open_exported
from pipeline.exporting.feature_graphs import GRAPHS, as_stored, make_graph
from pipeline.exporting.formats import WRITERS
from pipeline.extraction.clip_features import quantised
from pipeline.runtime.errors import UsageError
from pipeline.synthesis.dataset import draw_split

SIGNATURE = [tf.TensorSpec([None], tf.float32, name="waveform")]
SMALL = {"sr": 8000, "n_fft": 256, "hop_length": 100, "n_mels": 20}
FEATURES = {
    "waveform": Waveform(sr=8000),
    "logmel": LogMel(),
    "logmel, not clipped": LogMel(**SMALL, top_db=None),
    "logmel, clipped at 40 dB": LogMel(**SMALL, top_db=40.0),
    "mfcc": Mfcc(),
    "mfcc, all coefficients": Mfcc(**SMALL, n_mfcc=20, top_db=None),
    "pcen": Pcen(**SMALL),
    "pcen, logarithm": Pcen(**SMALL, power=0.0),
    "pcen, no bias": Pcen(**SMALL, bias=0.0, time_constant=0.05),
    "delta": Delta(LogMel(**SMALL)),
    "delta of mfcc": Delta(Mfcc(**SMALL, n_mfcc=13), order=1, n_context=5),
}
RUNTIMES = {"saved_model": "tensorflow", "litert": "ai_edge_litert", "onnx": "onnxruntime"}


@pytest.mark.parametrize("name", FEATURES)
def test_frames_are_the_extractors(name, sounds):
    feature = FEATURES[name]
    frames = tf.function(make_graph(feature).frames, input_signature=SIGNATURE, autograph=False)
    for sound, y in sounds(feature.sr, 0.5).items():
        if sound == "beyond full scale" and feature.units == "PCEN":
            continue  # some 1e6, of which float32 holds no thousandths
        np.testing.assert_allclose(frames(y).numpy(), feature(y), rtol=1e-6, atol=1e-3,
                                   err_msg=sound)
    for n in (1, 2, 99, 100, 101, 399, 400, 401, 900):  # of deltas, fewer frames than the context
        y = sounds(feature.sr, 1.0)["noise"][:n]
        np.testing.assert_allclose(frames(y).numpy(), feature(y), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("name", FEATURES)
def test_what_pads_short_clips_is_the_features_own(name, sounds):
    feature, graph = FEATURES[name], make_graph(FEATURES[name])
    for sound in ("noise", "silence", "loud, then quiet", "silence with clicks"):
        frames = feature(sounds(feature.sr, 0.2)[sound])
        found = graph.silent_frame(tf.constant(frames)).numpy()
        np.testing.assert_allclose(found, feature.silent_frame(frames), atol=1e-3, err_msg=sound)


@pytest.mark.parametrize("dtype", ["int16", "float16", "float32"])
def test_frames_are_rounded_as_stores_round_them(dtype, sounds):
    frames = np.concatenate([sounds(8000, 0.1)["noise"], np.float32([1, -1, 2, -2, 0.5 / 32768])])
    stored, _ = quantised(frames, dtype)
    expected = stored.astype(np.float32) / (32768 if dtype == "int16" else 1)
    np.testing.assert_array_equal(as_stored(tf.constant(frames), dtype).numpy(), expected)


class FrontEnds(tf.Module):
    """Several features side by side, in the place of an exported run."""

    def __init__(self, *features):
        super().__init__()
        self._graphs = [make_graph(feature) for feature in features]

    @tf.function(input_signature=SIGNATURE, autograph=False)
    def tag(self, waveform):
        return {OUTPUT: tf.concat([g.frames(waveform) for g in self._graphs], axis=1)}


def description(sr):
    return Description(run="front ends", model_version="0", folds=(0,), label_mode="multi",
                       classes=("Bark",), sr=sr, seconds=1.0, pad="silence", feature={})


def exported(kind, path, features):
    """From samples to the features' frames, as an exported model runs them."""
    if importlib.util.find_spec(RUNTIMES[kind]) is None:
        pytest.skip(f"{RUNTIMES[kind]} is not installed")
    WRITERS[kind](path, FrontEnds(*features), description(features[0].sr))
    return open_exported(path)._run


@pytest.mark.parametrize("kind", WRITERS)
def test_log_mel_and_mfcc_in_each_format_are_within_a_thousandth_of_a_decibel(
    kind, tmp_path, sounds
):
    features = LogMel(), Mfcc()
    run = exported(kind, tmp_path / "model", features)
    clips = sounds(44100, 1.0)
    for clip in draw_split(0, [f"{i}.wav" for i in range(4)], 0, kind="test"):
        clips[f"scene {clip.name}"] = clip.y
    for sound, y in clips.items():
        expected = np.concatenate([f(y) for f in features], axis=1)
        assert np.abs(run(y) - expected).max() < 1e-3, sound


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_other_features_in_each_format(kind, tmp_path, sounds):
    features = (FEATURES["pcen"], FEATURES["delta"], FEATURES["delta of mfcc"],
                FEATURES["logmel, not clipped"])
    run = exported(kind, tmp_path / "model", features)
    for y in (sounds(8000, 0.5)["noise"], sounds(8000, 0.5)["silence with clicks"],
              sounds(8000, 0.5)["noise"][:300]):
        expected = np.concatenate([f(y) for f in features], axis=1)
        np.testing.assert_allclose(run(y), expected, atol=1e-3)


def test_a_feature_without_a_graph_is_refused():
    @dataclass(frozen=True)
    class Energy(Waveform):
        kind = "energy"

    with pytest.raises(UsageError, match=r"kind energy cannot be exported; .* waveform, logmel"):
        make_graph(Energy())
    assert all(issubclass(each, Feature) for each in GRAPHS)
