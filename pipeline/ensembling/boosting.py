"""Boost runs: gradient boosting on their scores and the lengths of the clips.

The second level of the 4th of Freesound General-Purpose Audio Tagging 2018 (Xu, Zhu, Kong et al.,
*General audio tagging with ensembling convolutional neural network and statistical features*, JASA
145(6), 2019): stacked generalization by gradient boosting. Here it is scikit-learn's
``HistGradientBoostingClassifier``: one booster of all classes where each clip has one label,
otherwise a binary booster per class.

A booster sees every run's scores of all classes, and the clip's length, because some classes are
short sounds. Scores are taken as they are stored, as probabilities: trees go by the order of a
feature's values alone, and logits have the same order.

A class that no clip of the fit has gets 0, and one that all have gets 1: that is all that the fit
knows of it.

The reported scores are nested: a fold is scored by boosters that were fitted on the other folds.
All settings are fixed, and no clip is held out to stop early, so nothing is chosen on what is
scored and two folds are enough. As in any stacking, one thing is not nested: the networks that
scored the other folds were trained on this fold's clips.

All clips weigh the same. The solution gave clips that are not verified a weight of 0.6, but only
curated clips have out-of-fold scores: networks that were trained on the noisy clips know their
labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ensembling import cross_validation
from pipeline.ensembling.cross_validation import Bools, Floats, Folds
from pipeline.ensembling.means import mean_over_folds
from pipeline.runs.scores import Scores, align, select
from pipeline.runtime.errors import UsageError, listed
from pipeline.scoring.evaluation import single_label_problems

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

Array = NDArray[np.floating]

# One fold to score, and one to fit on.
MIN_FOLDS = 2

# For some dozens of clips per class: shallow trees, and few features to choose from at each split,
# so that the trees differ and use all runs. Early stopping would hold clips out and choose on them.
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.1, "max_iter": 50, "max_leaf_nodes": 4, "min_samples_leaf": 5,
    "l2_regularization": 1.0, "max_features": 0.3, "early_stopping": False,
}


@dataclass(frozen=True, eq=False)
class Boosters:
    """Fitted boosters, and what stands for those that have nothing to learn.

    Attributes
    ----------
    constants : np.ndarray [shape=(n_classes,), dtype=float64]
        The score of each class without a booster: 0, or 1 if every clip of the fit has it.
    fitted : tuple of (np.ndarray [shape=(n,), dtype=intp], HistGradientBoostingClassifier)
        The classes of each booster: its own if it is of several, or the positive one.
    """

    constants: Floats
    fitted: tuple[tuple[NDArray[np.intp], HistGradientBoostingClassifier], ...]

    def predict(self, features: Array) -> Floats:
        """Predict probabilities: (n_clips, n_features) -> (n_clips, n_classes)."""
        from threadpoolctl import threadpool_limits

        scores = np.tile(self.constants, (len(features), 1))
        with threadpool_limits(1, user_api="openmp"):
            for classes, booster in self.fitted:
                scores[:, classes] = booster.predict_proba(features)[:, -len(classes):]
        return scores


def fit(features: Array, truth: Bools, *, single: bool, seed: int) -> Boosters:
    """Fit boosters on all the given clips.

    Parameters
    ----------
    features : np.ndarray [shape=(n_clips, n_features)]
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    single : bool
        Whether each clip has exactly one label.
    seed : int
        Of the features that each split may choose from.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # half a second; for boost only
    from threadpoolctl import threadpool_limits

    always = truth.all(axis=0)
    classes = np.flatnonzero(truth.any(axis=0) & ~always)
    if single:
        targets = [(classes, truth.argmax(axis=1))] if classes.size else []
    else:
        targets = [(classes[i:i + 1], truth[:, k]) for i, k in enumerate(classes)]
    # Threads wait for each other at every node: on a busy machine two were measured to take several
    # times as long as one, with the same result.
    with threadpool_limits(1, user_api="openmp"):
        fitted = tuple(
            (columns, HistGradientBoostingClassifier(**SETTINGS, random_state=seed)
             .fit(features, target)) for columns, target in targets
        )
    return Boosters(np.asarray(always, np.float64), fitted)


