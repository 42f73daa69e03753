"""Compare scores with how often they are right: reliability diagrams and calibration error.

Clips are counted in bins of equal width by their score. In a calibrated model, of the decisions
with a score of 0.8, 80 % are right (DeGroot and Fienberg, 1983). What is a decision depends on the
task: with several labels per clip every pair of clip and class is one, right where the clip has the
class; with one label per clip only the class that scores highest is, right where it is the label.

The expected calibration error (ECE) is the mean distance between score and share of right
decisions over the bins, weighted by their counts (Naeini, Cooper and Hauskrecht: Obtaining well
calibrated probabilities using Bayesian binning, AAAI 2015; Guo, Pleiss, Sun and Weinberger: On
calibration of modern neural networks, ICML 2017). With many classes nearly all of the decisions of
several labels are "no" with a score near 0, which makes it small: read it beside the counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.scoring.metrics import Floats, validate

# Resamples drawn at a time.
BLOCK = 32


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores and shares of right decisions in bins of equal width.

    Attributes
    ----------
    edges : np.ndarray [shape=(n_bins + 1,)]
        From 0 to 1. A bin includes its upper edge, the first one 0 too.
    count : np.ndarray [shape=(n_bins,), dtype=int64]
        Number of decisions.
    score : np.ndarray [shape=(n_bins,)]
        Mean score of the bin's decisions; NaN for an empty bin, as below.
    share : np.ndarray [shape=(n_bins,)]
        Share of its decisions that are right.
    interval : np.ndarray [shape=(n_bins, 2)]
        Of `share`: percentile bootstrap over clips.
    """

    edges: Floats
    count: NDArray[np.int64]
    score: Floats
    share: Floats
    interval: Floats

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1."""
        filled = self.count > 0
        gap = np.abs(self.share - self.score)[filled]
        return float(np.average(gap, weights=self.count[filled]))


def is_probability(scores: ArrayLike) -> bool:
    """Return whether all scores are between 0 and 1, as stacked scores need not be."""
    values = np.asarray(scores)
    return bool(values.size and values.min() >= 0 and values.max() <= 1)


def reliability(
    truth: ArrayLike, scores: ArrayLike, *, single: bool, n_bins: int = 10,
    rng: np.random.Generator, n_resamples: int, level: float = 0.95,
) -> Reliability:
    """Bin decisions by their score.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
        The scores are between 0 and 1.
    single : bool
        Whether each clip has exactly one label.
    n_bins : int > 0 [scalar]
    rng : np.random.Generator
        The same state gives the same intervals.
    n_resamples : int > 0 [scalar]
    level : float in (0, 1) [scalar]
        Of the intervals.

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        As :func:`pipeline.scoring.metrics.validate`, and if a score is not between 0 and 1.
    """
    labels, values = validate(truth, scores, single=single)
    if not is_probability(values):
        raise ValueError(f"scores are from {values.min()} to {values.max()}; needs 0 to 1")
    values = values.astype(np.float64)
    if single:
        top = values.argmax(axis=1)[:, np.newaxis]
        values, right = (np.take_along_axis(array, top, axis=1) for array in (values, labels))
    else:
        right = labels
    edges = np.linspace(0, 1, n_bins + 1)
    bins = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, n_bins - 1)
    counts, hits, sums = (_per_clip(bins, weights, n_bins)
                          for weights in (np.ones(values.shape), right, values))
    count = counts.sum(axis=0)
    return Reliability(
        edges, count.astype(np.int64), _divide(sums.sum(axis=0), count),
        _divide(hits.sum(axis=0), count), _intervals(hits, counts, rng, n_resamples, level),
    )


def _per_clip(bins: NDArray, weights: NDArray, n_bins: int) -> Floats:
    """Sums of the weights of each clip's decisions by bin. [shape=(n_clips, n_bins)]"""
    rows = np.arange(len(bins))[:, np.newaxis] * n_bins
    total = np.bincount((rows + bins).ravel(), weights.ravel().astype(np.float64),
                        minlength=len(bins) * n_bins)
    return np.asarray(total.reshape(len(bins), n_bins), np.float64)


def _divide(sums: Floats, counts: Floats) -> Floats:
    return np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def _intervals(
    hits: Floats, counts: Floats, rng: np.random.Generator, n_resamples: int, level: float
) -> Floats:
    n_clips, shares = len(hits), []
    for start in range(0, n_resamples, BLOCK):
        times = np.array([
            np.bincount(rng.integers(n_clips, size=n_clips), minlength=n_clips)
            for _ in range(start, min(start + BLOCK, n_resamples))
        ], np.float64)
        shares.append(_divide(times @ hits, times @ counts))
    drawn, result = np.concatenate(shares), np.full((hits.shape[1], 2), np.nan)
    for k in np.flatnonzero(counts.any(axis=0)):
        if (present := drawn[~np.isnan(drawn[:, k]), k]).size:
            result[k] = np.quantile(present, ((1 - level) / 2, (1 + level) / 2))
    return result
