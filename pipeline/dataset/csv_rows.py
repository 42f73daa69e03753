"""Tables that others wrote: the rows of a CSV, its columns, and what a cell may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """The place of each column, the one of the labels as ``labels`` under either name.

    Raises
    ------
    UsageError
        If ``fname`` or the labels are missing or there twice.
    """
    names = [name.strip() for name in header]
    errors = []
    for needed in (("fname",), ("labels", "label")):
        there = [name for name in names if name in needed]
        if len(there) != 1:
            errors.append(f"{'no' if not there else 'more than one'} column {' or '.join(needed)}")
    if errors:
        guess = ""
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if len(header) == 1 and mark in header[0]:
                guess = f"; its cells are separated by {name}, save it with commas"
        raise UsageError(f"{path}:1: {', '.join(errors)} (it has: {', '.join(names)}){guess}")
    return {"labels" if name == "label" else name: i for i, name in enumerate(names)}


def check_length(cells: Sequence[str], header: Sequence[str]) -> None:
    """Raise BadClip unless a row has as many cells as the header."""
    if len(cells) != len(header):
        raise BadClip(
            "bad-row", f"{len(cells)} cells, the header has {len(header)}",
            'Several labels need quotes around them: a.wav,"Bark,Meow"'
            if len(cells) > len(header) else "Complete the row, or remove it",
        )


def leaves_folder(name: str) -> str:
    """Why a relative POSIX name may point out of its folder; empty if it cannot."""
    if "\\" in name:
        return "has a backslash"
    if name.startswith("/") or re.match("[A-Za-z]:/", name):
        return "is absolute"
    if ".." in name.split("/"):
        return "goes up with '..'"
    return ""


def file_name(cell: str) -> str:
    """A name that stays in its folder, or BadClip."""
    if not cell or _CONTROL.search(cell):
        raise BadClip("bad-row", f"fname is {cell!r}", "Write the file's name there")
    if why := leaves_folder(cell):
        raise BadClip("outside", f"fname is {cell!r}, which {why}",
                      "Name a file in the data folder, relative and with /")
    if "/" in cell and str(PurePosixPath(cell)) != cell:
        raise BadClip("bad-row", f"fname is {cell!r}", f"Write it as {str(PurePosixPath(cell))!r}")
    return cell


def label_names(cell: str, fname: str) -> tuple[str, ...]:
    """The labels of a cell, without the spaces around them; BadClip for what is no list."""
    names = tuple(name.strip() for name in cell.split(","))
    if names == ("",):
        return ()
    if "" in names or _CONTROL.search(cell):
        raise BadClip("bad-row", f"the labels of {fname} are {cell!r}",
                      "Separate labels by one comma each")
    if len(set(names)) < len(names):
        raise BadClip("bad-row", f"the labels of {fname} are {cell!r}, one of them twice",
                      "Name each label once")
    return names


def fold_number(cell: str, fname: str) -> int:
    """A whole number from 0, or BadClip."""
    text = cell.strip()
    # 9 digits: longer ones are ids or hashes in the wrong column.
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadClip("bad-fold", f"the fold of {fname} is {cell!r}",
                      "Needs a whole number from 0")
    return int(text)
