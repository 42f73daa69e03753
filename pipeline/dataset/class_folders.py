"""Read a data set that has a folder per class, perhaps in a folder per split.

Keras takes the outer folder of ``Animals/Dog/a.wav`` for the class and Hugging Face the inner one,
so such a file is an error here, not a guess.
"""

from __future__ import annotations

import filecmp
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pipeline.dataset.layouts import LAYOUTS, Layout
from pipeline.dataset.recordings import Recordings, shown
from pipeline.runtime.errors import UsageError, listed
from pipeline.runtime.problems import BadClip, Problem
from pipeline.runtime.text import CONTROL

FOLD = re.compile(r"fold[ _-]?\d+", re.IGNORECASE)


def split_of(name: str, layout: Layout) -> str | None:
    """Return the split that a folder of this name holds; None if it is the name of no split."""
    return next((names.split for names in layout.splits
                 if name and name.casefold() in names.folders), None)


def split_folders(root: Path, layout: Layout, recordings: Recordings) -> list[str]:
    """Return the folders of the splits; only the data folder itself, ``""``, if there are none.

    A folder that is called ``train`` and has audio but no folders is a class if other classes lie
    beside it: the sound of a train.

    Raises
    ------
    UsageError
        If folders of splits and of classes lie side by side.
    """
    levels: dict[str, set[int]] = {}
    for path in recordings.paths:
        levels.setdefault(path.partition("/")[0], set()).add(path.count("/"))
    tops = {top for top, deep in levels.items() if deep != {0}}
    splits = sorted(top for top in tops if split_of(top, layout) is not None)
    classes = sorted(tops - set(splits))
    if not splits or not classes:
        return splits or [""]
    if all(levels[top] == {1} for top in splits):
        return [""]
    raise UsageError(
        f"{root}: {listed([f'{top}/' for top in splits])} hold folders of audio, as a split does, "
        f"but {listed([f'{top}/' for top in classes])} lie beside them. "
        "Needs either a folder per class, or train/ and test/ with a folder per class in each"
    )


def class_of(path: str) -> str:
    """Return the class of a path inside a split; empty if it lies in no folder.

    Raises
    ------
    BadClip
        If it lies in several.
    """
    *folders, _ = path.split("/")
    if len(folders) > 1:
        raise BadClip("bad-row", f"{path} lies in {len(folders)} folders; the class may be "
                      f"{folders[0]!r} or {folders[-1]!r}", "Put it into its class's folder")
    return folders[0] if folders else ""


def labelled(root: Path, folder: str, split: str, recordings: Recordings) -> Iterator[
    tuple[str, str]
]:
    """Yield the path of each recording of a split, relative to `root`, and its class.

    The class is empty where a recording lies in no class's folder.

    Raises
    ------
    UsageError
        If the folders cannot be classes; lists all of them.
    """
    prefix = f"{folder}/" if folder else ""
    paths = [path for path in recordings.paths if path.startswith(prefix)]
    inside = {path: path.removeprefix(prefix).split("/")[:-1] for path in paths}
    here = root / folder if folder else root
    if nested := [path for path in paths if len(inside[path]) > 1]:
        if all(FOLD.fullmatch(inside[path][-1]) for path in nested):
            raise _folds(here, {"/".join(inside[path]) for path in nested})
        only = {names[0] for names in inside.values() if names}
        hint = (f"give {here}/{only.pop()} as the data" if len(only) == 1 and not folder else
                "move them up, or name them in a metadata.csv with the columns file_name and label")
        raise UsageError(
            f"{here}: {len(nested)} recordings lie in a folder inside a folder, so that either may "
            f"be the class: {listed(list(map(shown, nested)))}. Needs {prefix}CLASS/a.wav: {hint}"
        )
    if split != "test" and not any(inside.values()):
        raise UsageError(
            f"{here}: no labels: none of its {len(paths)} recordings lies in a folder of a class, "
            "and no table names them. Needs a folder per class, or a CSV with the columns fname "
            "and labels (extract needs no labels: give it this folder as --data)"
        )
    names = {parts[0] for parts in inside.values() if parts}
    if bad := sorted(name for name in names
                     if "," in name or CONTROL.search(name) or name != name.strip()):
        raise UsageError(
            f"{here}: no name for a class: {listed([repr(shown(name)) for name in bad])}. A class "
            "must have no comma, which separates labels, and no space around it: rename the folder"
        )
    for path in paths:
        yield path, "".join(inside[path])


