"""The folds of clips, and scores of clips by what was fitted without their fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import UsageError, listed

if TYPE_CHECKING:
    from pipeline.dataset.tables import Label

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Folds = NDArray[np.integer]


def folds_of(labels: Mapping[str, Label], clip_ids: Sequence[str]) -> NDArray[np.intp]:
    """Return the fold of each clip [shape=(n_clips,)], from labels.csv.

    Raises
    ------
    UsageError
        If a clip has none.
    """
    folds = [labels[clip].fold for clip in clip_ids]
    if without := [c for c, fold in zip(clip_ids, folds, strict=True) if fold is None]:
        raise UsageError(f"labels.csv has no fold for clips with out-of-fold scores: "
                         f"{listed(without)}. If prepare was run again, train the runs again")
    return np.array(folds, dtype=np.intp)


def fold_numbers(folds: Folds, *, least: int, method: str) -> list[int]:
    """Return the numbers of the folds, ascending.

    Parameters
    ----------
    folds : np.ndarray [shape=(n_clips,)]
    least : int
        Number of folds that a method needs.
    method : str
        Its name, for the message: a gerund.

    Raises
    ------
    UsageError
        If there are fewer.
    """
    numbers = np.unique(folds).tolist()
    if len(numbers) < least:
        raise UsageError(
            f"{method} needs at least {least} folds with out-of-fold scores, these runs have "
            f"{len(numbers)}; prepare and train with more, or use a mean"
        )
    return numbers


def nested(
    fit_and_score: Callable[[Bools, Bools], Floats], n_classes: int, folds: Folds, *, least: int,
    method: str,
) -> Floats:
    """Score each clip by what was fitted without the clip's fold.

    Parameters
    ----------
    fit_and_score : callable
        Takes two masks [shape=(n_clips,)], of the clips to fit on and of those to score; returns
        the scores of the latter [shape=(n, n_classes)].
    n_classes : int
    folds, least, method
        As :func:`fold_numbers`.

    Returns
    -------
    np.ndarray [shape=(n_clips, n_classes), dtype=float64]

    Raises
    ------
    UsageError
        If there are fewer than `least` folds.
    """
    scores = np.empty((len(folds), n_classes))
    for fold in fold_numbers(folds, least=least, method=method):
        out = folds == fold
        scores[out] = fit_and_score(~out, out)
    return scores
