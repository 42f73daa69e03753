"""Read the clips of one table, by the columns that its layout declares.

Faults of rows are collected, not raised, so that one run reports all of them. A row without a
usable name is left out; any other bad row stays in the list, so that its audio is checked too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.dataset import class_folders, csv_rows
from pipeline.dataset.json_rows import each_table_row
from pipeline.dataset.layouts import Layout
from pipeline.dataset.location import SplitFiles
from pipeline.dataset.tables import USAGES
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip, Problem


@dataclass(frozen=True)
class ListedClip:
    """A clip as a table names it, or as it lies in a folder.

    Attributes
    ----------
    clip_id : str
        The name in the table; the path relative to the data folder where the splits are folders.
    folder : str
        The folder of audio that the id is relative to, itself relative to the data folder.
    where : str
        The table and its row, as ``file.csv:row``; the path of a clip that no table names.
    labels, split, usage
        As in :class:`pipeline.dataset.tables.Label`.
    fold : int or None
        As the table's own fold column numbers it; None without one.
    """

    clip_id: str
    folder: str
    where: str
    labels: tuple[str, ...] = ()
    split: str = "test"
    fold: int | None = None
    usage: str = ""

    @property
    def path(self) -> str:
        """Relative to the data folder."""
        return f"{self.folder}/{self.clip_id}" if self.folder else self.clip_id


@dataclass(frozen=True)
class TableClips:
    """The clips of one table; the fields are those of :class:`.listing.ListedClips`."""

    clips: list[ListedClip] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)


def read_clips(
    root: Path, layout: Layout, part: SplitFiles, table: Path, only: tuple[str, str] | None
) -> TableClips:
    """Read the clips of a table.

    Parameters
    ----------
    root : Path
        The data folder.
    layout : Layout
    part : SplitFiles
        The split that the table belongs to.
    table : Path
    only : tuple of str or None
        A column, and its cell in the rows to keep.

    Raises
    ------
    UsageError
        If it cannot be read as a table, or lacks a column.
    """
    rows = each_table_row(table)
    _, header = next(rows)
    column_of = csv_rows.columns(
        table, header, layout.columns, optional=("labels",) if layout.by_folder else ())
    needed = ["manually_verified"] if part.split == "train" else []
    needed += re.findall(r"\{(\w+)\}", part.folder)
    needed += [only[0]] if only else []
    if lacking := [name for name in needed if name not in column_of]:
        raise UsageError(f"{table}:1: no column {', '.join(lacking)} "
                         f"(it has: {', '.join(header)})")
    found, shown = TableClips(), table.relative_to(root).as_posix()
    for line, cells in rows:
        where, clip = f"{shown}:{line}", None
        try:
            csv_rows.check_length(cells, header)
            row = {name: cells[i] for name, i in column_of.items()}
            clip = _named(row, layout, part, where)
            if only and row[only[0]].strip() != only[1]:
                found.left_out.add(clip.path)
            else:
                found.clips.append(_described(clip, row))
        except BadClip as bad:
            found.problems.append(bad.at(where))
            if clip:
                found.rejected.add(clip.clip_id)
                found.clips.append(clip)
    return found


def _named(row: dict[str, str], layout: Layout, part: SplitFiles, where: str) -> ListedClip:
    """The clip of a row, with its folder and its split, but without labels."""
    name = csv_rows.file_name(row["fname"])
    if not layout.by_folder:
        return ListedClip(name, _folder(name, row, part.folder), where, split=part.split)
    path = f"{part.folder}/{name}" if part.folder else name
    top, _, inside = path.partition("/")
    split = class_folders.split_of(top, layout) if inside else None
    if "labels" not in row:
        row["labels"] = label = class_folders.class_of(inside if split else path)
        if "," in label:
            raise BadClip("bad-row", f"{path} is in the folder {label!r}, whose comma would make "
                          "several classes of it", "Rename the folder, also in the table")
    return ListedClip(path, "", where, split=split or part.split)


def _folder(name: str, row: dict[str, str], folder: str) -> str:
    """The folder of a row's file, such as audio/fold1 of audio/fold{fold}."""
    for column in re.findall(r"\{(\w+)\}", folder):
        cell = row[column].strip()
        # It must not lead out of the data.
        if not re.fullmatch(r"\w[\w.-]*", cell):
            raise BadClip(f"bad-{column}" if column == "fold" else "bad-row",
                          f"the {column} of {name} is {cell!r}", f"Its file is in {folder}/")
        folder = folder.replace(f"{{{column}}}", cell)
    return folder


def _described(clip: ListedClip, row: dict[str, str]) -> ListedClip:
    """Add what a row says of its clip; raises BadClip."""
    name, split = clip.clip_id, clip.split
    if split == "test":
        usage = row.get("usage", "").strip()
        if usage == "Ignored":
            # The padding clips of 2018: without labels, and never scored.
            return clip
        if usage not in USAGES:
            raise BadClip("bad-row", f"the usage of {name} is {usage!r}",
                          "Needs Public, Private or Ignored")
        return replace(clip, labels=csv_rows.label_names(row["labels"], name), usage=usage)
    labels = csv_rows.label_names(row["labels"], name)
    if not labels:
        raise BadClip("no-label", f"{name} has no label", "Label it, or remove the row")
    if split == "train":
        verified = row["manually_verified"].strip()
        if verified not in ("0", "1"):
            raise BadClip("bad-row", f"manually_verified of {name} is {verified!r}",
                          "Needs 1 or 0")
        split = "curated" if verified == "1" else "noisy"
    fold = None
    if split == "curated" and "fold" in row:
        fold = csv_rows.fold_number(row["fold"], name)
    return replace(clip, labels=labels, split=split, fold=fold)
