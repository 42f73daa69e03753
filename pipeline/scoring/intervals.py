"""Confidence intervals of lwlrap, by resampling clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pipeline.scoring.metrics import Bools, Floats, label_precisions, validate

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
    labels, precisions = precision_matrix(truth, scores)
    return _percentiles(labels, precisions, rng, n_resamples, level)


def bootstrap_gain(
    truth: ArrayLike,
    new: ArrayLike,
    old: Sequence[ArrayLike],
    *,
    rng: np.random.Generator,
    n_resamples: int,
    level: float,
) -> tuple[Floats, Floats]:
    """Compute confidence intervals of a gain in lwlrap: the paired percentile bootstrap.

    `new` and `old` are measured on the same resampled clips, because most of the variation between
    resamples is common to both.

    Parameters
    ----------
    truth, new : array-like [shape=(n_clips, n_classes)]
    old : sequence of array-like [shape=(n_clips, n_classes)]
        One or more scores, whose mean lwlrap is the one to compare with.
    rng : np.random.Generator
        The same state gives the same intervals.
    n_resamples : int > 0 [scalar]
    level : float in (0, 1) [scalar]

    Returns
    -------
    overall : np.ndarray [shape=(3,)]
        The gain, and the low and high end of its interval.
    per_class : np.ndarray [shape=(n_classes, 3)]
        The same for each class; NaN where no clip has it.

    Raises
    ------
    ValueError
        As :func:`bootstrap_lwlrap`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, new, old = [[1, 0], [1, 0]], [[0.9, 0.2], [0.6, 0.3]], [[0.9, 0.2], [0.3, 0.6]]
    >>> overall, per_class = bootstrap_gain(
    ...     truth, new, [old], rng=rng, n_resamples=99, level=0.95)
    >>> overall
    array([0.25, 0.  , 0.5 ])
    """
    labels, precisions = precision_matrix(truth, new)
    precisions = precisions - np.mean([precision_matrix(truth, each)[1] for each in old], axis=0)
    interval, intervals = _percentiles(labels, precisions, rng, n_resamples, level)
    counts = labels.sum(axis=0)
    gains = np.full(len(counts), np.nan)
    np.divide(precisions.sum(axis=0), counts, out=gains, where=counts > 0)
    gain = precisions.sum() / counts.sum()
    return np.concatenate([[gain], interval]), np.column_stack([gains, intervals])


def precision_matrix(truth: ArrayLike, scores: ArrayLike) -> tuple[Bools, Floats]:
    """Compute the precision of every label of the clips that have any.

    The mean over the labels is :func:`pipeline.scoring.metrics.lwlrap`: the sum of the precisions,
    divided by that of the labels.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]

    Returns
    -------
    labels : np.ndarray [shape=(n_labelled_clips, n_classes), dtype=bool]
    precisions : np.ndarray [shape=(n_labelled_clips, n_classes), dtype=float64]
        In (0, 1] where there is a label, otherwise 0.

    Raises
    ------
    ValueError
        As :func:`pipeline.scoring.metrics.validate`.

    Examples
    --------
    >>> labels, precisions = precision_matrix([[1, 0], [0, 0]], [[0.3, 0.6], [0.9, 0.2]])
    >>> precisions
    array([[0.5, 0. ]])
    """
    labels, values = validate(truth, scores)
    labelled = labels.any(axis=1)
    labels, values = labels[labelled], values[labelled]
    clip, label, precision = label_precisions(labels, values)
    precisions = np.zeros(labels.shape)
    precisions[clip, label] = precision
    return labels, precisions


def _percentiles(
    labels: Bools, values: Floats, rng: np.random.Generator, n_resamples: int, level: float
) -> tuple[Floats, Floats]:
    """Intervals of the mean of `values` over the labels, overall and for each class."""
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; needs at least 1")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; needs a number between 0 and 1, such as 0.95")
    from scipy.sparse import csc_array

    n_clips, n_classes = labels.shape
    # A clip has a label or two of 80: a sparse product takes a fortieth of the multiplications.
    sparse_values, sparse_labels = csc_array(values), csc_array(labels.astype(np.float64))
    sums = np.empty((n_resamples, n_classes))
    counts = np.empty((n_resamples, n_classes))
    for start in range(0, n_resamples, BLOCK):
        part = slice(start, min(start + BLOCK, n_resamples))
        times = np.array([
            np.bincount(rng.integers(n_clips, size=n_clips), minlength=n_clips)
            for _ in range(part.start, part.stop)
        ], np.float64)
        sums[part] = times @ sparse_values
        counts[part] = times @ sparse_labels
    ends = (1 - level) / 2, (1 + level) / 2
    overall = np.quantile(sums.sum(axis=1) / counts.sum(axis=1), ends)
    per_class = np.full((n_classes, 2), np.nan)
    for index in np.flatnonzero(counts.any(axis=0)):
        present = counts[:, index] > 0
        per_class[index] = np.quantile(sums[present, index] / counts[present, index], ends)
    return overall, per_class
