"""Score crops with a model."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import models.build  # noqa: F401 (registers its layers for load_model)
from pipeline.batching.batches import batches, equal_length_parts
from pipeline.batching.crops import Crops, Ints
from pipeline.batching.source import CropSource
from pipeline.runs.fold_folder import FoldFolder
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.training import tensorflow_setup as backend

Floats = NDArray[np.float32]


def load_model(
    folder: FoldFolder, *, crop_shape: tuple[int | None, ...], n_classes: int
) -> keras.Model:
    """Load a fold's best model, for scoring only.

    Parameters
    ----------
    folder : FoldFolder
    crop_shape : tuple of int
        Of one crop, as it will be given; None for any length.
    n_classes : int

    Raises
    ------
    UsageError
        If there is none.
    StoreError
        If the file is damaged, would run code of its own, or has other input or output shapes.
    """
    path = folder.model
    model = read_model(path)
    if model.input_shape[1:] != crop_shape or model.output_shape[1:] != (n_classes,):
        raise StoreError(
            f"{path}: takes {model.input_shape[1:]} and gives {model.output_shape[1:]}, but the "
            f"run has crops of {crop_shape} and {n_classes} classes. Train the run again"
        )
    return model


def read_model(path: Path) -> keras.Model:
    """Read a model file that train wrote, not compiled.

    Raises
    ------
    UsageError
        If there is none.
    StoreError
        If the file is damaged or would run code of its own.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; `python -m pipeline.train` writes it")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise StoreError(f"{path}: damaged, incomplete or not a model ({reason}). Delete it "
                         "and run `python -m pipeline.train` again") from None


def crop_scores(model: keras.Model, source: CropSource, crops: Crops, batch_size: int) -> Floats:
    """A model's scores of each crop. [shape=(n_crops, n_classes), dtype=float32]

    Crops of different lengths go into different batches, so that none is padded because of another.
    """
    def make() -> Iterator[tuple[Any, ...]]:
        for _, features in batches(source, crops, batch_size):
            yield (features,)

    parts = equal_length_parts(crops, batch_size, source.n_frames)
    lengths = set(crops.n_frames.tolist())
    shape = (lengths.pop() if len(lengths) == 1 else None, *source.crop_shape[1:])
    values = model.predict(backend.dataset(make, shape, n_batches=len(parts)), verbose=0)
    return _in_order(values, parts)


def crop_scores_at_once(
    model: keras.Model, source: CropSource, crops: Crops, batch_size: int
) -> Floats:
    """Return what :func:`crop_scores` does, without ``tf.data``.

    For many short calls, and for several models at a time in threads: a data set costs 80 ms to
    set up, and two that are read at a time now and then stand still for seconds.
    """
    scored = [(part, model.predict_on_batch(features))
              for part, features in batches(source, crops, batch_size)]
    return _in_order(np.concatenate([values for _, values in scored]), [part for part, _ in scored])


def _in_order(values: Floats, parts: Sequence[Ints]) -> Floats:
    """Put the scores of batches into the order of the crops."""
    result = np.empty_like(values)
    result[np.concatenate(parts)] = values
    return result
