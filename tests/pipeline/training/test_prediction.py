"""Scores of crops of different lengths, against one crop at a time."""

import keras
import numpy as np
import pytest

from pipeline.batching.batches import cut
from pipeline.batching.crops import mean_by_clip
from pipeline.batching.source import CropSource
from pipeline.batching.tiles import Tiling
from pipeline.training.prediction import crop_scores, crop_scores_at_once

LENGTHS = np.array([12, 40, 7, 40, 23, 12, 95])


@pytest.fixture(scope="module")
def model():
    """A network that takes any number of frames."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 4))
    x = keras.layers.Conv1D(8, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.GlobalMaxPooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="sigmoid")(x))


@pytest.fixture(scope="module")
def source():
    frames = np.random.default_rng(0).normal(size=(int(LENGTHS.sum()), 4)).astype(np.float32)
    return CropSource(tuple("abcdefg"), frames, np.cumsum(LENGTHS) - LENGTHS, LENGTHS, 10, 1.0,
                      {2: np.full(4, -3, np.float32)}, in_memory=True)


@pytest.mark.parametrize("tiling", [
    Tiling(10, 10), Tiling(10, 10, overlap=0.5), Tiling(10, 50), Tiling(10, 1000),
])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_scores_do_not_depend_on_what_else_is_scored(model, source, tiling, batch_size):
    crops = tiling.crops(LENGTHS)
    alone = np.concatenate([
        model.predict_on_batch(cut(source, crops[np.array([i])])) for i in range(len(crops))
    ])
    for scores in (crop_scores, crop_scores_at_once):
        found = scores(model, source, crops, batch_size)
        np.testing.assert_allclose(found, alone, rtol=2e-6)
        assert mean_by_clip(found, crops).shape == (len(LENGTHS), 3)
