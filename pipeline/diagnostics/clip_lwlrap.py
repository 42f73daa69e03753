"""Measure each clip: its share in lwlrap, by which the worst clips are found."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.scoring.intervals import precision_matrix
from pipeline.scoring.metrics import Floats, validate


def clip_lwlrap(truth: ArrayLike, scores: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    """Compute the lwlrap of each clip alone: the mean precision of its labels.

    Weighted by the number of labels, the mean over all clips with labels is
    :func:`pipeline.scoring.metrics.lwlrap`.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    per_clip : np.ndarray [shape=(n_clips,)]
        In (0, 1]; NaN for a clip without labels.
    n_labels : np.ndarray [shape=(n_clips,), dtype=int64]

    Raises
    ------
    ValueError
        As :func:`pipeline.scoring.metrics.validate`.
    """
    every, _ = validate(truth, scores)
    n_labels = every.sum(axis=1)
    labels, precisions = precision_matrix(truth, scores)
    per_clip = np.full(len(every), np.nan)
    per_clip[n_labels > 0] = precisions.sum(axis=1) / labels.sum(axis=1)
    return per_clip, n_labels


def worst(per_clip: Floats, most: int) -> NDArray[np.intp]:
    """Return the rows of the `most` lowest values, lowest first; NaN never, ties in row order."""
    order = np.argsort(per_clip, kind="stable")
    return order[:np.count_nonzero(~np.isnan(per_clip))][:most]
