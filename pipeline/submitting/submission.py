"""Write submission files after a sample_submission.csv, and check them against it.

Two forms, told apart by the header:

- ``fname`` and one column per class (the 2019 competition): one score per cell, higher is likelier
- ``fname,label`` (2018): a clip's likeliest classes, best first, separated by spaces

A sample of the 2019 form names classes and clips, so labels can be written for it too
(:meth:`Sample.as_labels`). Columns and rows have the sample's names and order. Byte order marks and
CRLF in a sample, as spreadsheets leave them, are read; what is written is UTF-8 with LF and no
mark. Scores are written with enough digits to tell any two float32 apart, so no order is lost.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.runs.scores import Scores, select
from pipeline.runtime.errors import UsageError, listed
from pipeline.runtime.rows import read_rows, write_rows

ID, LABEL = "fname", "label"

# Lines of an error message; those after them are only counted.
MOST = 50

NumberedRow = tuple[int, list[str]]


@dataclass(frozen=True)
class Sample:
    """The columns and clips that sample_submission.csv asks for.

    Attributes
    ----------
    path : Path
    columns : tuple of str
        Those after ``fname``: the classes, or ``label`` alone.
    clip_ids : tuple of str
    """

    path: Path
    columns: tuple[str, ...]
    clip_ids: tuple[str, ...]

    @property
    def of_labels(self) -> bool:
        """Whether it has the form ``fname,label``."""
        return self.columns == (LABEL,)

    def as_labels(self, classes: Sequence[str]) -> Sample:
        """Return this sample in the form ``fname,label``.

        Parameters
        ----------
        classes : sequence of str
            The classes whose names are to be written.

        Raises
        ------
        UsageError
            If the sample has columns for classes and one of `classes` is not among them: the
            sample belongs to another task.
        """
        if not self.of_labels:
            self.check_classes(classes)
        return replace(self, columns=(LABEL,))

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise UsageError if one of `classes` has no column."""
        if odd := [c for c in classes if c not in set(self.columns)]:
            raise UsageError(f"{self.path} has no column for {len(odd)} classes of the run: "
                             f"{listed(odd)}. Is it the sample of this data set?")


