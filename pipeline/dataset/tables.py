"""Read and write the tables that prepare hands to the other stages.

Three files in one folder. ``clips.csv`` lists the files to decode and ``labels.csv`` their labels,
so that a changed label or fold never re-extracts a feature; ``dataset.json`` has the classes.
All are UTF-8 with LF line ends, sorted by ``clip_id``; the same data give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import get_args

from pipeline.audio.file_header import Header
from pipeline.dataset import layouts
from pipeline.dataset.csv_rows import leaves_folder
from pipeline.runtime.choices import LabelMode
from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import atomic_write, read_limited
from pipeline.runtime.json_text import parse_json
from pipeline.runtime.rows import read_table, write_rows

CLIPS, LABELS, DATASET = "clips.csv", "labels.csv", "dataset.json"

LAYOUTS = tuple(layouts.LAYOUTS)
LABEL_MODES = get_args(LabelMode)
SPLITS = ("curated", "noisy", "test")
USAGES = ("Public", "Private", "")


@dataclass(frozen=True, slots=True)
class Clip:
    """A row of clips.csv: a file to decode.

    Attributes
    ----------
    clip_id : str
        The name in the data set's CSV, unique over the whole data set.
    path : str
        Relative to the data folder, with POSIX separators.
    header : Header
        What prepare found in the file.
    """

    clip_id: str
    path: str
    header: Header


@dataclass(frozen=True)
class Label:
    """A row of labels.csv: the labels and the fold of a clip.

    Attributes
    ----------
    clip_id : str
    labels : tuple of str
        Classes of the data set; none for a test clip whose labels are not known.
    split : str
        One of :data:`SPLITS`.
    fold : int or None
        The fold that validates on this clip, from 0; curated clips alone have one.
    usage : str
        The leaderboard of a test clip, one of :data:`USAGES`.
    """

    clip_id: str
    labels: tuple[str, ...]
    split: str
    fold: int | None
    usage: str


@dataclass(frozen=True)
class Dataset:
    """dataset.json.

    Attributes
    ----------
    root : Path
        The data folder, as the user gave it.
    layout : str
        One of :data:`LAYOUTS`.
    classes : tuple of str
        In the order of sample_submission.csv where there is one, else sorted.
    label_mode : str
        One of :data:`LABEL_MODES`.
    """

    root: Path
    layout: str
    classes: tuple[str, ...]
    label_mode: str


HEADER_COLUMNS = tuple(f.name for f in fields(Header))
CLIP_COLUMNS = ("clip_id", "path", *HEADER_COLUMNS)
LABEL_COLUMNS = tuple(f.name for f in fields(Label))

_ADVICE = "Run prepare again"


def is_prepared(folder: Path) -> bool:
    """Return whether prepare wrote `folder`."""
    return (folder / CLIPS).is_file() and (folder / DATASET).is_file()


def read_clips(folder: Path) -> tuple[Dataset, list[Clip]]:
    """Read dataset.json and clips.csv.

    Raises
    ------
    UsageError
        If a file is missing or not as prepare writes it; lists everything wrong as file:row.
    """
    dataset, path = read_dataset(folder), folder / CLIPS
    _needs(path)
    return dataset, read_table(path, CLIP_COLUMNS, _clip, advice=_ADVICE, unique=True)


def read_labels(folder: Path) -> list[Label]:
    """Read labels.csv; errors as :func:`read_clips`."""
    classes = frozenset(read_dataset(folder).classes)
    path = folder / LABELS
    _needs(path)
    return read_table(
        path, LABEL_COLUMNS, lambda row: _label(row, classes), advice=_ADVICE, unique=True
    )


def read_dataset(folder: Path) -> Dataset:
    """Read dataset.json; errors as :func:`read_clips`."""
    path = folder / DATASET
    _needs(path)
    try:
        result = parse_json(read_limited(path))
    except ValueError as error:  # bad UTF-8 and bad JSON both
        raise UsageError(f"{path}: not valid JSON: {error}. Run prepare again.") from None
    errors = []
    names = [f.name for f in fields(Dataset)]
    if not isinstance(result, dict) or sorted(result) != sorted(names):
        raise UsageError(f"{path}: needs the keys {', '.join(names)}. Run prepare again.")
    if not isinstance(result["root"], str) or not result["root"]:
        errors.append(f"{path}: root is {result['root']!r}; needs a folder")
    classes = result["classes"]
    if not isinstance(classes, list) or not classes or not all(
        isinstance(c, str) and c for c in classes
    ) or len(set(classes)) < len(classes):
        errors.append(f"{path}: classes needs a list of different names")
    for key, known in (("layout", LAYOUTS), ("label_mode", LABEL_MODES)):
        if result[key] not in known:
            errors.append(f"{path}: {key} is {result[key]!r}; known: {', '.join(known)}")
    if errors:
        raise UsageError("\n".join(errors))
    return Dataset(Path(result["root"]), result["layout"], tuple(classes), result["label_mode"])


def write_clips(folder: Path, clips: Iterable[Clip]) -> None:
    """Write clips.csv atomically."""
    write_rows(folder / CLIPS, CLIP_COLUMNS,
               ((c.clip_id, c.path, *astuple(c.header)) for c in clips))


def write_labels(folder: Path, labels: Iterable[Label]) -> None:
    """Write labels.csv atomically."""
    write_rows(
        folder / LABELS, LABEL_COLUMNS,
        ((label.clip_id, ",".join(label.labels), label.split,
          "" if label.fold is None else label.fold, label.usage) for label in labels),
    )


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write dataset.json atomically."""
    result = {
        "root": dataset.root.as_posix(), "layout": dataset.layout,
        "classes": dataset.classes, "label_mode": dataset.label_mode,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    with atomic_write(folder / DATASET) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def header_of(cells: list[str]) -> Header:
    """Read a header from the last five cells of a row, in the order of its fields.

    Raises
    ------
    ValueError
        If a cell is not a whole number from 1.
    """
    format, subtype, sr, channels, frames = cells[-5:]
    # Thousands of clips have the same few formats.
    return Header(sys.intern(format), sys.intern(subtype), _whole("sr", sr, 1),
                  _whole("channels", channels, 1), _whole("frames", frames, 1))


def _clip(row: list[str]) -> Clip:
    clip_id, path = row[:2]
    if not clip_id:
        raise ValueError("clip_id is empty")
    if not path or leaves_folder(path):
        raise ValueError(f"path is {path!r}: {leaves_folder(path) or 'empty'}")
    return Clip(clip_id, path, header_of(row))


def _label(row: list[str], classes: frozenset[str]) -> Label:
    clip_id, cell, split, fold, usage = row
    if not clip_id:
        raise ValueError("clip_id is empty")
    labels = tuple(cell.split(",")) if cell else ()
    unknown = [label for label in labels if label not in classes]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a class of {DATASET}")
    if len(set(labels)) < len(labels):
        raise ValueError(f"labels is {cell!r}: one label twice")
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; known: {', '.join(SPLITS)}")
    if not labels and split != "test":
        raise ValueError(f"labels is empty; a {split} clip needs one")
    if usage not in USAGES:
        raise ValueError(f"usage is {usage!r}; known: Public, Private or nothing")
    if fold and split != "curated":
        raise ValueError(f"fold is {fold!r}; a {split} clip has none")
    return Label(clip_id, labels, split, _whole("fold", fold, 0) if fold else None, usage)


def _whole(name: str, cell: str, minimum: int) -> int:
    if not (cell.isascii() and cell.isdecimal() and int(cell) >= minimum):
        raise ValueError(f"{name} is {cell!r}; needs a whole number from {minimum}")
    return int(cell)


def _needs(path: Path) -> None:
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file. `python -m pipeline.prepare --out {path.parent}` writes it."
        )