def check_classes(root: Path, classes: Collection[str]) -> None:
    """Check that the classes' folders of the training clips can be classes.

    Raises
    ------
    UsageError
        If there is one class alone, or all are numbered as folds are.
    """
    if classes and all(map(FOLD.fullmatch, classes)):
        raise _folds(root, classes)
    if len(classes) == 1:
        (name,) = classes
        raise UsageError(
            f"{root}: all training clips lie in one folder, {name}/. If it is a class, it is the "
            "only one, and one class cannot be learned: needs a folder for each of at least two. "
            f"If it is not, write a CSV with the columns fname and labels into {root} (extract "
            "needs no labels: give it this folder as --data)"
        )


def _folds(root: Path, folders: Collection[str]) -> UsageError:
    """The error about folders that are called fold1, fold2 and so on."""
    layout = LAYOUTS["urbansound8k"]
    place, table = layout.places[0], layout.splits[0].tables[0]
    above = root.absolute().parent
    known = f", {above}," if (above / place / table).is_file() else ""
    names = sorted(folders, key=lambda name: (len(name), name))
    return UsageError(
        f"{root}: {listed([f'{name}/' for name in names])}: folds of a cross-validation, not "
        f"classes. For {layout.name} give the folder above{known} that has {place}/{table} beside "
        "audio/ as the data. Otherwise write a CSV with the columns fname (such as "
        f"{names[0]}/a.wav), labels and fold into {root}"
    )


def without_audio(folder: str, recordings: Recordings) -> list[str]:
    """List the class folders of a split that have no audio."""
    depth = folder.count("/") + 1 if folder else 0
    prefix = f"{folder}/" if folder else ""
    used = {path.rpartition("/")[0] for path in recordings.paths}
    return [shown(f) for f in recordings.folders
            if f.startswith(prefix) and f.count("/") == depth and f not in used
            and not any(path.startswith(f"{f}/") for path in used)]


def same_recordings(root: Path, labels: Mapping[str, str]) -> list[Problem]:
    """Report recordings of one name and the same bytes: in two classes, or in training and test.

    Parameters
    ----------
    root : Path
        The data folder.
    labels : mapping of str to str
        The class of each path.
    """
    alike: dict[tuple[str, int, bytes], list[str]] = {}
    names = Counter(map(os.path.basename, labels))
    for path in labels:
        if names[os.path.basename(path)] > 1 and (signature := _signature(root / path)):
            alike.setdefault((os.path.basename(path), *signature), []).append(path)
    problems = []
    for first, *others in alike.values():
        for path in others:
            if not _same(root / first, root / path):
                continue
            # Where the classes differ, either may be wrong, so both are left out.
            differ = labels[first] != labels[path]
            pairs = [(path, first), (first, path)] if differ else [(path, first)]
            problems += [Problem(
                one, "duplicate", f"it has the same bytes as {other}",
                "Keep the right one, or give the file both labels in a metadata.csv"
                if differ else "Keep one of them",
            ) for one, other in pairs]
    return problems


def _signature(path: Path) -> tuple[int, bytes] | None:
    """A file's size and a kilobyte from its middle, which different recordings seldom share."""
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode) or not state.st_size:
            return None
        with open(path, "rb") as file:
            return state.st_size, os.pread(file.fileno(), 1024, state.st_size // 2)
    except OSError:
        return None  # reported when the headers are read


def _same(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False  # reported when the headers are read
