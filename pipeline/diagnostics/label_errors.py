"""Find labels that are likely wrong or missing, by confident learning.

A model that was not trained on a clip is sure of another label than the one given. How sure it has
to be differs by class: as sure as it is on average where the label is given (Northcutt, Jiang and
Chuang: Confident learning: estimating uncertainty in dataset labels, JAIR 70, 2021).

With one label per clip, the confident class of a clip is the likeliest of those that reach their
threshold, the mean score of a class over the clips labelled with it. The label is likely wrong if
that is another class, and the model does not rank the label first either.

With several labels, each class is a question of its own with the answers yes and no, and with a
threshold for each: the mean of p over the clips that have the class, and of 1 - p over those that
do not. A label is likely wrong if the model is confident of no, likely missing if it is confident
of yes; that answer has to be the likelier of the two as well (Thyagarajan, Snorrason, Northcutt and
Mueller: Identifying incorrect annotations in multi-label classification data, 2022).

Decisions are ranked by self-confidence, the score of what the label says: p where the class is
given, 1 - p where it is not. A clip's is that of the least of its suspicious decisions. cleanlab
flags the same decisions (``filter_by="confident_learning"``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.diagnostics.calibration import is_probability
from pipeline.scoring.metrics import Bools, Floats, validate


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Suspicious labels of some clips.

    Attributes
    ----------
    wrong : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        Labels that are given and likely wrong.
    missing : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        Labels that are not given and likely right.
    suggested : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        The given labels without the wrong ones and with the missing ones. Where none would be
        left, the class that the model is most confident of, or nothing if there is no such class.
    confidence : np.ndarray [shape=(n_clips,)]
        Self-confidence of the least confident label, 0 to 1; of the suspicious ones, if any.
    """

    wrong: Bools
    missing: Bools
    suggested: Bools
    confidence: Floats

    @property
    def ranked(self) -> NDArray[np.intp]:
        """Rows of the suspicious clips, the least confident first."""
        order = np.argsort(self.confidence, kind="stable")
        suspicious = np.any(self.wrong | self.missing, axis=1)
        return order[suspicious[order]]


def find_label_errors(truth: ArrayLike, scores: ArrayLike, *, single: bool) -> LabelErrors:
    """Find the labels that the scores contradict.

    Parameters
    ----------
    truth : array-like [shape=(n_clips, n_classes)]
        The labels as they are given. Clips of another kind (curated, noisy) have other errors, so
        give each kind on its own.
    scores : array-like [shape=(n_clips, n_classes)]
        Probabilities by models that were not trained on these clips.
    single : bool
        Whether each clip has exactly one label.

    Returns
    -------
    LabelErrors

    Raises
    ------
    ValueError
        As :func:`pipeline.scoring.metrics.validate`, and if a score is not between 0 and 1.
    """
    labels, values = validate(truth, scores, single=single)
    if not is_probability(values):
        raise ValueError(f"scores are from {values.min()} to {values.max()}; needs 0 to 1")
    values = values.astype(np.float64)
    present = values >= _mean_where(labels, values)
    if single:
        confident = np.where(present, values, -1).argmax(axis=1)
        first = values.argmax(axis=1)
        given = labels.argmax(axis=1)
        doubtful = present.any(axis=1) & (confident != given) & (first != given)
        missing = np.zeros(labels.shape, bool)
        missing[doubtful, confident[doubtful]] = True
        wrong = labels & doubtful[:, np.newaxis]
        own = np.where(labels, values, np.inf)
    else:
        absent = (1 - values) >= _mean_where(~labels, 1 - values)
        likelier = values > 0.5
        wrong = labels & absent & ~likelier
        missing = ~labels & present & likelier
        own = np.where(labels, values, 1 - values)
    suspicious = wrong | missing
    chosen = suspicious | ~suspicious.any(axis=1, keepdims=True)
    confidence = np.where(chosen, own, np.inf).min(axis=1)
    return LabelErrors(wrong, missing, _suggest(labels, values, present, wrong, missing),
                       confidence)


def _mean_where(chosen: Bools, values: Floats) -> Floats:
    """Mean of each class's values over the clips chosen for it; infinite without any."""
    counts = chosen.sum(axis=0)
    sums = np.where(chosen, values, 0).sum(axis=0)
    return np.divide(sums, counts, out=np.full(counts.shape, np.inf), where=counts > 0)


def _suggest(
    labels: Bools, values: Floats, present: Bools, wrong: Bools, missing: Bools
) -> Bools:
    suggested = (labels & ~wrong) | missing
    # Nobody is sure of anything else: the likeliest of the classes that reach their threshold.
    left = present & ~wrong & ~suggested.any(axis=1, keepdims=True)
    rows = np.flatnonzero(left.any(axis=1))
    suggested[rows, np.where(left, values, -1).argmax(axis=1)[rows]] = True
    return suggested
