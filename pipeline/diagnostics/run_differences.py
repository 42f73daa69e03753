"""Compare two runs clip by clip and class by class, on the clips that both have scores for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.diagnostics.clip_lwlrap import clip_lwlrap
from pipeline.diagnostics.reported_runs import ReportedRun
from pipeline.runs.scores import Scores, select
from pipeline.runtime.errors import UsageError
from pipeline.scoring.evaluation import LEVEL
from pipeline.scoring.intervals import bootstrap_gain


@dataclass(frozen=True, eq=False)
class Difference:
    """How a run differs from another one on one set of clips.

    Attributes
    ----------
    clips : {"oof", "test"}
    old, new : Scores
        Of the same clips and classes.
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
    overall : np.ndarray [shape=(3,)]
        lwlrap of `new` less that of `old`, and the ends of its 95 % interval.
    per_class : np.ndarray [shape=(n_classes, 3)]
        The same for each class; NaN for a class that no clip has.
    per_clip : np.ndarray [shape=(n_clips, 2)]
        Each clip's lwlrap in `old` and in `new`.
    """

    clips: str
    old: Scores
    new: Scores
    truth: NDArray[np.bool_]
    overall: NDArray[np.float64]
    per_class: NDArray[np.float64]
    per_clip: NDArray[np.float64]

    @property
    def furthest(self) -> NDArray[np.intp]:
        """Rows of the clips whose lwlrap differs, the largest difference first."""
        gap = np.abs(self.per_clip[:, 1] - self.per_clip[:, 0])
        order = np.argsort(-gap, kind="stable")
        return order[gap[order] > 0]


def compare(old: ReportedRun, new: ReportedRun, *, seed: int, resamples: int) -> list[Difference]:
    """Compare two runs on every set of clips that both are measured on.

    Parameters
    ----------
    old, new : ReportedRun
        Of the same data set.
    seed, resamples : int
        Of the bootstrap.

    Returns
    -------
    list of Difference
        Out of fold, then test, as far as both have scores.

    Raises
    ------
    UsageError
        If they have no clip in common.
    """
    found = []
    for kind in ("oof", "test"):
        if kind not in old.sets or kind not in new.sets:
            continue
        known = set(old.sets[kind].scores.clip_ids)
        ids = [c for c in new.sets[kind].scores.clip_ids if c in known]
        if not ids:
            raise UsageError(f"{old.name} and {new.name} have no {kind} clip in common; they "
                             "cannot be compared")
        classes = new.sets[kind].scores.classes
        before, after = (select(run.sets[kind].scores, ids, classes) for run in (old, new))
        rows = {c: i for i, c in enumerate(new.sets[kind].scores.clip_ids)}
        truth = new.sets[kind].truth[[rows[c] for c in ids]]
        overall, per_class = bootstrap_gain(
            truth, after.values, [before.values], rng=np.random.default_rng(seed),
            n_resamples=resamples, level=LEVEL,
        )
        per_clip = np.column_stack([clip_lwlrap(truth, s.values)[0] for s in (before, after)])
        found.append(Difference(kind, before, after, truth, overall, per_class, per_clip))
    return found
