"""List the clips that a data set's tables name.

Faults of rows are collected, not raised, so that one run reports all of them. A row without a
usable name is left out; any other bad row stays in the list, so that its audio is checked too.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.dataset import csv_rows
from pipeline.dataset.layouts import GET_DATA, SUBMISSION, DataFolder, SplitFiles, locate
from pipeline.dataset.tables import USAGES
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip, Problem
from pipeline.runtime.rows import each_row, read_rows


@dataclass(frozen=True)
class ListedClip:
    """A clip as a table names it.

    Attributes
    ----------
    clip_id : str
        The name in the table.
    folder : str
        The folder of audio that the name is relative to, itself relative to the data folder.
    where : str
        The table and its row, as ``file.csv:row``.
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
class ListedClips:
    """The clips that the tables name, and what is wrong with the rows.

    Attributes
    ----------
    root : Path
        The data folder.
    layout : str
        As in :class:`pipeline.dataset.tables.Dataset`.
    classes : tuple of str
        Likewise.
    clips : list of ListedClip
        Every row with a usable name.
    rejected : set of str
        Ids of the clips that are unusable because of their rows.
    problems : list of Problem
        The faults of these, and the rows without a usable name.
    notes : list of str
        Remarks for the user.
    """

    root: Path
    layout: str
    classes: tuple[str, ...] = ()
    clips: list[ListedClip] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(data: Path) -> ListedClips:
    """Read the tables of a data set; audio files are not opened.

    Parameters
    ----------
    data : Path
        The data folder, or the one CSV to use in it.

    Raises
    ------
    UsageError
        If there is no data set, or a table that cannot be read as one.
    """
    place = locate(data)
    listing = ListedClips(place.root, place.layout, notes=list(place.notes))
    submitted, classes = _read_submission(place)
    source = SUBMISSION
    if place.vocabulary and not classes:
        classes, source = _read_vocabulary(place.vocabulary), place.vocabulary.name
    for part in place.parts:
        _read_part(listing, part, submitted)
    if not listing.clips and not listing.problems:
        raise UsageError(f"{data}: its tables name no clip. {GET_DATA}")
    if not classes:
        source = "the training clips"
        splits = {c.split for c in listing.clips} - {"test"} or {"test"}
        classes = tuple(sorted({
            label for c in listing.clips if c.split in splits for label in c.labels}))
    if not classes and not listing.problems:
        raise UsageError(f"{data}: no class: no clip has a label, and there is no {SUBMISSION}")
    _check_labels(listing, classes, source)
    _check_names(listing)
    return replace(listing, classes=classes)


def _read_submission(place: DataFolder) -> tuple[list[tuple[int, str]], tuple[str, ...]]:
    """Return the test clips of sample_submission.csv, each with its row, and the classes."""
    if not place.submission:
        return [], ()
    (_, header), *rows = read_rows(place.submission)
    names = [name.strip() for name in header]
    if names.count("fname") != 1:
        raise UsageError(f"{place.submission}:1: needs one column fname, has {', '.join(names)}")
    column = names.index("fname")
    # In 2018 there was one more column, for three guesses separated by spaces.
    classes = () if names[1:] == ["label"] else tuple(n for n in names if n != "fname")
    twice = [name for name, n in Counter(classes).items() if n > 1 or not name]
    if twice:
        raise UsageError(f"{place.submission}:1: the classes need different names, not {twice}")
    return [(line, cells[column] if column < len(cells) else "") for line, cells in rows], classes


def _read_vocabulary(path: Path) -> tuple[str, ...]:
    """Read the classes of vocabulary.csv, which has no header: index, name."""
    rows = read_rows(path)
    if any(len(cells) < 2 for _, cells in rows):
        raise UsageError(f"{path}: needs an index and a name in each row")
    return tuple(sorted({cells[1].strip() for _, cells in rows}))


def _read_part(listing: ListedClips, part: SplitFiles, submitted: list[tuple[int, str]]) -> None:
    clips = list(_read_table(listing, part, part.table)) if part.table else []
    if part.split == "test" and submitted:
        clips = _merge_test(listing, part, clips, submitted)
    elif part.has_folder and not part.table:
        listing.notes.append(f"{part.folder}/ is left out: no table names its clips")
    if part.table and clips and not part.has_folder:
        listing.notes.append(
            f"there is no folder {part.folder}/ for the {len(clips)} clips of {part.table.name}: "
            "unpack it, or remove the table if you do not need these clips"
        )
    listing.clips.extend(clips)


