"""Correct the labels of clips, or drop clips, as a table says that somebody filled in.

Training and validation clips only: the measure on the test clips would say little if their labels
were corrected by what a model predicts.

A relabelled data set keeps its folds. They are dealt by the labels as published, and a corrected
clip stays in its fold, so runs before and after can be compared clip by clip; only a clip that a
correction brings into ``labels.csv`` (see :func:`place`) gets a fold here.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.dataset.csv_rows import columns, label_names
from pipeline.dataset.tables import Label
from pipeline.runtime.errors import UsageError, suggestion
from pipeline.runtime.problems import BadClip
from pipeline.runtime.rows import each_row

COLUMNS = ("clip_id", "action", "new_labels")
ACTIONS = ("keep", "correct", "drop")


@dataclass(frozen=True)
class Relabelling:
    """What a table changes.

    Attributes
    ----------
    path : Path
        The table.
    corrected : dict of str to tuple of str
        New labels by clip.
    dropped : frozenset of str
        Clips to leave out.
    """

    path: Path
    corrected: Mapping[str, tuple[str, ...]]
    dropped: frozenset[str]


def read_relabelling(
    path: Path, splits: Mapping[str, str], classes: Collection[str]
) -> Relabelling:
    """Read a table of corrections.

    Parameters
    ----------
    path : Path
        A CSV with the columns ``clip_id``, ``action`` (``keep`` or nothing, ``correct``, ``drop``)
        and ``new_labels`` (for ``correct``: one class or several, separated by commas as in
        labels.csv). Other columns are ignored, and so is a label without the action ``correct``.
    splits : mapping of str to str
        The split of each clip of the data set, those that are left out too.
    classes : collection of str
        The classes of the data set.

    Raises
    ------
    UsageError
        If the table cannot be read; or lists all rows that are wrong, as file:row: unknown clips,
        classes and actions, a clip that has two rows, a correction without labels, and changes of
        test clips.
    """
    rows = each_row(path)
    _, header = next(rows)
    column_of = columns(path, header, {name: (name,) for name in COLUMNS})
    corrected: dict[str, tuple[str, ...]] = {}
    dropped, first, errors = set[str](), dict[str, int](), list[str]()
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue  # an empty row of a spreadsheet: ,,,
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, the header has {len(header)}; several "
                                 'labels need quotes around them: "Bark,Meow"')
            clip_id, action, new = (cells[column_of[name]].strip() for name in COLUMNS)
            action = action.lower()
            wrong = _errors(clip_id, action, new, splits, classes)
            if clip_id in first:
                wrong.insert(0, f"{clip_id!r} is in row {first[clip_id]} already")
            first.setdefault(clip_id, line)
            if wrong:
                raise ValueError("; ".join(wrong))
        except ValueError as error:
            errors.append(f"{path}:{line}: {error}")
            continue
        if action == "correct":
            corrected[clip_id] = label_names(new, clip_id)
        elif action == "drop":
            dropped.add(clip_id)
    if errors:
        raise UsageError("\n".join(errors))
    return Relabelling(path, corrected, frozenset(dropped))


def _errors(
    clip_id: str, action: str, new: str, splits: Mapping[str, str], classes: Collection[str]
) -> list[str]:
    """List what is wrong with a row."""
    if action and action not in ACTIONS:
        return [f"action is {action!r}; {suggestion(action, ACTIONS)}"]
    errors = []
    if clip_id not in splits:
        errors.append(f"no clip {clip_id!r} in the data set")
    elif splits[clip_id] == "test" and action in ("correct", "drop"):
        errors.append(f"{clip_id!r} is a test clip, whose labels measure the models; only those of "
                      "training clips may be changed")
    if action != "correct":
        return errors
    if not new:
        errors.append("new_labels is empty; correct needs at least one class")
        return errors
    try:
        labels = label_names(new, clip_id)
    except BadClip as bad:
        errors.append(f"new_labels is {new!r}: {bad.advice[0].lower()}{bad.advice[1:]}")
        return errors
    for label in labels:
        if label not in classes:
            near = difflib.get_close_matches(label, classes, 1)
            hint = f"did you mean {near[0]}?" if near else "the data set has no such class"
            errors.append(f"{label!r} is not a class; {hint}")
    return errors


def relabelled(
    labels: Iterable[Label], relabelling: Relabelling
) -> tuple[list[Label], int, int]:
    """Apply a table to labels; returns the labels, and how many were corrected and dropped."""
    result, corrected, dropped = [], 0, 0
    for label in labels:
        if label.clip_id in relabelling.dropped:
            dropped += 1
            continue
        new = relabelling.corrected.get(label.clip_id, label.labels)
        corrected += set(new) != set(label.labels)
        result.append(replace(label, labels=new))
    return result, corrected, dropped


def place(labels: Sequence[Label], *, folds: int) -> list[Label]:
    """Give a fold to each curated clip that has none, and leave the others in theirs.

    With one label per clip, ``labels.csv`` has no row for a clip of several labels; a correction to
    one label brings it in after the folds were dealt. It joins the fold with the fewest clips of
    its class, then with the fewest clips.

    Parameters
    ----------
    labels : sequence of Label
        Sorted by clip id.
    folds : int
    """
    sizes, of_class = Counter[int](), Counter[tuple[str, int]]()
    for label in labels:
        if label.fold is not None:
            sizes[label.fold] += 1
            of_class.update((name, label.fold) for name in label.labels)
    result = []
    for label in labels:
        if label.split == "curated" and label.fold is None:
            names = label.labels
            fold = min(range(folds), key=lambda k, names=names: (  # type: ignore[misc]
                sum(of_class[name, k] for name in names), sizes[k], k))
            sizes[fold] += 1
            of_class.update((name, fold) for name in names)
            label = replace(label, fold=fold)
        result.append(label)
    return result