def read_sample(path: Path) -> Sample:
    """Read the names and the order of a sample submission; its scores are ignored.

    Raises
    ------
    UsageError
        If it is not there or not a sample submission; lists everything wrong as file:row.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name the competition's with --sample")
    (first, header), *rows = read_rows(path)
    errors = []
    if header[0] != ID or len(header) < 2:
        errors.append(f"{path}:{first}: the header begins {','.join(header[:3])!r}; "
                     f"needs {ID} and one column per class, or {ID},{LABEL}")
    if twice := _twice(header):
        errors.append(f"{path}:{first}: columns twice: {listed(twice)}")
    if not rows:
        errors.append(f"{path}: a header and no test clips")
    for line, cells in rows:
        if len(cells) != len(header) or not cells[0]:
            errors.append(f"{path}:{line}: {len(cells)} cells from {cells[0]!r} on; "
                         f"needs a name and {len(header)} cells")
    if twice := _twice([cells[0] for _, cells in rows]):
        errors.append(f"{path}: clips twice: {listed(twice)}")
    _raise(errors)
    return Sample(path, tuple(header[1:]), tuple(cells[0] for _, cells in rows))


def missing_clips(scores: Scores, clip_ids: Sequence[str]) -> list[str]:
    """Return those of `clip_ids` that have no scores."""
    scored = set(scores.clip_ids)
    return [c for c in clip_ids if c not in scored]


def fill_missing(scores: Scores, clip_ids: Sequence[str]) -> Scores:
    """Return the scores of `clip_ids`; clips without any get each class's mean over all clips.

    A leaderboard refuses a file without a row for every clip. Of all rows that do not depend on the
    clip, the class means rank best on average; equal scores would rank worst, because lwlrap gives
    tied classes the lowest rank of the tie.
    """
    mean = scores.values.mean(axis=0, dtype=np.float64).astype(np.float32)
    missing = missing_clips(scores, clip_ids)
    values = np.concatenate([scores.values, np.tile(mean, (len(missing), 1))])
    every = Scores((*scores.clip_ids, *missing), scores.classes, values)
    return select(every, clip_ids, scores.classes)


def rows_of_scores(sample: Sample, scores: Scores) -> list[list[str]]:
    """Return the header and rows of a 2019 submission.

    A column without scores holds 0, or a clip's lowest score where that is less: stacked scores
    may be negative.

    Raises
    ------
    UsageError
        If a class of the scores has no column: the sample belongs to another task.
    """
    if sample.of_labels:
        raise UsageError(f"{sample.path} has the columns {ID},{LABEL}, the form of the 2018 "
                         "competition; use --top 3")
    sample.check_classes(scores.classes)
    known = select(scores, sample.clip_ids, [c for c in sample.columns if c in scores.classes])
    cells = dict(zip(known.classes, known.values.T.astype(str).tolist(), strict=True))
    lowest = ["0" if score == 0 else str(score) for score in known.values.min(axis=1, initial=0)]
    columns = [list(sample.clip_ids), *(cells.get(c, lowest) for c in sample.columns)]
    return [[ID, *sample.columns], *map(list, zip(*columns, strict=True))]


def rows_of_labels(sample: Sample, scores: Scores, top: int) -> list[list[str]]:
    """Return the header and rows of a 2018 submission: the `top` classes, on ties the first.

    Only the clips of `sample` matter: see :meth:`Sample.as_labels`.

    Raises
    ------
    UsageError
        If a class's name has a space.
    """
    if odd := [c for c in scores.classes if len(c.split()) != 1]:
        raise UsageError(f"labels are separated by spaces, and these names have some: "
                         f"{listed(odd)}")
    known = select(scores, sample.clip_ids, scores.classes)
    order = np.argsort(-known.values, axis=1, kind="stable")[:, :top]
    return [[ID, LABEL], *([clip, " ".join(known.classes[k] for k in best)]
                           for clip, best in zip(sample.clip_ids, order, strict=True))]


def check(
    where: str, rows: Sequence[NumberedRow], sample: Sample, *, classes: Sequence[str] = (),
    top: int = 3,
) -> None:
    """Check a submission against its sample.

    Parameters
    ----------
    where : str
        The file's name, for the messages.
    rows : sequence of (int, list of str)
        Line numbers and cells, the header first: :func:`pipeline.runtime.rows.read_rows`.
    sample : Sample
    classes : sequence of str
        The known labels, for the form ``fname,label``.
    top : int
        The largest number of labels per clip, for the form ``fname,label``.

    Raises
    ------
    UsageError
        Lists everything wrong as file:row.
    """
    (first, header), *body = rows
    needed = [ID, *sample.columns]
    errors = _names(f"{where}:{first}: columns", header, needed)
    for line, cells in body:
        if len(cells) != len(header):
            errors.append(f"{where}:{line}: {len(cells)} cells; the header has {len(header)}")
        elif not sample.of_labels:
            errors += _score_faults(f"{where}:{line}", header[1:], cells[1:])
        elif LABEL in header:
            errors += _label_faults(f"{where}:{line}", cells[header.index(LABEL)], classes, top)
    errors += _names(f"{where}: clips", [cells[0] for _, cells in body], list(sample.clip_ids))
    _raise(errors)


def write(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write header and rows atomically."""
    write_rows(path, rows[0], rows[1:])


def _names(what: str, found: list[str], needed: list[str]) -> list[str]:
    """Describe how names differ from the sample's: missing, not asked for, twice, order."""
    present, asked = set(found), set(needed)
    faults = {
        "missing": [n for n in needed if n not in present],
        "that the sample does not have": [n for n in found if n not in asked],
        "twice": _twice(found),
    }
    errors = [f"{what} {how} ({len(names)}): {listed(names)}"
             for how, names in faults.items() if names]
    if not errors and found != needed:
        k = next(k for k, pair in enumerate(zip(found, needed, strict=True)) if len(set(pair)) > 1)
        errors.append(f"{what} in another order than the sample's: number {k + 1} is {found[k]!r}, "
                     f"there it is {needed[k]!r}")
    return errors


def _score_faults(where: str, columns: Sequence[str], cells: Sequence[str]) -> list[str]:
    bad = [f"{column} is {cell!r}" for column, cell in zip(columns, cells, strict=True)
           if not _is_finite(cell)]
    return [f"{where}: needs finite numbers: {listed(bad)}"] if bad else []


def _is_finite(cell: str) -> bool:
    try:
        # Python alone reads 1_000 as a number.
        return "_" not in cell and math.isfinite(float(cell))
    except ValueError:
        return False


def _label_faults(where: str, cell: str, classes: Sequence[str], top: int) -> list[str]:
    labels, errors = cell.split(), []
    if not 1 <= len(labels) <= top:
        errors.append(f"{where}: {len(labels)} labels; needs 1 to {top}, separated by spaces")
    if unknown := [label for label in labels if label not in classes]:
        errors.append(f"{where}: no class of the data set: {listed(unknown)}")
    if twice := _twice(labels):
        errors.append(f"{where}: labels twice: {listed(twice)}")
    return errors


def _twice(names: Sequence[str]) -> list[str]:
    return [name for name, n in Counter(names).items() if n > 1]


def _raise(errors: Sequence[str]) -> None:
    if errors:
        rest = [f"… {len(errors) - MOST} more"] if len(errors) > MOST else []
        raise UsageError("\n".join([*errors[:MOST], *rest]))
