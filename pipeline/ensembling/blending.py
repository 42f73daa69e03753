"""Blend runs: a geometric mean whose weights are searched on out-of-fold scores.

The weights come from greedy selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes,
*Ensemble selection from libraries of models*, ICML 2004): runs are drawn one after the other, each
time the run with which the mean of all drawn ones scores best. A run's weight is its share of the
draws. So weights are never negative, useless runs have none, and many correlated runs do not
disturb the search as they do a regression.

Each clip has a label: the measure is accuracy, and of equal accuracies the one with the better
lwlrap. Otherwise it is lwlrap alone.

The reported scores are nested: a fold is blended by the weights that were chosen on the other
folds. As in any search on out-of-fold scores, one thing is not nested: the networks that scored the
other folds were trained on this fold's clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.ensembling.cross_validation import Bools, Folds, fold_numbers
from pipeline.ensembling.means import FLOOR, combine, combine_tests, require_no_negatives
from pipeline.runs.scores import Scores, join, select
from pipeline.runtime.errors import UsageError
from pipeline.scoring.evaluation import single_label_problems
from pipeline.scoring.metrics import accuracy, lwlrap

# One fold to score, and one to choose its weights on.
MIN_FOLDS = 2

# More draws than this give finer shares than some hundred clips can tell apart.
DRAWS = 50


@dataclass(frozen=True, eq=False)
class Blend:
    """The result of :func:`blend_runs`.

    Attributes
    ----------
    weights : tuple of float
        One per run, chosen on all folds; their sum is 1.
    fold_weights : dict of int to tuple of float
        Those that scored each fold.
    oof : Scores
        Nested, see the module.
    test : Scores or None
        By `weights`; None if there are no test scores.
    """

    weights: tuple[float, ...]
    fold_weights: dict[int, tuple[float, ...]]
    oof: Scores
    test: Scores | None


def search_weights(
    members: Sequence[NDArray[np.floating]], truth: Bools, *, single: bool, draws: int = DRAWS
) -> tuple[float, ...]:
    """Choose the weights of a geometric mean by greedy selection with replacement.

    Parameters
    ----------
    members : sequence of np.ndarray [shape=(n_clips, n_classes)]
        Each run's scores, at least 0.
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    single : bool
        Whether each clip has exactly one label.
    draws : int > 0 [scalar]
        Of these, the first draws up to the best mean are used.

    Returns
    -------
    weights : tuple of float
        One per run, at least 0; their sum is 1.

    Examples
    --------
    >>> truth = np.array([[True, False], [False, True]])
    >>> good, bad = np.array([[0.9, 0.2], [0.3, 0.6]]), np.array([[0.1, 0.8], [0.7, 0.3]])
    >>> search_weights([bad, good], truth, single=True)
    (0.0, 1.0)
    """
    # A geometric mean orders classes as the sum of logarithms does, whatever it is divided by.
    logs = [np.log(np.maximum(np.asarray(values, np.float64), FLOOR)) for values in members]

    def quality(total: NDArray[np.float64]) -> tuple[float, ...]:
        second = lwlrap(truth, total)
        return (accuracy(truth, total), second) if single else (second,)

    drawn: list[int] = []
    total, best, length = np.zeros(truth.shape), tuple[float, ...](), 0
    for _ in range(draws):
        values = [quality(total + each) for each in logs]
        chosen = max(range(len(logs)), key=values.__getitem__)
        drawn.append(chosen)
        total = total + logs[chosen]
        if values[chosen] > best:
            best, length = values[chosen], len(drawn)
    counts = np.bincount(drawn[:length], minlength=len(logs))
    return tuple((counts / length).tolist())


def blend_runs(
    named: Sequence[tuple[str, Scores]],
    tests: Sequence[tuple[str, Sequence[Scores]]],
    truth: Bools,
    folds: Folds,
    *,
    single: bool,
) -> Blend:
    """Blend several runs.

    Parameters
    ----------
    named : sequence of (str, Scores)
        Each run's name and out-of-fold scores, aligned.
    tests : sequence of (str, sequence of Scores)
        Each run's name and its test scores, one per fold; empty for all runs if there are no test
        clips.
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    folds : np.ndarray [shape=(n_clips,)]
        The fold of each clip of `named`.
    single : bool
        Whether each clip has exactly one label.

    Raises
    ------
    UsageError
        If there are fewer than `MIN_FOLDS` folds, scores below 0, or with `single` not exactly one
        label per clip.
    """
    require_no_negatives(named)
    if single and (errors := single_label_problems(named[0][1].clip_ids, truth)):
        raise UsageError("\n".join(errors))
    members = [scores.values for _, scores in named]
    fold_weights, parts = {}, []
    for fold in fold_numbers(folds, least=MIN_FOLDS, method="blending"):
        out = folds == fold
        weights = search_weights([m[~out] for m in members], truth[~out], single=single)
        rows = [c for c, is_out in zip(named[0][1].clip_ids, out, strict=True) if is_out]
        within = [(name, select(scores, rows, scores.classes)) for name, scores in named]
        parts.append((f"fold {fold}", combine("geometric", within, weights, single=single)))
        fold_weights[fold] = weights
    weights = search_weights(members, truth, single=single)
    joined = join(parts)
    oof = select(joined, named[0][1].clip_ids, joined.classes)
    test = combine_tests("geometric", tests, weights, single=single) if tests[0][1] else None
    return Blend(weights, fold_weights, oof, test)
