"""Count which classes are taken for which, with one label per clip and with several.

With several labels no class is *the* prediction. What costs lwlrap is a wrong class that scores at
least as high as a label, so that is what is counted: class b outranks class a once for each clip
that has a, not b, and scores b at least as high as a. Ties count, as they do in lwlrap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.scoring.metrics import Floats, confusion_counts, validate

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often the class of a row is confused with that of a column.

    Attributes
    ----------
    count : np.ndarray [shape=(n_classes, n_classes), dtype=int64]
        Number of clips. On the diagonal, those of the class that are not confused: predicted
        right (one label per clip), or with no wrong class above it (several).
    of : np.ndarray [shape=(n_classes, n_classes), dtype=int64]
        Number of clips in which it might have happened.
    """

    count: Counts
    of: Counts

    @property
    def share(self) -> Floats:
        """`count` / `of`; NaN where no clip could be confused."""
        return np.divide(self.count, self.of, out=np.full(self.of.shape, np.nan),
                         where=self.of > 0)


@dataclass(frozen=True)
class Pair:
    """A class and another one that it is confused with.

    Attributes
    ----------
    actual, other : int
        Columns of the scores.
    count : int
        Number of clips that are confused.
    of : int
        Number of clips that have `actual` and not `other`.
    """

    actual: int
    other: int
    count: int
    of: int


def predictions(truth: ArrayLike, scores: ArrayLike) -> Confusion:
    """Count what is predicted for the clips of each class: a confusion matrix.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
        One label per clip. Of tied classes the first is predicted, as in
        :func:`pipeline.scoring.metrics.confusion_counts`.

    Returns
    -------
    Confusion

    Raises
    ------
    ValueError
        As :func:`pipeline.scoring.metrics.validate`, and if a clip does not have exactly one label.
    """
    count = confusion_counts(truth, scores)
    return Confusion(count, np.repeat(count.sum(axis=1, keepdims=True), len(count), axis=1))


def outranking(truth: ArrayLike, scores: ArrayLike) -> Confusion:
    """Count by which wrong classes each label is outranked.

    Parameters
    ----------
    truth, scores : array-like [shape=(n_clips, n_classes)]
        Any number of labels per clip.

    Returns
    -------
    Confusion

    Raises
    ------
    ValueError
        As :func:`pipeline.scoring.metrics.validate`.
    """
    labels, values = validate(truth, scores)
    n_classes = labels.shape[1]
    count = np.zeros((n_classes, n_classes), np.int64)
    of = np.zeros((n_classes, n_classes), np.int64)
    for k in range(n_classes):
        has = labels[:, k]
        wrong = ~labels[has]
        above = wrong & (values[has] >= values[has, k][:, np.newaxis])
        count[k], of[k] = above.sum(axis=0), wrong.sum(axis=0)
        count[k, k] = len(above) - np.count_nonzero(above.any(axis=1))
        of[k, k] = len(above)
    return Confusion(count, of)


def pairs(confusion: Confusion, most: int) -> list[Pair]:
    """Return the pairs of classes that are confused in most clips.

    Most frequent first; of equal counts the larger share, then the order of the classes.
    """
    count, share = confusion.count.copy(), np.nan_to_num(confusion.share)
    np.fill_diagonal(count, 0)
    order = np.lexsort((np.arange(count.size), -share.ravel(), -count.ravel()))[:most]
    rows, columns = np.unravel_index(order, count.shape)
    return [Pair(int(a), int(b), int(count[a, b]), int(confusion.of[a, b]))
            for a, b in zip(rows, columns, strict=True) if count[a, b]]


def alike_order(confusion: Confusion) -> NDArray[np.intp]:
    """Return the classes in an order in which those that are confused are neighbours.

    The leaves of an average-linkage clustering by the share of confusions in both directions, in
    optimal order (Bar-Joseph, Gifford and Jaakkola: Fast optimal leaf ordering for hierarchical
    clustering, 2001).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    share = np.nan_to_num(confusion.share)
    n = len(share)
    if n < 3:
        return np.arange(n)
    distances = 2 - (share + share.T)[np.triu_indices(n, 1)]
    tree = linkage(distances, "average")
    return np.asarray(leaves_list(optimal_leaf_ordering(tree, distances)), np.intp)
