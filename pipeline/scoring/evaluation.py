"""Choose the clips that a run is measured on, and measure it.

A run is measured on up to four sets of clips:

=========  =====================================================================================
oof        the validation clips, each scored by a model that was not trained on it
test       the test clips whose labels are known
public     those of them that made up the competition's public leaderboard
private    those of its private one, which decided it
=========  =====================================================================================

Test scores of a trained run are the geometric mean of its folds' models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.runs.scores import Scores, select
from pipeline.runtime.errors import UsageError, listed
from pipeline.scoring import metrics
from pipeline.scoring.intervals import bootstrap_gain, bootstrap_lwlrap

if TYPE_CHECKING:
    from pipeline.dataset.tables import Label

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

LEVEL = 0.95

# Digits of every figure: enough for any comparison, few enough to be the same on every machine.
DIGITS = 6


@dataclass(frozen=True, eq=False)
class Result:
    """A run's measures on one set of clips.

    Attributes
    ----------
    scores : Scores
        Of these clips alone.
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    summary : dict
        ``clips``, ``lwlrap``, ``lwlrap_low``, ``lwlrap_high`` (95 % bootstrap interval) and the
        rest of :func:`pipeline.scoring.metrics.evaluate`.
    per_class : np.ndarray [shape=(n_classes, 3)]
        lwlrap and its interval; NaN for a class that no clip has.
    """

    scores: Scores
    truth: Bools
    summary: dict[str, float]
    per_class: Floats


def truth_of(labels: Mapping[str, Label], scores: Scores) -> Bools:
    """Return the labels of the scores' clips [shape=(n_clips, n_classes), dtype=bool].

    Raises
    ------
    UsageError
        If a clip has no labels, or a label is not a class of the scores.
    """
    unknown = [c for c in scores.clip_ids if c not in labels or not labels[c].labels]
    if unknown:
        raise UsageError(
            f"labels.csv has no labels for {len(unknown)} clips that have scores: "
            f"{listed(unknown)}. Has prepare been run again? Train the run again"
        )
    column = {c: i for i, c in enumerate(scores.classes)}
    named = {label for c in scores.clip_ids for label in labels[c].labels}
    if odd := sorted(named - set(column)):
        raise UsageError(f"labels.csv has labels that the run does not know: {listed(odd)}. "
                         "Train the run again")
    truth = np.zeros(scores.values.shape, dtype=bool)
    for row, clip in enumerate(scores.clip_ids):
        truth[row, [column[label] for label in labels[clip].labels]] = True
    return truth


def single_label_problems(clip_ids: Sequence[str], truth: Bools) -> list[str]:
    """Say which clips do not have exactly one label, for what needs one; nothing if all have.

    Parameters
    ----------
    clip_ids : sequence of str
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        Their labels.

    Returns
    -------
    list of str
        One line at most.
    """
    odd = [c for c, n in zip(clip_ids, truth.sum(axis=1), strict=True) if n != 1]
    return [f"the runs predict one label per clip, and labels.csv has another number of labels for "
            f"{len(odd)} clips: {listed(odd)}. Train the runs again"] if odd else []


def subsets(
    oof: Scores, test: Scores | None, labels: Mapping[str, Label]
) -> tuple[dict[str, Scores], list[str]]:
    """Select the sets of clips to measure on, with notes on the clips that are left out.

    Returns
    -------
    sets : dict
        ``oof``, and as far as labels are known ``test``, ``public`` and ``private``.
    notes : list of str
        Clips with labels but without scores (bad audio), which no measure counts.
    """
    found, notes = {"oof": oof}, []
    folds = {labels[c].fold for c in oof.clip_ids if c in labels}
    expected = {"oof": [
        label.clip_id for label in labels.values()
        if label.split != "test" and label.fold is not None and label.fold in folds
    ]}
    if test is not None:
        known = [label for label in labels.values() if label.split == "test" and label.labels]
        scored = set(test.clip_ids)
        for name, usage in (("test", None), ("public", "Public"), ("private", "Private")):
            ids = [label.clip_id for label in known if usage in (None, label.usage)]
            if present := [c for c in ids if c in scored]:
                found[name] = select(test, present, test.classes)
            expected[name] = ids
    for name in ("oof", "test"):
        scored = set(found[name].clip_ids) if name in found else set()
        if missing := [c for c in expected.get(name, []) if c not in scored]:
            notes.append(f"{name}: {len(missing)} labelled clips have no scores and are left out: "
                         f"{listed(missing)}")
    return found, notes


def measure(
    what: str, scores: Scores, truth: Bools, *, single: bool, seed: int, resamples: int
) -> Result:
    """Compute every measure on one set of clips; error messages call the set `what`.

    The bootstrap starts from `seed` for each set, so that its interval does not depend on what else
    is measured.

    Raises
    ------
    UsageError
        If a clip has several labels and `single` is set, or no clip has a label.
    """
    rng = np.random.default_rng(seed)
    try:
        values = metrics.evaluate(truth, scores.values, single=single)
    except ValueError as error:
        raise UsageError(f"{what} cannot be measured: {error}") from None
    overall, intervals = bootstrap_lwlrap(
        truth, scores.values, rng=rng, n_resamples=resamples, level=LEVEL
    )
    per_class, _ = metrics.per_class_lwlrap(truth, scores.values)
    summary = {"clips": len(truth), "lwlrap": values.pop("lwlrap"),
               "lwlrap_low": overall[0], "lwlrap_high": overall[1], **values}
    rounded = {k: v if k == "clips" else round(float(v), DIGITS) for k, v in summary.items()}
    return Result(scores, truth, rounded, np.column_stack([per_class, intervals]))


def paired_gain(
    truth: Bools, new: NDArray, old: NDArray, *, seed: int, resamples: int
) -> tuple[float, float, float]:
    """Return the gain in lwlrap of `new` over `old`, with a 95 % interval over the choice of clips.

    See :func:`.intervals.bootstrap_gain`.

    Returns
    -------
    gain, low, high : float
    """
    overall, _ = bootstrap_gain(
        truth, new, [old], rng=np.random.default_rng(seed), n_resamples=resamples, level=LEVEL
    )
    gain, low, high = overall.tolist()
    return gain, low, high


def confusions(result: Result, most: int) -> list[tuple[str, str, int]]:
    """Return the most frequent confusions (actual, predicted, count) of clips with one label."""
    one = result.truth.sum(axis=1) == 1
    if not one.any():
        return []
    found = metrics.top_confusions(result.truth[one], result.scores.values[one], most=most)
    names = result.scores.classes
    return [(names[a], names[p], n) for a, p, n in found]