def _merge_test(
    listing: ListedClips, part: SplitFiles, truth: list[ListedClip],
    submitted: list[tuple[int, str]],
) -> list[ListedClip]:
    """Merge the test clips of a sample submission with those whose labels are known.

    The competition's download has fewer test clips (3,361) than the labels published after it
    (4,481), so a clip with known labels that is not to be submitted counts only if its file exists.
    """
    known = {c.clip_id for c in truth}
    wanted = {name for _, name in submitted}
    kept = [c for c in truth if c.clip_id in wanted
            or os.path.lexists(os.path.join(listing.root, c.path))]
    if len(kept) < len(truth):
        listing.notes.append(f"{len(truth) - len(kept)} test clips with known labels are neither "
                             f"in {SUBMISSION} nor in {part.folder}/: left out")
    unknown = []
    for line, name in submitted:
        where = f"{SUBMISSION}:{line}"
        try:
            if csv_rows.file_name(name) not in known:
                unknown.append(ListedClip(name, part.folder, where))
        except BadClip as bad:
            listing.problems.append(bad.at(where))
    if unknown and not part.has_folder and not part.table:
        # For training alone, only the classes of this table are needed.
        listing.notes.append(f"there is no folder {part.folder}/: the {len(unknown)} test clips "
                             f"of {SUBMISSION} are left out")
        return []
    return kept + unknown


def _read_table(listing: ListedClips, part: SplitFiles, table: Path) -> Iterator[ListedClip]:
    """Yield the clips of a table; faults are added to the listing's problems."""
    rows = each_row(table)
    _, header = next(rows)
    column_of = csv_rows.columns(table, header)
    if part.split == "train" and "manually_verified" not in column_of:
        raise UsageError(f"{table}:1: no column manually_verified (it has: {', '.join(header)})")
    shown = table.relative_to(listing.root).as_posix()
    for line, cells in rows:
        where, name = f"{shown}:{line}", ""
        try:
            csv_rows.check_length(cells, header)
            name = csv_rows.file_name(cells[column_of["fname"]])
            yield _listed(name, part, where, {c: cells[i] for c, i in column_of.items()})
        except BadClip as bad:
            listing.problems.append(bad.at(where))
            if name:
                listing.rejected.add(name)
                yield ListedClip(name, part.folder, where, split=part.split)


def _listed(name: str, part: SplitFiles, where: str, row: dict[str, str]) -> ListedClip:
    if part.split == "test":
        usage = row.get("usage", "").strip()
        if usage == "Ignored":
            # The padding clips of 2018: without labels, and never scored.
            return ListedClip(name, part.folder, where)
        if usage not in USAGES:
            raise BadClip("bad-row", f"the usage of {name} is {usage!r}",
                          "Needs Public, Private or Ignored")
        labels = csv_rows.label_names(row["labels"], name)
        return ListedClip(name, part.folder, where, labels, usage=usage)
    labels = csv_rows.label_names(row["labels"], name)
    if not labels:
        raise BadClip("no-label", f"{name} has no label", "Label it, or remove the row")
    split = part.split
    if split == "train":
        verified = row["manually_verified"].strip()
        if verified not in ("0", "1"):
            raise BadClip("bad-row", f"manually_verified of {name} is {verified!r}",
                          "Needs 1 or 0")
        split = "curated" if verified == "1" else "noisy"
    fold = None
    if split == "curated" and "fold" in row:
        fold = csv_rows.fold_number(row["fold"], name)
    return ListedClip(name, part.folder, where, labels, split, fold)


def _check_labels(listing: ListedClips, classes: tuple[str, ...], source: str) -> None:
    known, hints = frozenset(classes), dict[str, str]()
    for clip in listing.clips:
        unknown = [label for label in clip.labels if label not in known]
        if not unknown:
            continue
        for label in unknown:
            # A table of another task has thousands, and matching each takes a millisecond.
            if label not in hints and len(hints) < 100:
                near = difflib.get_close_matches(label, classes, 3)
                hints[label] = f"Did you mean {' or '.join(near)}?" if near else ""
        listing.rejected.add(clip.clip_id)
        listing.problems.append(Problem(
            clip.where, "unknown-label",
            f"{clip.clip_id} has {', '.join(map(repr, unknown))}, which {source} does not have",
            " ".join(hints.get(label, "") for label in unknown).strip()
            or "Correct the label, or add the class",
        ))


def _check_names(listing: ListedClips) -> None:
    first: dict[str, str] = {}
    for clip in listing.clips:
        if (other := first.setdefault(clip.clip_id, clip.where)) != clip.where:
            listing.rejected.add(clip.clip_id)
            listing.problems.append(Problem(
                clip.where, "duplicate", f"{clip.clip_id} is in {other} already",
                "Keep one of the rows",
            ))
