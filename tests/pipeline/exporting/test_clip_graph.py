"""From frames to a clip's scores in a graph: the crops and means of training and scoring."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.logmel import LogMel
from features.waveform import Waveform
from pipeline.batching.batches import cut
from pipeline.batching.crops import covering_crops
from pipeline.batching.source import CropSource
from pipeline.ensembling.means import mean_over_folds
from pipeline.exporting.clip_graph import ClipTagger
from pipeline.runs.scores import Scores

N_FRAMES = 7
WAVEFORM = Waveform(sr=8000, dtype="float32")


class Network:
    """A network whose scores show every value of a crop, at its place."""

    output_shape = (None, N_FRAMES)

    def __call__(self, crops, training):
        assert not training
        return crops if len(crops.shape) == 2 else crops[:, :, 0] + 2 * crops[:, :, -1]


class Constant:
    """A network that gives the same scores to all crops."""

    def __init__(self, scores):
        self._scores = tf.constant(scores, tf.float32)
        self.output_shape = (None, len(scores))

    def __call__(self, crops, training):
        return tf.zeros_like(crops[:, :1]) + self._scores


OVERLAP = {"silence": 0.0, "repeat": 0.4}
TAGGERS = {
    (feature.kind, pad): ClipTagger(
        feature, [Network()], n_frames=N_FRAMES, pad=pad, single=False, overlap=OVERLAP[pad]
    )
    for pad in ("silence", "repeat")
    for feature in (WAVEFORM, LogMel(sr=8000, n_fft=64, hop_length=16, n_mels=4))
}


@settings(max_examples=60)
@given(st.sampled_from(sorted(TAGGERS)), st.integers(1, 700), st.integers(0, 2**32 - 1))
def test_the_mean_over_the_crops_that_predict_cuts(which, n, seed):
    tagger = TAGGERS[which]
    y = np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)
    feature, pad = tagger._feature, which[1]
    frames = feature(y)
    silence = {0: feature.silent_frame(frames)} if pad == "silence" else None
    length = np.array([len(frames)])
    source = CropSource(("a",), frames, np.array([0]), length, N_FRAMES, 1.0, silence, True)
    crops = cut(source, covering_crops(length, np.array([0]), N_FRAMES, overlap=OVERLAP[pad]))
    expected = Network()(crops, training=False).mean(axis=0)
    found = tagger.tag(y)["scores"].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3 if feature.width else 1e-6)


def test_positions_of_crops_stay_exact_where_products_exceed_int32():
    tagger = ClipTagger(WAVEFORM, [Network()], n_frames=50, pad="silence", single=False)
    length = 2_000_003
    _, rows = tagger._crops(tf.zeros([length]))
    expected = covering_crops(np.array([length]), np.array([0]), 50).first
    assert expected[-1] == length - 50
    assert (len(expected) - 1) * (length - 50) > 2**31
    np.testing.assert_array_equal(rows[:, 0].numpy(), expected)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("folds", [
    [[0.2, 0.7, 0.1]], [[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]],
    [[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    [[1e-30, 1.0, 0.0], [2e-38, 0.0, 0.3], [0.5, 0.25, 0.25]],
])
def test_the_mean_over_folds_is_evaluates(folds, single):
    tagger = ClipTagger(WAVEFORM, [Constant(f) for f in folds], n_frames=3, pad="silence",
                        single=single)
    scores = [Scores(("a",), ("x", "y", "z"), np.float32([f])) for f in folds]
    expected = mean_over_folds("run", scores, single=single).values[0]
    found = tagger.tag(np.zeros(10, np.float32))["scores"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-20)
