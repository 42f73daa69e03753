"""Find out which layout a data set has, and where its tables and its audio are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.audio.suffixes import is_audio_name
from pipeline.dataset.class_folders import split_folders, split_of
from pipeline.dataset.layouts import (
    COLUMNS,
    GET_DATA,
    LAYOUTS,
    SUBMISSION,
    Layout,
    SplitNames,
)
from pipeline.dataset.own_table import audio_folder, folders_in, only_table, tables_beside
from pipeline.dataset.recordings import Recordings, find_recordings, is_folder, shown
from pipeline.runtime.errors import UsageError, listed
from pipeline.runtime.files import read_limited
from pipeline.runtime.rows import each_row

CSV = LAYOUTS["csv"]


@dataclass(frozen=True)
class SplitFiles:
    """A part of a data set.

    Attributes
    ----------
    split : str
        ``curated``, ``noisy``, ``test``, or ``train`` where the table says which of the first two.
    table : Path or None
        The table that names its clips; None if there is none.
    folder : str
        The folder of its audio, relative to the data folder; empty for the data folder itself.
        ``{fold}`` in it is the row's cell of that column.
    has_folder : bool
        Whether that folder is there.
    """

    split: str
    table: Path | None
    folder: str
    has_folder: bool


@dataclass(frozen=True)
class DataFolder:
    """The files of a data set.

    Attributes
    ----------
    root : Path
        The data folder.
    layout : Layout
    parts : tuple of SplitFiles
    submission, vocabulary : Path or None
        The tables that name the classes.
    notes : tuple of str
        What is ignored.
    recordings : Recordings
        The audio in the folder, where the splits are folders.
    """

    root: Path
    layout: Layout
    parts: tuple[SplitFiles, ...]
    submission: Path | None = None
    vocabulary: Path | None = None
    notes: tuple[str, ...] = ()
    recordings: Recordings = field(default_factory=Recordings)


def locate(data: Path) -> DataFolder:
    """Find the tables and the folders of a data set.

    Parameters
    ----------
    data : Path
        The data folder, or the one table to use in it.

    Raises
    ------
    UsageError
        If there is no supported layout, or more than one that could be meant; the message says
        what was looked for and what was found.
    """
    place, unfit = find_tables(data)
    if place:
        return place
    if near := _nearby(data):
        raise UsageError(f"{data}: no CSV there names clips, but a data set is in "
                         f"{' and in '.join(map(str, near))}: give "
                         f"{'that folder' if len(near) == 1 else 'one of them'} as the data")
    recordings = find_recordings(data)
    layout = next(layout for layout in LAYOUTS.values() if layout.by_folder)
    if recordings.paths:
        # Its folders are classes only if no table may say otherwise.
        splits = [name for name in folders_in(data) if split_of(name, layout)]
        unfit = tables_beside(data, recordings, splits)
    if unfit:
        lines = [f"{data}: none of its tables is understood:", *unfit, _looked_for()]
        if any("/" in path for path in recordings.paths):
            lines.append("If its folders are the classes, and the tables say nothing of that, "
                         f"move the tables out of {data}")
        raise UsageError("\n".join(lines))
    if not recordings.paths and not recordings.problems:
        packed = ", ".join(sorted(p.name for p in data.glob("*.zip")))
        hint = f" (unpack {packed} first)" if packed else ""
        raise UsageError(
            f"{data}: no data: no CSV there names clips, and there is no audio{hint}. "
            f"{_found(data)}\n{_looked_for()}\n{GET_DATA}"
        )
    folders = split_folders(data, layout, recordings)
    parts = tuple(SplitFiles(split_of(f, layout) or "curated", None, f, True) for f in folders)
    return DataFolder(data, layout, parts, recordings=recordings)


def find_tables(data: Path) -> tuple[DataFolder | None, list[str]]:
    """Find a data set whose tables name its clips.

    Parameters
    ----------
    data : Path
        The data folder, or the one table to use in it.

    Returns
    -------
    place : DataFolder or None
        None if no table in the folder names clips.
    unfit : list of str
        Why the CSVs there are not such tables.

    Raises
    ------
    UsageError
        If there is no such folder, or more than one table or layout could be meant.
    """
    if (text := shown(os.fspath(data))) != os.fspath(data):
        raise UsageError(f"{text}: its name is not UTF-8 or has a control character, which no "
                         "table can hold; rename the folder")
    if not data.exists():
        raise UsageError(f"{data}: no such folder. {GET_DATA}")
    if not data.is_dir():
        return _of_table(data), []
    if layout := _recognise(data):
        return _of_layout(data, layout), []
    table, unfit = only_table(data)
    return (_of_csv(data, table) if table else None), unfit


def _of_layout(data: Path, layout: Layout) -> DataFolder:
    parts: list[SplitFiles] = []
    notes: list[str] = []
    recordings = Recordings()
    if layout.by_folder:
        parts, recordings = _parts_by_folder(data, layout), find_recordings(data)
    else:
        parts = [_find(data, names, layout, notes) for names in layout.splits]
    places = (*reversed(layout.places), "")
    vocabulary = _there(*(data / place / "vocabulary.csv" for place in places))
    return DataFolder(data, layout, tuple(parts), _there(data / SUBMISSION), vocabulary,
                      tuple(notes), recordings)


def _of_csv(root: Path, table: Path) -> DataFolder:
    part = SplitFiles("curated", table, audio_folder(root, table), True)
    return DataFolder(root, CSV, (part,), _there(root / SUBMISSION))


def _of_table(table: Path) -> DataFolder:
    """The data set of one table: one that a layout knows by its name, or the user's own."""
    if is_audio_name(table.name):
        raise UsageError(f"{table} is one recording: give the folder that it is in")
    for layout in LAYOUTS.values():
        if layout.columns == COLUMNS or table.name not in _tables(layout):
            continue
        for place in layout.places:
            root = table.parent.parent if place else table.parent
            if table == root / place / table.name and _header(table) >= set(
                    layout.marks.get(table.name, ())):
                return _of_layout(root, layout)
    return _of_csv(table.parent, table)


