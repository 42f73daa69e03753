"""Find the user's own CSV of clips in a folder, and the folder of its audio."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.dataset import csv_rows
from pipeline.dataset.layouts import SUBMISSION
from pipeline.dataset.recordings import is_folder
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip
from pipeline.runtime.rows import read_rows


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
