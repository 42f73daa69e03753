"""Prepare the tables that the other stages read from a data set's folder."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset import folds as fold_rules
from pipeline.dataset import listing as datasets
from pipeline.dataset import tables
from pipeline.dataset.clip_rows import ListedClip
from pipeline.dataset.header_scan import scan
from pipeline.dataset.layouts import LAYOUTS
from pipeline.dataset.listing import ListedClips
from pipeline.dataset.recordings import shown
from pipeline.dataset.relabel import place, read_relabelling, relabelled
from pipeline.dataset.tables import Clip, Dataset, Label
from pipeline.runtime import problems as problem_tables
from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import flush_folder, locked
from pipeline.runtime.problems import Problem

PROBLEMS = "problems.csv"
# Folder in that of the tables, while they are written.
_WRITTEN = ".written"


@dataclass(frozen=True)
class Prepared:
    """A data set, ready to be written.

    Attributes
    ----------
    dataset : Dataset
    clips : list of Clip
        Sorted by clip id; every good clip, whatever the label mode.
    labels : list of Label
        Sorted by clip id.
    problems : list of Problem
        What is wrong with the clips that are left out.
    notes : list of str
        Other remarks for the user.
    several : list of Label
        Training clips that have no row in labels.csv because it has one label per clip.
    splits : dict of str to str
        The split of each clip that the data set lists, of those that are left out too.
    """

    dataset: Dataset
    clips: list[Clip]
    labels: list[Label]
    problems: list[Problem]
    notes: list[str]
    several: list[Label] = dataclasses.field(default_factory=list)
    splits: dict[str, str] = dataclasses.field(default_factory=dict)


def prepare(
    data: Path, *, labels: str, folds: int | None, seed: int, drop_known_bad: bool,
    subset: str | None = None, header_cache: Path | None = None,
) -> Prepared:
    """Read a data set's tables, check its files, and split its curated clips into folds.

    Parameters
    ----------
    data : Path
        The data folder, or one CSV in it; :mod:`pipeline.dataset.layouts` has the layouts.
    labels : str
        ``single`` keeps labels of training clips with exactly one; ``multi`` keeps all.
    folds : int or None
        At least 2, see :func:`with_folds`; None: a later call splits them.
    seed : int
        Random seed of the folds, in 0 to 2**32 - 1.
    drop_known_bad : bool
        Leave out the clips that the organisers of FSDKaggle2019 named as bad.
    subset : str, optional
        Keep only this part of the data set, see :attr:`.Layout.subsets`.
    header_cache : Path, optional
        Where to remember the headers, see :func:`pipeline.dataset.header_scan.scan`; the folds are
        remembered beside it.

    Raises
    ------
    UsageError
        If there is no data set, a table cannot be read as one, or too few clips are left.
    """
    listing = datasets.read(data, subset=subset)
    problems, notes = list(listing.problems), list(listing.notes)
    rejected = set(listing.rejected)
    listed = {clip.clip_id: clip for clip in reversed(listing.clips)}
    splits = {clip_id: clip.split for clip_id, clip in listed.items()}
    if drop_known_bad:
        dropped = _known_bad(listed.values(), LAYOUTS[listing.layout].known_bad)
        if dropped:
            notes.append(f"{len(dropped)} curated clips are left out because the organisers "
                         f"named them as bad: {', '.join(p.where for p in dropped)}")
        problems += dropped
        for problem in dropped:
            del listed[problem.where]
    headers = scan(listing.root, list(listed.values()), header_cache)
    if not LAYOUTS[listing.layout].by_folder:
        notes += _unnamed(listing)
    result, kept = [], []
    for clip_id in sorted(listed):
        clip, header = listed[clip_id], headers[clip_id]
        if isinstance(header, Problem):
            problems.append(header)
        elif clip_id not in rejected:
            result.append(Clip(clip_id, clip.path, header))
            kept.append(Label(clip_id, clip.labels, clip.split, clip.fold, clip.usage))
    kept, several = _by_mode(kept, labels)
    kept, several = _renumbered(kept, several, notes)
    dataset = Dataset(listing.root, listing.layout, listing.classes, labels)
    prepared = Prepared(dataset, result, kept, problems, notes, several, splits)
    if folds is None:
        return prepared
    return with_folds(prepared, folds=folds, seed=seed, header_cache=header_cache)


def with_folds(
    prepared: Prepared, *, folds: int, seed: int, relabel: Path | None = None,
    header_cache: Path | None = None,
) -> Prepared:
    """Split the curated clips into folds, unless the data set has its own; then relabel.

    In this order, because stratified folds depend on every label: if they were dealt after a
    correction, other clips would change their folds, and all networks would have to be trained
    again on another split.

    Parameters
    ----------
    prepared : Prepared
    folds : int
        At least 2.
    seed : int
        In 0 to 2**32 - 1.
    relabel : Path, optional
        A table of corrections, see :func:`pipeline.dataset.relabel.read_relabelling`.
    header_cache : Path, optional
        As in :func:`prepare`.

    Raises
    ------
    UsageError
        If there are fewer curated clips than folds, the data set's own fold column has only one, or
        the table of corrections is not valid or leaves a fold without clips.
    """
    curated = [label for label in prepared.labels if label.split == "curated"]
    notes, labels = list(prepared.notes), prepared.labels
    own = {label.fold for label in curated} - {None}
    if own:
        notes.append(f"the {len(own)} folds of the data set itself are used, "
                     f"not {folds} of seed {seed}")
        if len(own) < 2:
            raise UsageError("the fold column has the same fold for all clips; needs at least two")
        folds = len(own)
    elif curated:
        names = [label.labels for label in curated]
        if header_cache:
            cache = header_cache.with_name("folds.txt")
            dealt = fold_rules.assign_once(names, folds=folds, seed=seed, cache=cache)
        else:
            dealt = fold_rules.assign(names, folds=folds, seed=seed)
        fold_of = dict(zip((label.clip_id for label in curated), dealt, strict=True))
        labels = [dataclasses.replace(label, fold=fold_of.get(label.clip_id)) for label in labels]
    elif not labels:
        raise UsageError("no usable clips")
    else:
        notes.append("there are no curated clips, so there are no folds to train on")
    result = dataclasses.replace(prepared, labels=labels, notes=notes)
    if relabel:
        result = _relabelled(result, relabel, folds)
    if n := len(result.several):
        notes.append(f"{n} training clips with several labels have no row in labels.csv, which "
                     "has one label per clip")
    left = [label.labels for label in result.labels if label.split == "curated"]
    rare = fold_rules.rare(left, prepared.dataset.classes, folds=folds)
    if rare and left:
        notes.append("classes with fewer curated clips than folds: "
                     + ", ".join(f"{name}: {n}" for name, n in rare.items()))
    return result


def _relabelled(prepared: Prepared, path: Path, folds: int) -> Prepared:
    """Apply a table of corrections; its notes are added to those of `prepared`."""
    changes = read_relabelling(path, prepared.splits, prepared.dataset.classes)
    before = sorted([*prepared.labels, *prepared.several], key=lambda label: label.clip_id)
    after, corrected, dropped = relabelled(before, changes)
    labels, several = _by_mode(after, prepared.dataset.label_mode)
    labels = place(labels, folds=folds)
    curated = {label.fold for label in prepared.labels if label.fold is not None}
    if empty := sorted(curated - {label.fold for label in labels}):
        raise UsageError(f"{path}: no clip is left in fold {', '.join(map(str, empty))}; "
                         "drop fewer clips, or lower --folds")
    prepared.notes.append(f"{path}: {corrected} clips relabelled, {dropped} dropped")
    known = {label.clip_id for label in before}
    if gone := len([c for c in (*changes.corrected, *changes.dropped) if c not in known]):
        prepared.notes.append(f"{path}: {gone} of its clips are left out anyway")
    clips = [clip for clip in prepared.clips if clip.clip_id not in changes.dropped]
    return dataclasses.replace(prepared, clips=clips, labels=labels, several=several)


def bad(problems: Iterable[Problem]) -> list[Problem]:
    """Select the problems that count as failures: all but the clips that are known to be bad."""
    return [p for p in problems if p.reason != "known-bad"]


def write(prepared: Prepared, out: Path) -> None:
    """Write clips.csv, labels.csv, dataset.json and problems.csv.

    The first three change together: without dataset.json, which is deleted first and renamed last,
    nothing reads the folder.
    """
    with locked(out):
        problem_tables.write_csv(out / PROBLEMS, prepared.problems)
        written = out / _WRITTEN
        try:
            # All that a full disk can prevent comes before anything old is touched.
            tables.write_labels(written, prepared.labels)
            tables.write_clips(written, prepared.clips)
            tables.write_dataset(written, prepared.dataset)
            (out / tables.DATASET).unlink(missing_ok=True)
            flush_folder(out)
            for name in (tables.LABELS, tables.CLIPS, tables.DATASET):
                os.replace(written / name, out / name)
                flush_folder(out)
        finally:
            shutil.rmtree(written, ignore_errors=True)


def summary(prepared: Prepared) -> list[str]:
    """Summarize a prepared data set in lines for the terminal."""
    from pipeline.runtime.progress import hours

    seconds = {c.clip_id: c.header.frames / c.header.sr for c in prepared.clips}
    lines = [f"{prepared.dataset.root}: {prepared.dataset.layout}, "
             f"{len(prepared.dataset.classes)} classes, {len(prepared.clips)} clips, "
             f"{hours(sum(seconds.values()))}"]
    for split in tables.SPLITS:
        of_split = [label for label in prepared.labels if label.split == split]
        if of_split:
            audio = hours(sum(seconds[label.clip_id] for label in of_split))
            several = sum(len(label.labels) > 1 for label in of_split)
            without = sum(not label.labels for label in of_split)
            lines.append(
                f"  {split:8}{len(of_split):6} clips, {audio}"
                + (f", {several} with several labels" if several else "")
                + (f", {without} without known labels" if without else "")
            )
    sizes = Counter(label.fold for label in prepared.labels if label.fold is not None)
    if sizes:
        clips = ", ".join(str(sizes[fold]) for fold in sorted(sizes))
        lines.append(f"  {len(sizes)} folds of {clips} clips")
    return lines


def _known_bad(clips: Iterable[ListedClip], reasons: Mapping[str, str]) -> list[Problem]:
    return sorted((
        Problem(c.clip_id, "known-bad", reasons[c.clip_id], "--no-drop-known-bad keeps it")
        for c in clips if c.split == "curated" and c.clip_id in reasons
    ), key=lambda problem: problem.where)


def _by_mode(labels: list[Label], mode: str) -> tuple[list[Label], list[Label]]:
    """Split labels into those that labels.csv has, and those of too many classes for it."""
    if mode == "multi":
        return labels, []
    kept = [label for label in labels if label.split == "test" or len(label.labels) == 1]
    return kept, [label for label in labels if label.split != "test" and len(label.labels) != 1]


def _renumbered(
    labels: list[Label], several: list[Label], notes: list[str]
) -> tuple[list[Label], list[Label]]:
    """Number the data set's own folds from 0; a fold that only `several` have is none."""
    number_of = fold_rules.renumber([label.fold for label in labels if label.fold is not None])
    if not all(old == new for old, new in number_of.items()):
        notes.append("folds are renumbered: "
                     + ", ".join(f"{old} is {new}" for old, new in number_of.items()))
    new = [
        [label if label.fold is None
         else dataclasses.replace(label, fold=number_of.get(label.fold)) for label in each]
        for each in (labels, several)
    ]
    return new[0], new[1]


def _unnamed(listing: ListedClips) -> list[str]:
    """List the files that no table names, in the folders and with the suffixes of named ones."""
    named: dict[str, set[str]] = {}
    for clip in listing.clips:
        folder, name = os.path.split(clip.path)
        named.setdefault(folder, set()).add(name)
    notes = []
    for path in listing.left_out:
        folder, name = os.path.split(path)
        named.setdefault(folder, set()).add(name)
    for folder, names in sorted(named.items()):
        suffixes = {os.path.splitext(name)[1].lower() for name in names}
        try:
            with os.scandir(os.path.join(listing.root, folder)) as entries:
                extra = sorted(
                    e.name for e in entries
                    if e.name not in names and not e.name.startswith(".")
                    and os.path.splitext(e.name)[1].lower() in suffixes and not e.is_dir()
                )
        except OSError:
            continue  # no such folder: each of its clips is a problem already
        if extra:
            some = ", ".join(map(shown, extra[:3])) + (", …" if len(extra) > 3 else "")
            files = "1 file" if len(extra) == 1 else f"{len(extra)} files"
            are = "is" if len(extra) == 1 else "are"
            notes.append(f"{files} in {folder or '.'}/ {are} not in any table: {some}")
    return notes
