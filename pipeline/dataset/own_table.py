"""Find the CSV of clips in a folder, and the folder of its audio; or say why no table fits."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

from pipeline.audio.suffixes import is_audio_name
from pipeline.dataset import csv_rows
from pipeline.dataset.layouts import SUBMISSION
from pipeline.dataset.recordings import Recordings, is_folder, shown
from pipeline.dataset.tables import is_prepared
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip, Problem
from pipeline.runtime.rows import each_row, read_rows

SPREADSHEETS = (".xlsx", ".xls", ".ods")
TABLES = (".csv", ".tsv", ".jsonl", *SPREADSHEETS)


def only_table(root: Path) -> tuple[Path | None, list[str]]:
    """Return the only CSV in a folder that has the columns, and what is wrong with the others.

    Raises
    ------
    UsageError
        If several have them.
    """
    fit, errors = [], []
    for path in sorted(p for p in root.glob("*.csv") if p.name != SUBMISSION):
        try:
            csv_rows.columns(path, read_rows(path)[0][1])
            fit.append(path)
        except UsageError as error:
            errors.append(str(error))
    if len(fit) > 1:
        names = ", ".join(p.name for p in fit)
        raise UsageError(f"{root}: several tables fit: {names}. Give the one to use as the data.")
    return (fit[0] if fit else None), errors


def audio_folder(root: Path, table: Path) -> str:
    """Return the folder, of `root` and those in it, that has most of the clips of `table`.

    Raises
    ------
    UsageError
        If several have as many.
    """
    (_, header), *rows = read_rows(table)
    column = csv_rows.columns(table, header)["fname"]
    names = []
    for _, cells in rows[::len(rows) // 100 + 1]:
        try:
            csv_rows.check_length(cells, header)
            names.append(csv_rows.file_name(cells[column]))
        except BadClip:
            continue  # it is listed when the table is read
    folders = folders_in(root)
    hits = {folder: sum(os.path.lexists(os.path.join(root, folder, n)) for n in names)
            for folder in ["", *folders]}
    best = [folder for folder, n in hits.items() if n and n == max(hits.values())]
    if not best:
        return "audio" if "audio" in folders else folders[0] if len(folders) == 1 else ""
    if len(best) > 1:
        raise UsageError(
            f"{table}: its clips are in several folders: {', '.join(f or '.' for f in best)}. "
            "Write the folder into fname, as audio/a.wav, or move the others away."
        )
    return best[0]


def folders_in(root: Path) -> list[str]:
    """List the folders in a folder, sorted, without hidden ones."""
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if is_folder(e) and e.name[0] != ".")


def tables_beside(root: Path, recordings: Recordings, splits: Collection[str]) -> list[str]:
    """Find tables that may name the clips of a folder and are not understood.

    They are looked for in the data folder, in the splits', in folders without audio, and in the
    only folder of audio if there is just one. A table among the recordings of one class of several
    is nobody's list of clips; nor are the tables that prepare and extract write.

    Parameters
    ----------
    root : Path
        The data folder.
    recordings : Recordings
        The audio in it.
    splits : collection of str
        The folders of the splits.

    Returns
    -------
    list of str
        Each table, and why it does not fit.
    """
    tops = {path.partition("/")[0] for path in recordings.paths if "/" in path}
    places = [folder for folder in recordings.folders
              if folder in splits or folder.partition("/")[0] not in tops or tops == {folder}]
    found = []
    for place in ("", *places):
        if is_prepared(root / place):
            continue
        try:
            names = sorted(os.listdir(root / place))
        except OSError:
            continue  # it is a problem of `recordings` already
        for name in names:
            path = root / place / name
            if name[0] != "." and path.suffix.lower() in TABLES and path.is_file():
                found += _why_unfit(root, path)
    return found


def _why_unfit(root: Path, path: Path) -> list[str]:
    """Return in one line why a table does not name the clips; nothing for a list of problems."""
    text, suffix = shown(os.fspath(path)), path.suffix.lower()
    if path.name == SUBMISSION:
        return [f"{text}: names test clips, and has no labels"]
    if suffix in SPREADSHEETS:
        return [f"{text}: a spreadsheet; save it as CSV UTF-8"]
    if suffix == ".jsonl":
        return [f"{text}: needs the name metadata.jsonl, the key file_name, and a place in {root} "
                "or in train/, validation/ or test/"]
    try:
        rows = each_row(path)
        _, header = next(rows)
        if header == [field.name for field in fields(Problem)]:
            return []
        if "file_name" in [name.strip() for name in header]:
            return [f"{text}:1: has the column file_name, but is not {root / 'metadata.csv'}"]
        column = csv_rows.columns(path, header)["fname"]
        cells = next(rows, (0, []))[1]
    except UsageError as error:
        return [str(error)]
    name = cells[column] if column < len(cells) else ""
    why = ("its name must end in .csv" if path.suffix != ".csv" else
           f"has the columns, but is looked for only in {root}: move it there")
    if name and not is_audio_name(name):
        why += f"; its first fname, {name!r}, has no suffix of audio such as .wav"
    return [f"{text}: {why}"]
