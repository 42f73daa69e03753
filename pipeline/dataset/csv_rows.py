"""Find the columns of a CSV that others wrote, and check its cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pipeline.dataset.layouts import COLUMNS
from pipeline.runtime.errors import UsageError, listed
from pipeline.runtime.problems import BadClip
from pipeline.runtime.text import CONTROL


def columns(
    path: Path, header: Sequence[str], wanted: Mapping[str, tuple[str, ...]] = COLUMNS, *,
    optional: tuple[str, ...] = (),
) -> dict[str, int]:
    """Return the index of each column, those that are wanted by the names used here.

    Parameters
    ----------
    path : Path
        The table, for the error.
    header : sequence of str
        Its first row.
    wanted : mapping of str to tuple of str
        The names that a column may have in the table, by the name used here: ``labels`` may be
        called ``label``.
    optional : tuple of str
        Those of `wanted` that may be missing.

    Raises
    ------
    UsageError
        If another one is missing, or appears twice.
    """
    names = [name.strip() for name in header]
    errors, index = [], {name: i for i, name in enumerate(names)}
    for own, theirs in wanted.items():
        found = [name for name in names if name in theirs]
        if len(found) > 1 or (not found and own not in optional):
            errors.append(f"{'no' if not found else 'more than one'} column {' or '.join(theirs)}")
    if errors:
        guess = ""
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if len(header) == 1 and mark in header[0]:
                guess = f"; its cells are separated by {name}, save it with commas"
        raise UsageError(f"{path}:1: {', '.join(errors)} (it has: {listed(names)}){guess}")
    for own, theirs in wanted.items():
        positions = [index.pop(name) for name in theirs if name in index]
        index.pop(own, None)  # a column of that name which means something else here
        if positions:
            index[own] = positions[0]
    return index


def check_length(cells: Sequence[str], header: Sequence[str]) -> None:
    """Raise BadClip unless a row has as many cells as the header."""
    if len(cells) != len(header):
        raise BadClip(
            "bad-row", f"{len(cells)} cells, the header has {len(header)}",
            'Several labels need quotes around them: a.wav,"Bark,Meow"'
            if len(cells) > len(header) else "Complete the row, or remove it",
        )


def leaves_folder(name: str) -> str:
    """Explain why a relative POSIX name may leave its folder; empty if it cannot."""
    if "\\" in name:
        return "has a backslash"
    if name.startswith("/") or re.match("[A-Za-z]:/", name):
        return "is absolute"
    if ".." in name.split("/"):
        return "goes up with '..'"
    return ""


def file_name(cell: str) -> str:
    """Return the name in a cell; raises BadClip unless it is one that stays in its folder."""
    if not cell or CONTROL.search(cell):
        raise BadClip("bad-row", f"fname is {cell!r}", "Write the file's name into the cell")
    if why := leaves_folder(cell):
        raise BadClip("outside", f"fname is {cell!r}, which {why}",
                      "Use a path relative to the data folder, with / between folders")
    if "/" in cell and str(PurePosixPath(cell)) != cell:
        raise BadClip("bad-row", f"fname is {cell!r}", f"Write it as {str(PurePosixPath(cell))!r}")
    return cell


def label_names(cell: str, fname: str) -> tuple[str, ...]:
    """Split a cell into labels, without the spaces around them; raises BadClip if it is no list."""
    names = tuple(name.strip() for name in cell.split(","))
    if names == ("",):
        return ()
    if "" in names or CONTROL.search(cell):
        raise BadClip("bad-row", f"the labels of {fname} are {cell!r}",
                      "Separate labels by single commas")
    if len(set(names)) < len(names):
        raise BadClip("bad-row", f"the labels of {fname} are {cell!r}, one of them twice",
                      "Name each label once")
    return names


def fold_number(cell: str, fname: str) -> int:
    """Read a fold number; raises BadClip unless it is a whole number from 0."""
    text = cell.strip()
    # 9 digits: longer ones are ids or hashes in the wrong column.
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadClip("bad-fold", f"the fold of {fname} is {cell!r}",
                      "Needs a whole number from 0")
    return int(text)