def _recognise(root: Path) -> Layout | None:
    """Return the layout of the tables in `root`; None for a CSV of the user's own."""
    fixed = [layout for layout in LAYOUTS.values() if layout is not CSV]
    found = [
        layout for layout in fixed
        if _there(*(root / place / table for place in layout.places
                    for table in _tables(layout) if table not in layout.shared))
    ]
    for table in dict.fromkeys(t for layout in fixed for t in layout.marks):
        if not found:
            found = [layout for layout in fixed if table in layout.marks
                     and any(_header(path) >= set(layout.marks[table])
                             for path in _marked(root, layout, table))]
    if len(found) > 1:
        names = " and ".join(layout.name for layout in found)
        raise UsageError(f"{root}: holds both {names}; needs a folder for each")
    return found[0] if found else None


def _marked(root: Path, layout: Layout, table: str) -> list[Path]:
    """The places of a table that marks a layout."""
    if not layout.by_folder:
        return [root / table]
    splits = [name for name in folders_in(root) if split_of(name, layout)]
    return [root / folder / table for folder in ("", *splits)]


def _tables(layout: Layout) -> list[str]:
    return list(dict.fromkeys(t for names in layout.splits for t in names.tables))


def _parts_by_folder(root: Path, layout: Layout) -> list[SplitFiles]:
    """The splits of a data set with a table of metadata, in the data folder or in the splits'."""
    tables = _tables(layout)
    parts = []
    if table := _there(*(root / name for name in tables)):
        parts.append(SplitFiles("curated", table, "", True))
    for folder in folders_in(root):
        split = split_of(folder, layout)
        own = _there(*(root / folder / name for name in tables))
        if split and (own or not parts or parts[0].folder):
            parts.append(SplitFiles(split, own, folder, True))
    return parts


def _find(root: Path, names: SplitNames, layout: Layout, notes: list[str]) -> SplitFiles:
    tables = [p for place in layout.places for n in names.tables
              if (p := _there(root / place / n))]
    here = [folder for folder in names.folders if _is_there(root, folder)]
    for several in ([p.relative_to(root).as_posix() for p in tables], here):
        if len(several) > 1:
            notes.append(f"{several[0]} is used, not {' or '.join(several[1:])}")
    released = bool(tables) and tables[0].parent != root / layout.places[0]
    folder = here[0] if here else names.folders[min(released, len(names.folders) - 1)]
    return SplitFiles(names.split, tables[0] if tables else None, folder, bool(here))


def _is_there(root: Path, folder: str) -> bool:
    """Whether there is such a folder; with ``{column}`` in its name, whether there is any."""
    pattern = re.sub(r"\{\w+\}", "*", folder)
    return any(p.is_dir() for p in root.glob(pattern)) if pattern != folder else (
        root / folder).is_dir()


def _nearby(root: Path) -> list[Path]:
    """The folders in `root` that hold a known data set: an archive unpacks into such a one."""
    found = []
    for folder in folders_in(root)[:100]:
        try:
            if (layout := _recognise(root / folder)) and not layout.by_folder:
                found.append(root / folder)
        except UsageError:
            continue
    return found


def _found(root: Path) -> str:
    with os.scandir(root) as entries:
        names = sorted(shown(e.name) + "/" * is_folder(e) for e in entries if e.name[0] != ".")
    return f"Found: {listed(names) or 'nothing'}"


def _looked_for() -> str:
    lines = [f"  {layout.name}: {layout.looks}" for layout in LAYOUTS.values()]
    return "\n".join(["Looked for:", *lines])


def _header(path: Path) -> set[str]:
    if path.suffix == ".jsonl":
        # Without reading it as JSON: broken lines are listed when the table is read.
        found = path.is_file() and b'"file_name"' in read_limited(path)
        return {"file_name"} if found else set()
    try:
        return {name.strip() for name in next(each_row(path))[1]}
    except UsageError:
        return set()


def _there(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)
