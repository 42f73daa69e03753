"""Label noisy clips by what a teacher, a trained run, thinks of them.

=========  ========================================================================================
agreement  A clip keeps its own labels if the teacher agrees with them: they are the classes that
           it scores highest, or all of them score at least `threshold`. Other clips are left out.
           With `keep`, at most this share of each class's clips is kept, those with the highest
           scores of their labels, so that frequent classes do not crowd out rare ones.
pseudo     A clip gets the teacher's scores as labels, sharpened by a temperature T. Of clips with
           one label these are ``p ** (1 / T)``, divided by their sum; otherwise, of each class,
           ``sigmoid(logit(p) / T)``. Clips without a sharpened score of at least `min_confidence`
           are left out.
mix        The mean of a clip's own labels and the sharpened scores.
=========  ========================================================================================

Labels are made once per fold, by the teacher's network of the same fold. That network has seen no
noisy clip and no curated clip of the fold, so that nothing of the student's validation clips is in
the labels that it is trained on.

Sharpening follows Berthelot et al., *MixMatch* (NeurIPS 2019); agreement is what several of the
best solutions of DCASE 2019, task 2, did between two trainings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.runs.scores import Scores

if TYPE_CHECKING:
    from pipeline.dataset.tables import Label

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Method:
    """How labels are made; see the module.

    Attributes
    ----------
    name : {"agreement", "pseudo", "mix"}
    threshold : float
        0 to 1.
    keep : float or None
        Above 0, at most 1; None keeps all that agree.
    temperature : float
        Above 0. Below 1 sharpens, 1 changes nothing.
    min_confidence : float
        0 to 1.
    """

    name: str
    threshold: float = 0.5
    keep: float | None = None
    temperature: float = 0.5
    min_confidence: float = 0.0


def sharpen(scores: Floats, temperature: float, *, single: bool) -> Floats:
    """Sharpen probabilities by a temperature.

    Parameters
    ----------
    scores : np.ndarray [shape=(n_clips, n_classes), dtype=float64]
        0 to 1.
    temperature : float > 0 [scalar]
        Below 1 moves scores towards 0 and 1.
    single : bool
        Whether each clip has exactly one label, so that its scores add up to 1.

    Returns
    -------
    np.ndarray [shape=(n_clips, n_classes), dtype=float64]

    Examples
    --------
    >>> sharpen(np.array([[0.8, 0.2]]), 0.5, single=True).round(3)
    array([[0.941, 0.059]])
    >>> sharpen(np.array([[0.8, 0.5]]), 0.5, single=False).round(3)
    array([[0.941, 0.5  ]])
    """
    # By the largest, which is 1 then: no power underflows to a sum of 0.
    if single:
        top = scores.max(axis=1, keepdims=True)
        powers = np.divide(scores, top, out=np.ones_like(scores), where=top > 0)
        powers = powers ** (1 / temperature)
        return powers / powers.sum(axis=1, keepdims=True)
    top = np.maximum(scores, 1 - scores)
    yes, no = (scores / top) ** (1 / temperature), ((1 - scores) / top) ** (1 / temperature)
    return yes / (yes + no)


def agreeing(
    scores: Floats, given: Bools, *, threshold: float, keep: float | None = None
) -> Bools:
    """Find the clips whose labels a teacher agrees with.

    Parameters
    ----------
    scores : np.ndarray [shape=(n_clips, n_classes), dtype=float64]
        The teacher's, 0 to 1.
    given : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        The clips' own labels. A clip without any is never found.
    threshold : float [scalar]
        The labels may all score this much instead of being the highest.
    keep : float, optional
        Largest share of a class's clips, above 0, at most 1; rounded up. A clip of several classes
        counts in each, and is found if one of them has it.

    Returns
    -------
    kept : np.ndarray [shape=(n_clips,), dtype=bool]

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1], [0.7, 0.6], [0.9, 0.2]])
    >>> agreeing(scores, np.array([[1, 0], [0, 1], [0, 1]], bool), threshold=0.5)
    array([ True,  True, False])
    """
    lowest = np.where(given, scores, np.inf).min(axis=1)
    rivals = np.where(given, -np.inf, scores).max(axis=1)
    # Where a rival scores as much, the labels are not the highest.
    agrees = given.any(axis=1) & ((lowest > rivals) | (lowest >= threshold))
    if keep is None:
        return agrees
    kept = np.zeros(len(given), bool)
    for column in given.T:
        clips = np.flatnonzero(column & agrees)
        most = int(np.ceil(keep * np.count_nonzero(column)))
        kept[clips[np.argsort(-lowest[clips], kind="stable")[:most]]] = True
    return kept


def make_labels(scores: Scores, given: Bools, method: Method, *, single: bool) -> Scores:
    """Return the labels that one network gives noisy clips.

    Parameters
    ----------
    scores : Scores
        The network's, 0 to 1.
    given : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        The labels that the clips have, in the order of `scores`.
    method : Method
    single : bool
        Whether each clip has exactly one label.

    Returns
    -------
    labels : Scores
        Of the clips that are kept; 0 to 1.
    """
    values = scores.values.astype(np.float64)
    own = given / np.maximum(given.sum(axis=1, keepdims=True), 1) if single else given.astype(float)
    kept = np.ones(len(values), bool)
    if method.name == "agreement":
        kept, labels = agreeing(values, given, threshold=method.threshold, keep=method.keep), own
    else:
        labels = sharpen(values, method.temperature, single=single)
        if method.name == "pseudo":
            kept = labels.max(axis=1) >= method.min_confidence
        else:
            labels = (labels + own) / 2
    clips = tuple(np.array(scores.clip_ids, dtype=object)[kept])
    return Scores(clips, scores.classes, labels[kept].astype(np.float32))


def given_labels(labels: Mapping[str, Label], scores: Scores) -> Bools:
    """Return the labels in labels.csv of the clips of `scores`, in its order.

    Returns
    -------
    np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    """
    return np.array([[name in labels[clip].labels for name in scores.classes]
                     for clip in scores.clip_ids], bool).reshape(scores.values.shape)
