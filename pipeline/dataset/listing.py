"""List the clips that a data set's tables name, or that lie in its folders of classes.

Faults of rows are collected, not raised, so that one run reports all of them. A row without a
usable name is left out; any other bad row stays in the list, so that its audio is checked too.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.dataset import class_folders, csv_rows
from pipeline.dataset.clip_rows import ListedClip, TableClips, read_clips
from pipeline.dataset.layouts import GET_DATA, SUBMISSION, Layout
from pipeline.dataset.location import DataFolder, SplitFiles, locate
from pipeline.runtime.errors import UsageError, listed
from pipeline.runtime.problems import BadClip, Problem
from pipeline.runtime.rows import read_rows


@dataclass(frozen=True)
class ListedClips:
    """The clips of a data set, and what is wrong with the rows of its tables.

    Attributes
    ----------
    root : Path
        The data folder.
    layout : str
        As in :class:`pipeline.dataset.tables.Dataset`.
    classes : tuple of str
        Likewise.
    clips : list of ListedClip
        Every row with a usable name, or every recording in a folder.
    rejected : set of str
        Ids of the clips that are unusable because of their rows or folders.
    problems : list of Problem
        The faults of these, and the rows without a usable name.
    left_out : set of str
        Paths of the clips that are not in the wanted subset.
    notes : list of str
        Remarks for the user.
    """

    root: Path
    layout: str
    classes: tuple[str, ...] = ()
    clips: list[ListedClip] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def read(data: Path, *, subset: str | None = None) -> ListedClips:
    """Read the tables of a data set; no audio is decoded.

    Parameters
    ----------
    data : Path
        The data folder, or the one CSV to use in it.
    subset : str, optional
        Keep only this part of the data set, one of its layout's :attr:`.Layout.subsets`.

    Raises
    ------
    UsageError
        If there is no data set, or a table that cannot be read as one, or no such subset.
    """
    place = locate(data)
    subsets = place.layout.subsets
    if subset is not None and subset not in subsets:
        known = f"known: {', '.join(subsets)}" if subsets else "it has none"
        raise UsageError(f"{data} ({place.layout.name}): no subset {subset!r}; {known}")
    listing = ListedClips(place.root, place.layout.name, notes=list(place.notes))
    submitted, classes = _read_submission(place)
    source = SUBMISSION
    if place.vocabulary and not classes:
        classes, source = _read_vocabulary(place.vocabulary), place.vocabulary.name
    only = subsets[subset] if subset else None
    for part in place.parts:
        if place.layout.by_folder and not part.table:
            _read_folder(listing, place, part)
        else:
            _read_part(listing, place.layout, part, submitted, only)
    if place.layout.by_folder:
        _finish_folders(listing, place)
    if subset is not None:
        listing.notes.append(f"subset {subset}: {len(listing.left_out)} other clips are left out")
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


def _read_folder(listing: ListedClips, place: DataFolder, part: SplitFiles) -> None:
    """List the recordings of a split that has a folder per class."""
    for path, label in class_folders.labelled(
            place.root, part.folder, part.split, place.recordings):
        labels = (label,) if label else ()
        listing.clips.append(ListedClip(path, "", path, labels, part.split))
        if not label and part.split != "test":
            listing.rejected.add(path)
            listing.problems.append(Problem(
                path, "no-label", "it lies in no folder of a class",
                "Move it into its class's folder, or name it in a table"))
    if empty := class_folders.without_audio(part.folder, place.recordings):
        listing.notes.append(f"folders without audio are no classes: {listed(empty)}")


def _finish_folders(listing: ListedClips, place: DataFolder) -> None:
    """Report what concerns all splits of folders: doubles, validation clips, other files."""
    if not all(part.table for part in place.parts):
        listing.problems.extend(place.recordings.problems)
        listing.notes.extend(place.recordings.notes)
    if not any(part.table for part in place.parts):
        class_folders.check_classes(place.root, {
            label for c in listing.clips if c.split != "test" for label in c.labels})
    known = {c.clip_id for c in listing.clips}
    if extra := [path for path in place.recordings.paths if path not in known]:
        listing.notes.append(f"recordings that no table names: {listed(extra)}")
    in_folders = {c.clip_id: ",".join(c.labels) for c in listing.clips if c.where == c.clip_id}
    doubles = class_folders.same_recordings(place.root, in_folders)
    listing.rejected.update(problem.where for problem in doubles)
    listing.problems.extend(doubles)
    curated = [part.folder for part in place.parts if part.split == "curated"]
    if len(curated) > 1 and "" not in curated:
        listing.notes.append(f"{', '.join(curated)} together are the training clips: each fold "
                             "validates on its share of them")


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


def _read_part(
    listing: ListedClips, layout: Layout, part: SplitFiles, submitted: list[tuple[int, str]],
    only: tuple[str, str] | None,
) -> None:
    found = TableClips()
    if part.table:
        found = read_clips(listing.root, layout, part, part.table, only)
        listing.rejected.update(found.rejected)
        listing.problems.extend(found.problems)
        listing.left_out.update(found.left_out)
    clips = found.clips
    if part.split == "test" and submitted and not layout.by_folder:
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
            f"{clip.clip_id} has {', '.join(map(repr, unknown))}, not a class of {source}",
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
