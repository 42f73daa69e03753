"""From scores and labels to figures: what is measured on which clips, and the files of it.

A run is measured on up to four sets of clips:

=========  =====================================================================================
oof        the validation clips, each scored by the model that did not train on it
test       the test clips whose labels are known
public     those of them that made up the competition's public leaderboard
private    those of its private one, which decided it
=========  =====================================================================================

Test scores of a trained run are the geometric mean of its folds' models.

The files are made for ``dvc plots``, a folder a kind and a file a run, so that dvc.yaml names
folders and no run: ``per_class/RUN-SET.csv`` (x: lwlrap, y: class, ``bar_horizontal_sorted``),
``confusion/RUN-SET.csv`` (a row a clip; x: actual, y: predicted, ``confusion_normalized``),
``curves/RUN.csv`` (x: epoch) and ``figures/*.png``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores, atomic_write, listed, select
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.scoring import metrics

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.dataset.tables import Label

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

LEVEL = 0.95

# Digits of metrics.json: enough for any comparison, few enough to be the same on every machine.
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
    """The labels of the scores' clips [shape=(n_clips, n_classes), dtype=bool].

    Raises
    ------
    UsageError
        If a clip has no labels, or a label is no class of the scores.
    """
    unknown = [c for c in scores.clip_ids if c not in labels or not labels[c].labels]
    if unknown:
        raise UsageError(
            f"labels.csv has no labels for {len(unknown)} clips that have scores: "
            f"{listed(unknown)}. Was the data prepared anew? Train the run again"
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


def subsets(
    oof: Scores, test: Scores | None, labels: Mapping[str, Label]
) -> tuple[dict[str, Scores], list[str]]:
    """The sets of clips to measure on, and what the reader should know of those left out.

    Returns
    -------
    sets : dict
        ``oof``, and as far as labels are known ``test``, ``public`` and ``private``.
    notes : list of str
        Clips with labels and without scores (bad audio): they count for nothing.
    """
    found, notes = {"oof": oof}, []
    folds = {labels[c].fold for c in oof.clip_ids if c in labels}
    expected = {"oof": [x.clip_id for x in labels.values()
                        if x.split != "test" and x.fold is not None and x.fold in folds]}
    if test is not None:
        known = [x for x in labels.values() if x.split == "test" and x.labels]
        scored = set(test.clip_ids)
        for name, usage in (("test", None), ("public", "Public"), ("private", "Private")):
            ids = [x.clip_id for x in known if usage in (None, x.usage)]
            if there := [c for c in ids if c in scored]:
                found[name] = select(test, there, test.classes)
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
    """Every measure of one set of clips; `what` is the set's name for an error.

    The generator of the bootstrap is made anew from `seed`, so a figure does not depend on what
    else is measured.

    Raises
    ------
    UsageError
        If the labels do not allow it, as more than one a clip where `single`.
    """
    rng = np.random.default_rng(seed)
    try:
        values = metrics.evaluate(truth, scores.values, single=single)
    except ValueError as error:
        raise UsageError(f"{what} cannot be measured: {error}") from None
    overall, intervals = metrics.bootstrap_lwlrap(
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
    """How much lwlrap `new` has over `old`, with a 95 % interval over the choice of clips.

    Both are measured on the same resampled clips (paired percentile bootstrap), for most of what
    varies between resamples is common to both.

    Returns
    -------
    gain, low, high : float
    """
    rng, gains = np.random.default_rng(seed), []
    truth, new, old = (array[truth.any(axis=1)] for array in (truth, new, old))
    for _ in range(resamples):
        drawn = rng.integers(len(truth), size=len(truth))
        gains.append(metrics.lwlrap(truth[drawn], new[drawn])
                     - metrics.lwlrap(truth[drawn], old[drawn]))
    low, high = np.quantile(gains, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return metrics.lwlrap(truth, new) - metrics.lwlrap(truth, old), float(low), float(high)


def write_json(path: Path, content: Any) -> None:
    """Indented, in the order given, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Comma-separated, UTF-8, newlines alone, whole or not at all."""
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_per_class(path: Path, result: Result) -> None:
    """class, lwlrap, low, high, labels: the classes that some clip has, in the scores' order."""
    counts = result.truth.sum(axis=0)
    write_csv(path, ["class", "lwlrap", "low", "high", "labels"], [
        [name, *(f"{x:.{DIGITS}f}" for x in row), count]
        for name, row, count in zip(result.scores.classes, result.per_class, counts, strict=True)
        if count
    ])


def write_confusion(path: Path, result: Result) -> None:
    """actual, predicted: a row for each clip of exactly one label; the top class is predicted.

    Clips of several labels have no one right answer and are left out.
    """
    one = result.truth.sum(axis=1) == 1
    classes = result.scores.classes
    pairs = zip(result.truth[one].argmax(axis=1), result.scores.values[one].argmax(axis=1),
                strict=True)
    write_csv(path, ["actual", "predicted"], [[classes[a], classes[p]] for a, p in pairs])


def confusions(result: Result, most: int) -> list[tuple[str, str, int]]:
    """The classes most often taken for another among the clips of exactly one label."""
    one = result.truth.sum(axis=1) == 1
    if not one.any():
        return []
    found = metrics.top_confusions(result.truth[one], result.scores.values[one], most=most)
    names = result.scores.classes
    return [(names[a], names[p], n) for a, p, n in found]


def read_histories(run: RunFolder, folds: Sequence[int]) -> pd.DataFrame:
    """history.csv of every fold of a trained run, one below the other, with a column ``fold``.

    Raises
    ------
    UsageError
        If a fold has none.
    StoreError
        If one is not a table of numbers by epoch.
    """
    import pandas as pd

    parts = []
    for fold in folds:
        path = run.fold(fold).history
        try:
            part = pd.read_csv(path)
        except FileNotFoundError:
            raise UsageError(
                f"{path}: no such file; `python -m pipeline.train` writes it"
            ) from None
        except ValueError as error:  # what pandas raises is a ValueError: empty, ragged, not UTF-8
            raise StoreError(f"{path}: {str(error).strip()}; train the run again") from None
        texts = [c for c in part if part[c].dtype.kind not in "iuf"]
        if "epoch" not in part or texts:
            raise StoreError(f"{path}: needs a column epoch and numbers alone, has the columns "
                             f"{', '.join(map(str, part))}; train the run again")
        parts.append(part.assign(fold=fold))
    return pd.concat(parts, ignore_index=True)


def write_curves(path: Path, histories: pd.DataFrame) -> None:
    """epoch, folds, and each column's mean over the folds that still trained in that epoch."""
    grouped = histories.groupby("epoch", sort=True)
    means = grouped.mean().drop(columns="fold")
    means.insert(0, "folds", grouped.size())
    with atomic_write(path) as partial:
        means.to_csv(partial, float_format=f"%.{DIGITS}g", lineterminator="\n")
