"""Find the tables and the audio of a data set in one of the supported layouts.

``fsdkaggle2019``
    The competition's files (train_curated.csv, train_noisy.csv, sample_submission.csv beside
    train_curated/, train_noisy/, test/), those of the release after it
    (https://doi.org/10.5281/zenodo.3612637), or a mixture.
``fsdkaggle2018``
    Likewise (https://doi.org/10.5281/zenodo.2552860).
``csv``
    One CSV of ``fname``, ``labels`` (or ``label``) and perhaps ``fold`` beside a folder of audio.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.dataset import csv_rows
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip
from pipeline.runtime.rows import read_rows

GET_DATA = (
    "Make the demo with `python -m pipeline.demo`, or get FSDKaggle2019 from Zenodo "
    "(doi 10.5281/zenodo.3612637) or from Kaggle (competition freesound-audio-tagging-2019)."
)

SUBMISSION, TRUTH = "sample_submission.csv", "test_post_competition.csv"


@dataclass(frozen=True)
class SplitFiles:
    """A part of a data set.

    Attributes
    ----------
    split : str
        ``curated``, ``noisy``, ``test``, or ``train`` where the table says which of the first two.
    table : Path or None
        The CSV that names its clips; None if there is none.
    folder : str
        The folder of its audio, relative to the data folder; empty for the data folder itself.
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
    layout : str
        One of the names above.
    parts : tuple of SplitFiles
    submission, vocabulary : Path or None
        The tables that name the classes.
    notes : tuple of str
        What is ignored.
    """

    root: Path
    layout: str
    parts: tuple[SplitFiles, ...]
    submission: Path | None
    vocabulary: Path | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitNames:
    """The names that the files of a split may have, the competition's first.

    Attributes
    ----------
    split : str
        As in :class:`SplitFiles`.
    tables : tuple of str
    folders : tuple of (str, str)
        The competition's folder of audio, and that of the release after it.
    """

    split: str
    tables: tuple[str, ...]
    folders: tuple[str, str]


@dataclass(frozen=True)
class Layout:
    """The files of a published data set; to add one, add a value to :data:`LAYOUTS`.

    Attributes
    ----------
    name : str
        As in dataset.json.
    meta : str
        The folder of the tables in the release after the competition.
    splits : tuple of SplitNames
    shared : tuple of str
        Tables that other data sets have too: finding one does not identify the layout.
    marks : dict of str to sequence of str
        Columns that identify the layout, by the shared table that has them.
    known_bad : dict of str to str
        Curated clips that the organisers named as bad, and why.
    """

    name: str
    meta: str
    splits: tuple[SplitNames, ...]
    shared: tuple[str, ...] = ()
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    known_bad: Mapping[str, str] = field(default_factory=dict)


LAYOUTS = {layout.name: layout for layout in (
    Layout(
        "fsdkaggle2019", "FSDKaggle2019.meta",
        (
            SplitNames("curated", ("train_curated.csv", "train_curated_post_competition.csv"),
                       ("train_curated", "FSDKaggle2019.audio_train_curated")),
            SplitNames("noisy", ("train_noisy.csv", "train_noisy_post_competition.csv"),
                       ("train_noisy", "FSDKaggle2019.audio_train_noisy")),
            SplitNames("test", (TRUTH,), ("test", "FSDKaggle2019.audio_test")),
        ),
        shared=(TRUTH,),
        marks={TRUTH: ("usage", "labels")},
        # "Detected corrupted files in the curated train set", https://zenodo.org/records/3612637
        known_bad={
            **dict.fromkeys(
                ("f76181c4.wav", "77b925c2.wav", "6a1f682a.wav", "c7db12aa.wav", "7752cc8a.wav"),
                "the organisers found its label wrong",
            ),
            "1d44b0bd.wav": "the organisers found no signal in it",
        },
    ),
    Layout(
        "fsdkaggle2018", "FSDKaggle2018.meta",
        (
            SplitNames("train", ("train.csv", "train_post_competition.csv"),
                       ("audio_train", "FSDKaggle2018.audio_train")),
            SplitNames("test", (TRUTH, "test_post_competition_scoring_clips.csv"),
                       ("audio_test", "FSDKaggle2018.audio_test")),
        ),
        shared=("train.csv", TRUTH),
        marks={"train.csv": ("manually_verified",), TRUTH: ("usage", "label")},
    ),
)}


def locate(data: Path) -> DataFolder:
    """Find the tables and the folders of a data set.

    Parameters
    ----------
    data : Path
        The data folder, or the one CSV to use in it.

    Raises
    ------
    UsageError
        If there is no supported layout, or more than one that could be meant.
    """
    if not data.exists():
        raise UsageError(f"{data}: no such folder. {GET_DATA}")
    if data.is_dir() and (layout := _recognise(data)):
        parts: list[SplitFiles] = []
        notes: list[str] = []
        parts += [_find(data, names, layout.meta, notes) for names in layout.splits]
        vocabulary = _there(data / layout.meta / "vocabulary.csv", data / "vocabulary.csv")
        return DataFolder(data, layout.name, tuple(parts), _there(data / SUBMISSION), vocabulary,
                          tuple(notes))
    root, table = (data, _only_table(data)) if data.is_dir() else (data.parent, data)
    part = SplitFiles("curated", table, _audio_folder(root, table), True)
    return DataFolder(root, "csv", (part,), _there(root / SUBMISSION), None)


def _recognise(root: Path) -> Layout | None:
    """Return the layout of the tables in `root`; None for a CSV of the user's own."""
    found = [
        layout for layout in LAYOUTS.values()
        if any(_there(root / name, root / layout.meta / name)
               for names in layout.splits for name in names.tables if name not in layout.shared)
    ]
    for table in dict.fromkeys(t for layout in LAYOUTS.values() for t in layout.marks):
        if not found:
            header = set(_header(root / table))
            found = [layout for layout in LAYOUTS.values()
                     if table in layout.marks and header >= set(layout.marks[table])]
    if len(found) > 1:
        names = " and ".join(layout.name for layout in found)
        raise UsageError(f"{root}: holds both {names}; needs a folder for each")
    return found[0] if found else None


