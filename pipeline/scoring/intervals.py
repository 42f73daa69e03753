"""Confidence intervals of lwlrap, by resampling clips."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pipeline.scoring.metrics import Floats, label_precisions, validate

# Resamples drawn at a time: 5 MB for 20,000 clips.
BLOCK = 32


def bootstrap_lwlrap(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    rng: np.random.Generator,
    n_resamples: int,
    level: float,
) -> tuple[Floats, Floats]:
    """Compute confidence intervals of lwlrap: the percentile bootstrap over clips (Efron, 1979).

    Clips with labels are drawn with replacement, as many as there are. They are the sampling unit
    because the labels of one clip are not independent. Training is not repeated, so the intervals
    are about the choice of clips, not of seeds.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
    rng : np.random.Generator
        The same state gives the same intervals.
    n_resamples : int > 0 [scalar]
    level : float in (0, 1) [scalar]
        0.95 leaves 2.5 % of the resamples on either side.

    Returns
    -------
    overall : np.ndarray [shape=(2,)]
        Low and high end for :func:`pipeline.scoring.metrics.lwlrap`.
    per_class : np.ndarray [shape=(n_classes, 2)]
        The same for each class, over the resamples that have the class; NaN where none does.

    Raises
    ------
    ValueError
        As :func:`pipeline.scoring.metrics.validate`, and for `n_resamples` or `level` out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, scores = [[1, 0], [1, 0]], [[0.9, 0.2], [0.3, 0.6]]
    >>> overall, per_class = bootstrap_lwlrap(truth, scores, rng=rng, n_resamples=99, level=0.95)
    >>> overall
    array([0.5, 1. ])
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; needs at least 1")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; needs a number between 0 and 1, such as 0.95")
    labels, values = validate(truth, scores)
    labelled = labels.any(axis=1)
    labels, values = labels[labelled], values[labelled]
    clip, label, precision = label_precisions(labels, values)
    precisions = np.zeros(labels.shape)
    precisions[clip, label] = precision
    n_clips, n_classes = labels.shape
    sums = np.empty((n_resamples, n_classes))
    counts = np.empty((n_resamples, n_classes))
    for start in range(0, n_resamples, BLOCK):
        part = slice(start, min(start + BLOCK, n_resamples))
        times = np.array([
            np.bincount(rng.integers(n_clips, size=n_clips), minlength=n_clips)
            for _ in range(part.start, part.stop)
        ], np.float64)
        sums[part] = times @ precisions
        counts[part] = times @ labels
    ends = (1 - level) / 2, (1 + level) / 2
    overall = np.quantile(sums.sum(axis=1) / counts.sum(axis=1), ends)
    per_class = np.full((n_classes, 2), np.nan)
    for index in np.flatnonzero(counts.any(axis=0)):
        present = counts[:, index] > 0
        per_class[index] = np.quantile(sums[present, index] / counts[present, index], ends)
    return overall, per_class
