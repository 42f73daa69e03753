"""Combine models by weighted means: geometric, arithmetic or of ranks.

=============  ====================================================================================
geometric      ``exp(sum(w * log(p)))``, the logarithmic opinion pool: one low score lowers the
               mean most. Most solutions of the 2018 and 2019 competitions used it.
arithmetic     ``sum(w * p)``, the linear opinion pool: one confident model is enough.
rank           ``sum(w * r)``, with r the rank of the class in its clip, 0 (lowest) to 1 (highest),
               tied classes sharing their mean rank. Independent of a model's calibration. It
               compares the classes of a clip, as lwlrap does, not clips with each other.
blend          geometric, with weights that :mod:`pipeline.ensembling.blending` searches.
=============  ====================================================================================

Weights are divided by their sum. Where each clip has one label, a geometric mean is divided by
its sum over the classes, so that it is a distribution again; an arithmetic mean is one already, a
mean of ranks never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.runs.scores import Scores, align
from pipeline.runtime.errors import UsageError, listed

Array = NDArray[np.floating]
Floats = NDArray[np.float64]

# A score of 0 is a sigmoid or softmax that underflowed float32, so it stands for a number below
# this. Without a floor, one such score would rule out a class whatever the other models say.
FLOOR = float(np.finfo(np.float32).smallest_subnormal)


def geometric_mean(members: Sequence[Array], weights: Sequence[float]) -> Floats:
    """Return the weighted geometric mean, computed in log space.

    A zero counts as the smallest positive float32 (1.4e-45), except where every member has a zero:
    there the mean is 0. So the result is finite, and classes that one model gave 0 keep the order
    in which the other models see them.

    Parameters
    ----------
    members : sequence of np.ndarray [shape=(n_clips, n_classes)]
        At least 0.
    weights : sequence of float
        One per member, at least 0, not all 0.

    Returns
    -------
    np.ndarray [shape=(n_clips, n_classes), dtype=float64]
        Between the members' least and greatest.
    """
    total, nothing = np.zeros(members[0].shape), np.ones(members[0].shape, dtype=bool)
    for values, share in _shares(members, weights):
        total += share * np.log(np.maximum(values, FLOOR))
        nothing &= values == 0
    return np.where(nothing, 0.0, np.exp(total))


def arithmetic_mean(members: Sequence[Array], weights: Sequence[float]) -> Floats:
    """Return the weighted arithmetic mean; like :func:`geometric_mean`, but of any sign."""
    return sum((share * v for v, share in _shares(members, weights)), np.zeros(members[0].shape))


def rank_mean(members: Sequence[Array], weights: Sequence[float]) -> Floats:
    """Return the weighted mean of the ranks within each clip, 0 to 1; members of any sign.

    A single class has rank 1.
    """
    ranks = []
    for values in members:
        n_classes = values.shape[1]
        rank = rankdata(values, method="average", axis=1)
        ranks.append((rank - 1) / (n_classes - 1) if n_classes > 1 else rank)
    return arithmetic_mean(ranks, weights)


MEANS: dict[str, Callable[[Sequence[Array], Sequence[float]], Floats]] = {
    "geometric": geometric_mean,
    "arithmetic": arithmetic_mean,
    "rank": rank_mean,
    "blend": geometric_mean,
}
GEOMETRIC = ("geometric", "blend")


def _shares(members: Sequence[Array], weights: Sequence[float]) -> list[tuple[Floats, float]]:
    """Return the members with a positive weight, and the weights divided by their sum."""
    total = sum(weights)
    return [(np.asarray(values, np.float64), weight / total)
            for values, weight in zip(members, weights, strict=True) if weight]


def combine(
    method: str,
    named: Sequence[tuple[str, Scores]],
    weights: Sequence[float],
    *,
    single: bool,
) -> Scores:
    """Return the mean of several models' scores of the same clips.

    Parameters
    ----------
    method : str
        A key of :data:`MEANS`.
    named : sequence of (str, Scores)
        The same clips and classes, in any order; the result has the order of the first.
    weights : sequence of float
        One per member, at least 0, not all 0; they need not add up to 1.
    single : bool
        Whether each clip has exactly one label.

    Raises
    ------
    UsageError
        If clips or classes differ, or a score below 0 has no geometric mean.
    """
    aligned = align(named)
    if method in GEOMETRIC:
        require_no_negatives(named)
    values = MEANS[method]([s.values for s in aligned], weights)
    if single and method in GEOMETRIC:
        sums = values.sum(axis=1, keepdims=True)
        values = np.divide(values, sums, out=values, where=sums > 0)
    return Scores(aligned[0].clip_ids, aligned[0].classes, values.astype(np.float32))


def require_no_negatives(named: Sequence[tuple[str, Scores]]) -> None:
    """Refuse scores below 0, which have no geometric mean; raises UsageError."""
    if negative := [name for name, scores in named if (scores.values < 0).any()]:
        raise UsageError(
            f"scores below 0 have no geometric mean: {listed(negative)}. "
            "Stacking gives such scores; combine them with rank or arithmetic"
        )


def plain_mean(named: Sequence[tuple[str, Scores]], *, single: bool) -> tuple[str, Scores]:
    """Return the method and the result of the unweighted mean, the baseline of an ensemble.

    Geometric, but of ranks if a run has scores below 0 (it was stacked).
    """
    method = "rank" if any((scores.values < 0).any() for _, scores in named) else "geometric"
    return method, combine(method, named, [1.0] * len(named), single=single)


def combine_tests(
    method: str,
    named: Sequence[tuple[str, Sequence[Scores]]],
    weights: Sequence[float],
    *,
    single: bool,
) -> Scores:
    """Return the mean over every model of every run, given as (run, test scores of its folds).

    A run's weight is shared equally by its folds, so that it counts the same however many it has.
    """
    members, shares = [], []
    for (name, folds), weight in zip(named, weights, strict=True):
        members += [(f"{name}, fold {k}", scores) for k, scores in enumerate(folds)]
        shares += [weight / len(folds)] * len(folds)
    return combine(method, members, shares, single=single)


def mean_over_folds(name: str, folds: Sequence[Scores], *, single: bool) -> Scores:
    """Return one run's test scores: the geometric mean of its folds' models.

    An ensemble's scores are returned unchanged.
    """
    if len(folds) == 1:
        return folds[0]
    return combine_tests("geometric", [(name, folds)], [1.0], single=single)
