"""Count labels, sets of labels, and labels that occur together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def label_matrix(labels: Iterable[Sequence[str]], classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which clip has which label [shape=(n_clips, n_classes), dtype=bool].

    Raises
    ------
    KeyError
        If a label is not a class.
    """
    column = {name: k for k, name in enumerate(classes)}
    rows = list(labels)
    result = np.zeros((len(rows), len(classes)), bool)
    for row, names in enumerate(rows):
        result[row, [column[name] for name in names]] = True
    return result


def co_occurrences(matrix: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the clips that have both of two labels.

    Parameters
    ----------
    matrix : np.ndarray [shape=(n_clips, n_classes), dtype=bool]

    Returns
    -------
    counts : np.ndarray [shape=(n_classes, n_classes), dtype=int64]
        Symmetric; the diagonal counts the clips of each label.
    """
    as_numbers = matrix.astype(np.int64)
    return as_numbers.T @ as_numbers


def label_sets(labels: Iterable[Sequence[str]]) -> Counter[tuple[str, ...]]:
    """Count the distinct sets of labels; the order of a clip's labels does not matter."""
    return Counter(tuple(sorted(each)) for each in labels if each)