def _find(
    root: Path, names: SplitNames, meta: str, notes: list[str],
) -> SplitFiles:
    tables = [p for place in (root, root / meta) for n in names.tables if (p := _there(place / n))]
    here = [folder for folder in names.folders if (root / folder).is_dir()]
    for several in ([p.relative_to(root).as_posix() for p in tables], here):
        if len(several) > 1:
            notes.append(f"{several[0]} is used, not {' or '.join(several[1:])}")
    released = bool(tables) and tables[0].parent != root
    folder = here[0] if here else names.folders[released]
    return SplitFiles(names.split, tables[0] if tables else None, folder, bool(here))


def _only_table(root: Path) -> Path:
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
    if fit:
        return fit[0]
    if errors:
        raise UsageError("\n".join([f"{root}: none of its tables is understood:", *errors]))
    packed = ", ".join(sorted(p.name for p in root.glob("*.zip")))
    hint = f" (unpack {packed} first)" if packed else ""
    raise UsageError(f"{root}: no data: no CSV there names clips{hint}. {GET_DATA}")


def _audio_folder(root: Path, table: Path) -> str:
    """The folder, of `root` and those in it, that has most of the clips that `table` names."""
    (_, header), *rows = read_rows(table)
    column = csv_rows.columns(table, header)["fname"]
    names = []
    for _, cells in rows[::len(rows) // 100 + 1]:
        try:
            csv_rows.check_length(cells, header)
            names.append(csv_rows.file_name(cells[column]))
        except BadClip:
            continue  # it is listed when the table is read
    folders = sorted(e.name for e in os.scandir(root) if e.is_dir() and e.name[0] != ".")
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


def _header(path: Path) -> list[str]:
    try:
        return [name.strip() for name in read_rows(path)[0][1]]
    except UsageError:
        return []


def _there(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)
