"""Write the files that ``dvc metrics`` and ``dvc plots`` read.

One folder per kind and one file per run, so that dvc.yaml names folders and no run:
``per_class/RUN-SET.csv`` (x: lwlrap, y: class, ``bar_horizontal_sorted``),
``confusion/RUN-SET.csv`` (one row per clip; x: actual, y: predicted, ``confusion_normalized``) and
``curves/RUN.csv`` (x: epoch); metrics.json beside them. The same numbers give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runs.folder import RunFolder
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.files import atomic_write
from pipeline.runtime.rows import write_rows
from pipeline.scoring.evaluation import DIGITS, Result

if TYPE_CHECKING:
    import pandas as pd


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, indented, with keys in the given order."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")


def write_per_class(path: Path, result: Result) -> None:
    """Write class, lwlrap, low, high, labels for each class with clips, in the scores' order."""
    counts = result.truth.sum(axis=0)
    write_rows(path, ["class", "lwlrap", "low", "high", "labels"], [
        [name, *(f"{x:.{DIGITS}f}" for x in row), count]
        for name, row, count in zip(result.scores.classes, result.per_class, counts, strict=True)
        if count
    ])


def write_confusion(path: Path, result: Result) -> None:
    """Write actual and predicted for each clip of exactly one label; the top class is predicted.

    Clips with several labels have no single right answer and are left out.
    """
    one = result.truth.sum(axis=1) == 1
    classes = result.scores.classes
    pairs = zip(result.truth[one].argmax(axis=1), result.scores.values[one].argmax(axis=1),
                strict=True)
    write_rows(path, ["actual", "predicted"], [[classes[a], classes[p]] for a, p in pairs])


def read_histories(run: RunFolder, folds: Sequence[int]) -> pd.DataFrame:
    """Read history.csv of every fold of a trained run into one table with a column ``fold``.

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
    """Write epoch, folds, and each column's mean over the folds that trained in that epoch."""
    grouped = histories.groupby("epoch", sort=True)
    means = grouped.mean().drop(columns="fold")
    means.insert(0, "folds", grouped.size())
    with atomic_write(path) as partial:
        means.to_csv(partial, float_format=f"%.{DIGITS}g", lineterminator="\n")
