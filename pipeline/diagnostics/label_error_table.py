"""Write likely label errors as a table to decide on, a copy of which goes to prepare --relabel.

===================  ===============================================================================
clip_id, split       the clip
labels               as they are given, separated by commas as in labels.csv
suggested_labels     what the scores say instead; empty if they favour no class
score                self-confidence of the least likely label, 0 to 1; low is suspicious
action               empty: to be filled in with keep, correct or drop
new_labels           the labels if corrected; holds the suggestion to begin with
===================  ===============================================================================

Decisions in an earlier table at the same path are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.diagnostics.suspect_clips import Searched, names_where
from pipeline.runtime.errors import UsageError
from pipeline.runtime.rows import read_table, write_rows

COLUMNS = ("clip_id", "split", "labels", "suggested_labels", "score", "action", "new_labels")
_ACTION = COLUMNS.index("action")


def check_label_errors(path: Path, *, page: Path) -> None:
    """Check before the work that the table can be written.

    Parameters
    ----------
    path : Path
        What ``--label-errors`` names.
    page : Path
        What ``--out`` names.

    Raises
    ------
    UsageError
        If it is the page itself, a folder, or another file than such a table.
    """
    if path.resolve() == page.resolve():
        raise UsageError(f"--out and --label-errors both name {path}; needs two files")
    if path.is_dir():
        raise UsageError(f"--label-errors {path} is a folder; needs the name of a CSV file")
    _earlier(path)


def write_label_errors(path: Path, found: Sequence[Searched]) -> tuple[int, int]:
    """Write the suspicious clips, split by split, the most suspicious first.

    Rows of an earlier table whose action is filled in are kept as they are, those of clips that are
    not suspicious any more at the end.

    Parameters
    ----------
    path : Path
        A CSV file.
    found : sequence of Searched

    Returns
    -------
    clips, kept : int
        Number of suspicious clips, and of decisions that an earlier table had.

    Raises
    ------
    UsageError
        If there is another file than such a table; it is left unchanged.
    """
    decided = {cells[0]: cells for cells in _earlier(path) if cells[_ACTION].strip()}
    rows = suspicious_rows(found)
    ids = {row[0] for row in rows}
    write_rows(path, COLUMNS, [
        *(decided.get(row[0], row) for row in rows),
        *(cells for clip_id, cells in decided.items() if clip_id not in ids),
    ])
    return len(rows), len(decided)


def suspicious_rows(found: Sequence[Searched]) -> list[list[str]]:
    """Return the table's rows without any decision."""
    rows = []
    for each in found:
        classes = each.scores.classes
        for k in each.errors.ranked:
            given, suggested = (",".join(names_where(chosen[k], classes))
                                for chosen in (each.truth, each.errors.suggested))
            rows.append([each.scores.clip_ids[k], each.split, given, suggested,
                         f"{each.errors.confidence[k]:.4f}", "", suggested])
    return rows


def _earlier(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    advice = "Move it away, or name another file with --label-errors"
    try:
        return read_table(path, COLUMNS, list, advice=advice, unique=True)
    except UsageError as error:
        raise UsageError(f"{path} is there and not a table of label errors: {error}") from None
