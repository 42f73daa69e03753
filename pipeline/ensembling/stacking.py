"""Stack runs by two levels of ridge regression, evaluated by nested cross-validation.

The ensemble of the winning solution of *Planet: Understanding the Amazon from Space* (bestfitting,
Kaggle, 2017). Level 1, for each run: a ridge regression from the run's scores of all classes to
each class, which learns which labels occur together (rain and thunder). Level 2, for each class: a
ridge regression over the runs' level-1 scores, which learns which runs predict the class best.

Both are fitted on out-of-fold scores, because only these resemble the scores of new clips. Level 2
is fitted on level-1 scores of clips that level 1 was not fitted on. Each alpha is chosen by leaving
out one fold at a time, by squared error, separately for each target.

The gain is reported from an outer loop: for each fold, everything (both levels and every alpha) is
fitted on the other folds and predicts that one. As in any stacking, one thing is not nested: the
networks that scored the other folds were trained on this fold's clips.

The predictions estimate probabilities but may be below 0 or above 1: use only their order. Clipping
them would create ties, which lower lwlrap.

This is not scikit-learn's ``RidgeCV``, because one eigendecomposition for all alphas and all
classes was measured to be 7 times faster, with the same coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.ensembling import cross_validation
from pipeline.ensembling.cross_validation import Bools, Floats, Folds
from pipeline.ensembling.means import combine_tests
from pipeline.runs.scores import Scores, align, select

Array = NDArray[np.floating] | NDArray[np.bool_]

# From hardly any shrinkage to almost full shrinkage: a class of 60 clips with scores of 0.6 on
# average has a sum of squares of 20.
ALPHAS = tuple(float(a) for a in np.logspace(-2, 4, 13))

# One fold to predict, and two of which one at a time is left out to choose alpha.
MIN_FOLDS = 3


@dataclass(frozen=True, eq=False)
class Ridge:
    """Linear regressions with an L2 penalty on the coefficients and none on the intercept.

    Attributes
    ----------
    coefficients : np.ndarray [shape=(n_features, n_targets), dtype=float64]
    intercept : np.ndarray [shape=(n_targets,), dtype=float64]
    alphas : np.ndarray [shape=(n_targets,), dtype=float64]
    """

    coefficients: Floats
    intercept: Floats
    alphas: Floats

    def predict(self, features: Array) -> Floats:
        """Predict the targets: (n_clips, n_features) -> (n_clips, n_targets)."""
        return features @ self.coefficients + self.intercept


@dataclass(frozen=True, eq=False)
class Stack:
    """Level 1, one :class:`Ridge` per run, and level 2, one :class:`Ridge` per class."""

    level1: tuple[Ridge, ...]
    level2: tuple[Ridge, ...]

    def predict(self, members: Sequence[Array]) -> Floats:
        """Combine the scores of the runs, given in the order of the fit."""
        adjusted = [ridge.predict(m) for ridge, m in zip(self.level1, members, strict=True)]
        return _level2(self.level2, np.stack(adjusted, axis=-1))


def _level2(ridges: Sequence[Ridge], adjusted: Floats) -> Floats:
    """Apply level 2: (n_clips, n_classes, n_runs) -> (n_clips, n_classes)."""
    columns = [ridge.predict(adjusted[:, k])[:, 0] for k, ridge in enumerate(ridges)]
    return np.stack(columns, axis=1)


def fit_ridge(
    features: Array, targets: Array, folds: Folds, alphas: Sequence[float] = ALPHAS
) -> tuple[Ridge, Floats]:
    """Fit ridge regressions, choosing alphas by leaving out one fold at a time.

    Parameters
    ----------
    features : np.ndarray [shape=(n_clips, n_features)]
    targets : np.ndarray [shape=(n_clips, n_targets)]
    folds : np.ndarray [shape=(n_clips,)]
        At least two different numbers.
    alphas : sequence of float > 0

    Returns
    -------
    ridge : Ridge
        Fitted on all clips.
    cross_fitted : np.ndarray [shape=(n_clips, n_targets), dtype=float64]
        Each clip's prediction by a regression that left out its fold, at the chosen alphas.
    """
    held_out = np.empty((len(alphas), *targets.shape))
    for fold in np.unique(folds):
        out = folds == fold
        for i, ridge in enumerate(_path(features[~out], targets[~out], alphas)):
            held_out[i, out] = ridge.predict(features[out])
    errors = np.square(held_out - targets).sum(axis=1)  # (n_alphas, n_targets)
    # Of equal errors (for a class without clips), take the strongest penalty.
    best = len(alphas) - 1 - errors[::-1].argmin(axis=0)
    fitted, each = _path(features, targets, alphas), np.arange(targets.shape[1])
    ridge = Ridge(
        np.stack([fitted[i].coefficients[:, k] for k, i in enumerate(best)], axis=1),
        np.array([fitted[i].intercept[k] for k, i in enumerate(best)]),
        np.asarray(alphas, np.float64)[best],
    )
    return ridge, held_out[best, :, each].T


def _path(features: Array, targets: Array, alphas: Sequence[float]) -> list[Ridge]:
    """Fit a ridge regression for every alpha, from one eigendecomposition of the Gram matrix."""
    features, targets = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    mean_x, mean_y = features.mean(axis=0), targets.mean(axis=0)
    centred = features - mean_x
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred)
    projected = vectors.T @ (centred.T @ (targets - mean_y))
    result = []
    for alpha in alphas:
        coefficients = vectors @ (projected / (np.maximum(eigenvalues, 0) + alpha)[:, np.newaxis])
        result.append(Ridge(coefficients, mean_y - mean_x @ coefficients,
                          np.full(targets.shape[1], alpha)))
    return result


def fit(members: Sequence[Array], truth: Array, folds: Folds) -> Stack:
    """Fit both levels on all the given clips.

    Parameters
    ----------
    members : sequence of np.ndarray [shape=(n_clips, n_classes)]
        Each run's out-of-fold scores.
    truth : np.ndarray [shape=(n_clips, n_classes)]
        0 and 1.
    folds : np.ndarray [shape=(n_clips,)]
        At least two different numbers.
    """
    level1, adjusted = zip(*(fit_ridge(m, truth, folds) for m in members), strict=True)
    runs = np.stack(adjusted, axis=-1)
    level2 = [fit_ridge(runs[:, k], truth[:, [k]], folds)[0] for k in range(truth.shape[1])]
    return Stack(level1, tuple(level2))


def nested(members: Sequence[Array], truth: Array, folds: Folds) -> Floats:
    """Predict each clip by a stack that was fitted without the clip's fold.

    Parameters as :func:`fit`.

    Returns
    -------
    np.ndarray [shape=(n_clips, n_classes), dtype=float64]

    Raises
    ------
    UsageError
        If there are fewer than `MIN_FOLDS` folds.
    """
    def fit_and_score(fitted: Bools, out: Bools) -> Floats:
        stack = fit([m[fitted] for m in members], truth[fitted], folds[fitted])
        return stack.predict([m[out] for m in members])

    return cross_validation.nested(fit_and_score, truth.shape[1], folds, least=MIN_FOLDS,
                                   method="stacking")


def stack_runs(
    oofs: Sequence[Scores],
    tests: Sequence[tuple[str, Sequence[Scores]]],
    truth: Array,
    folds: Folds,
) -> tuple[Scores, Scores | None]:
    """Stack several runs.

    Parameters
    ----------
    oofs : sequence of Scores
        Each run's out-of-fold scores, aligned.
    tests : sequence of (str, sequence of Scores)
        Each run's name and its test scores, one per fold; empty for all runs if there are no test
        clips.
    truth, folds
        As :func:`fit`, of the clips of `oofs`.

    Returns
    -------
    oof : Scores
        The predictions of :func:`nested`.
    test : Scores or None
        The predictions of a stack fitted on all folds. Regressions are linear, so the mean of a
        run's folds gives what the mean of the folds' predictions would give.
    """
    members = [s.values for s in oofs]
    values = nested(members, truth, folds).astype(np.float32)
    oof = Scores(oofs[0].clip_ids, oofs[0].classes, values)
    if not tests[0][1]:
        return oof, None
    stack = fit(members, truth, folds)
    means = [(run[0], combine_tests("arithmetic", [run], [1.0], single=False)) for run in tests]
    # Classes in the order of the fit: coefficients go by position.
    aligned = [select(scores, scores.clip_ids, oof.classes) for scores in align(means)]
    values = stack.predict([s.values for s in aligned]).astype(np.float32)
    return oof, Scores(aligned[0].clip_ids, oof.classes, values)
