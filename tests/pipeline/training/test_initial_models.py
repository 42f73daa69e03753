"""Runs that start from the weights of another one's folds."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.build import build
from pipeline.dataset.tables import Label
from pipeline.runs import scores
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.training.initial_models import copy_weights, initial_models, model_digests

FRAMES = {"labels": "multi", "normalization": "min-max", "network": {"size": "tiny"}}


def label(clip_id):
    return Label(clip_id, ("Bark",), "curated", 0, "")


@pytest.fixture
def source(tmp_path):
    """A run whose fold 0 was validated on a.wav and b.wav."""
    folder = RunFolder(tmp_path, "first")
    fold = folder.fold(0)
    fold.path.mkdir(parents=True)
    scores.save(fold.oof, Scores(("a.wav", "b.wav"), ("Bark", "Meow"), np.zeros((2, 2), "f4")))
    build("cnn", (None, 16), 2, **FRAMES).save(fold.model)
    return folder


def test_weights_and_moving_averages_are_those_of_the_file(source):
    saved = keras.saving.load_model(source.fold(0).model)
    network = build("cnn", (None, 16), 2, **FRAMES)
    x = np.random.default_rng(0).normal(size=(3, 40, 16)).astype(np.float32)
    assert not np.allclose(network(x), saved(x), atol=1e-4)
    copy_weights(source.fold(0).model, network)
    np.testing.assert_array_equal(network(x), saved(x))


@pytest.mark.parametrize(("bands", "classes", "size"), [(16, 3, "tiny"), (16, 2, "small")])
def test_another_network_is_refused(source, bands, classes, size):
    network = build("cnn", (None, bands), classes, **FRAMES | {"network": {"size": size}})
    with pytest.raises(UsageError, match="--start-from: the network of"):
        copy_weights(source.fold(0).model, network)


def test_a_damaged_file_is_named(source):
    source.fold(0).model.write_bytes(b"no model")
    with pytest.raises(StoreError, match=r"model\.keras: damaged or not a model"):
        copy_weights(source.fold(0).model, build("cnn", (None, 16), 2, **FRAMES))


def test_the_model_of_the_same_fold_is_found(source):
    found = initial_models(source, {0: [label("b.wav"), label("a.wav")]})
    assert found == {0: source.fold(0).model}
    (digest,) = model_digests(found).values()
    assert len(digest) == 64


def test_all_folds_that_cannot_be_started_from_are_listed(source):
    with pytest.raises(UsageError) as error:
        initial_models(source, {0: [label("a.wav"), label("c.wav")], 1: [label("d.wav")]})
    assert "may have been trained on c.wav" in str(error.value)
    assert "fold 1 of" in str(error.value)
    assert "is not trained" in str(error.value)