def nested(features: Array, truth: Bools, folds: Folds, *, single: bool, seed: int) -> Floats:
    """Score each clip by boosters that were fitted without the clip's fold.

    Parameters
    ----------
    features, truth, single, seed
        As :func:`fit`.
    folds : np.ndarray [shape=(n_clips,)]

    Returns
    -------
    np.ndarray [shape=(n_clips, n_classes), dtype=float64]
        0 to 1; with `single`, rows add up to 1.

    Raises
    ------
    UsageError
        If there are fewer than `MIN_FOLDS` folds.
    """
    def fit_and_score(fitted: Bools, out: Bools) -> Floats:
        boosters = fit(features[fitted], truth[fitted], single=single, seed=seed)
        return boosters.predict(features[out])

    return cross_validation.nested(fit_and_score, truth.shape[1], folds, least=MIN_FOLDS,
                                   method="boosting")


def boost_runs(
    oofs: Sequence[Scores],
    tests: Sequence[tuple[str, Sequence[Scores]]],
    truth: Bools,
    folds: Folds,
    seconds: Mapping[str, float],
    *,
    single: bool,
    seed: int,
) -> tuple[Scores, Scores | None]:
    """Boost several runs.

    Parameters
    ----------
    oofs : sequence of Scores
        Each run's out-of-fold scores, aligned.
    tests : sequence of (str, sequence of Scores)
        Each run's name and its test scores, one per fold or one in all; empty for all runs if there
        are no test clips.
    truth, folds
        As :func:`nested`, of the clips of `oofs`.
    seconds : mapping of str to float
        The length of each clip, by clip id.
    single, seed
        As :func:`fit`.

    Returns
    -------
    oof : Scores
        Those of :func:`nested`.
    test : Scores or None
        By boosters fitted on all folds. Like the out-of-fold scores that they were fitted on, they
        score what one network per run says, fold by fold; the result is the geometric mean over the
        folds, as in :func:`.means.mean_over_folds`.

    Raises
    ------
    UsageError
        If a clip has no length, or with `single` not exactly one label, or there are too few folds.
    """
    clip_ids, classes = oofs[0].clip_ids, oofs[0].classes
    named = [(f"{run}, fold {k}", scores) for run, each in tests for k, scores in enumerate(each)]
    aligned = align(named) if named else []
    _check(clip_ids, aligned[0].clip_ids if aligned else (), truth, seconds, single=single)
    features = _features(oofs, seconds)
    values = nested(features, truth, folds, single=single, seed=seed).astype(np.float32)
    oof = Scores(clip_ids, classes, values)
    if not aligned:
        return oof, None
    boosters = fit(features, truth, single=single, seed=seed)
    # Classes in the order of the fit: features go by position.
    remaining = iter([select(scores, scores.clip_ids, classes) for scores in aligned])
    runs = [[next(remaining) for _ in each] for _, each in tests]
    by_fold = []
    for k in range(max(map(len, runs))):
        # An ensemble among the runs has one set of scores, of all its folds.
        members = [each[k] if len(each) > 1 else each[0] for each in runs]
        values = boosters.predict(_features(members, seconds)).astype(np.float32)
        by_fold.append(Scores(members[0].clip_ids, classes, values))
    return oof, mean_over_folds("boosted", by_fold, single=single)


def _features(members: Sequence[Scores], seconds: Mapping[str, float]) -> Floats:
    """The columns of a booster: each run's scores of all classes, then the length of the clip."""
    lengths = np.array([[seconds[clip]] for clip in members[0].clip_ids])
    return np.hstack([*(scores.values for scores in members), lengths]).astype(np.float64)


def _check(
    clip_ids: Sequence[str], test_ids: Sequence[str], truth: Bools, seconds: Mapping[str, float],
    *, single: bool,
) -> None:
    errors = []
    if unknown := [clip for clip in (*clip_ids, *test_ids) if clip not in seconds]:
        errors.append(f"clips.csv lacks {len(unknown)} clips that have scores, so their length is "
                      f"not known: {listed(unknown)}. Has prepare been run again? Train and "
                      "predict the runs again")
    errors += single_label_problems(clip_ids, truth) if single else []
    if errors:
        raise UsageError("\n".join(errors))
