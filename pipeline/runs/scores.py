"""Scores: clip ids x classes -> a number each, in .npz files that need no pickle.

A file holds the arrays ``clip_ids`` and ``classes`` (unicode) and ``values`` (float32). Its bytes
depend on nothing but the scores: ``np.savez`` stamps every member 1980-01-01.

The folder of all runs::

    RUNS/NAME/run.json            what was trained (or "kind": "ensemble")
    RUNS/NAME/folds/K/oof.npz      fold K's model on fold K's validation clips
    RUNS/NAME/test/K.npz     fold K's model on the test clips
    RUNS/NAME/oof.npz, test.npz   of an ensemble, which has no folds of its own
"""

from __future__ import annotations

import difflib
import json
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import PipelineError, StoreError, UsageError, listed
from pipeline.runtime.files import atomic_write

# What NumPy, zipfile and zlib raise over a file that was cut short or overwritten.
_BROKEN = (
    ValueError, KeyError, EOFError, OverflowError, MemoryError, NotImplementedError, RuntimeError,
    SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of each clip, class by class.

    Attributes
    ----------
    clip_ids : tuple of str
        Unique.
    classes : tuple of str
        Unique.
    values : np.ndarray [shape=(n_clips, n_classes), dtype=float32]
        Finite. Probabilities (0 to 1) from a model; any number from stacking.

    Raises
    ------
    PipelineError
        With everything that is wrong, when the parts do not fit.
    """

    clip_ids: tuple[str, ...]
    classes: tuple[str, ...]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        errors = _faults(self.clip_ids, self.classes, self.values)
        if errors:
            raise PipelineError("scores do not hold together:\n" + "\n".join(errors))


def _faults(
    clip_ids: tuple[str, ...], classes: tuple[str, ...], values: NDArray[np.float32]
) -> list[str]:
    errors = []
    for name, items in (("clip_ids", clip_ids), ("classes", classes)):
        twice = [item for item, n in Counter(items).items() if n > 1]
        if twice:
            errors.append(f"{name} has {listed(twice)} more than once; each must be there once")
    if values.dtype != np.float32:
        errors.append(f"values is {values.dtype}; needs float32")
    if values.shape != (len(clip_ids), len(classes)):
        errors.append(
            f"values has shape {values.shape}; "
            f"{len(clip_ids)} clips of {len(classes)} classes need {len(clip_ids), len(classes)}"
        )
    elif values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        errors.append(
            f"NaN or infinity in the scores of {listed([clip_ids[i] for i in bad])}; "
            "a model that diverged gives these: train it again with a lower learning rate"
        )
    return errors


def save(path: Path, scores: Scores) -> None:
    """Write `scores` to `path` (.npz), whole or not at all; the same scores give the same bytes."""
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez(
            file,
            clip_ids=np.array(scores.clip_ids, dtype=np.str_),
            classes=np.array(scores.classes, dtype=np.str_),
            values=np.ascontiguousarray(scores.values),
        )


def load(path: Path, *, made_by: str) -> Scores:
    """Read scores that :func:`save` wrote; `made_by` is the command that does, for the messages.

    Raises
    ------
    UsageError
        If there is no such file.
    StoreError
        If the file is damaged or holds something else.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below; only the opening may be "not there")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; `{made_by}` writes it") from None
    with file:
        try:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("a single array, not the three arrays of a score file")
            clip_ids, classes, values = (arrays[k] for k in ("clip_ids", "classes", "values"))
            if not (clip_ids.dtype.kind == classes.dtype.kind == "U" and clip_ids.ndim == 1
                    and classes.ndim == 1):
                raise ValueError("clip_ids and classes must be lists of text")
            return Scores(tuple(clip_ids.tolist()), tuple(classes.tolist()), values)
        except (PipelineError, *_BROKEN) as error:
            raise StoreError(
                f"{path}: not a sound score file: {error}. Delete it; `{made_by}` writes it anew"
            ) from None


def align(named: Sequence[tuple[str, Scores]]) -> list[Scores]:
    """The same scores, every one with the clips and the classes in the order of the first.

    Parameters
    ----------
    named : sequence of (str, Scores)
        The names are what an error calls them.

    Raises
    ------
    UsageError
        If one has clips or classes that another lacks, listing what is missing where.
    """
    errors = []
    for kind in ("clip_ids", "classes"):
        everything = dict.fromkeys(x for _, s in named for x in getattr(s, kind))
        for name, scores in named:
            there = set(getattr(scores, kind))
            missing = [x for x in everything if x not in there]
            if missing:
                what = "clips" if kind == "clip_ids" else "classes"
                errors.append(f"{name} has no scores for {len(missing)} {what}: {listed(missing)}")
    if errors:
        raise UsageError("these scores do not go together:\n" + "\n".join(errors))
    first = named[0][1]
    return [select(scores, first.clip_ids, first.classes) for _, scores in named]


def select(scores: Scores, clip_ids: Sequence[str], classes: Sequence[str]) -> Scores:
    """The given clips and classes of `scores`, in the given order; all of them must be there."""
    row = {c: i for i, c in enumerate(scores.clip_ids)}
    column = {c: i for i, c in enumerate(scores.classes)}
    rows = np.array([row[c] for c in clip_ids], dtype=np.intp)
    columns = np.array([column[c] for c in classes], dtype=np.intp)
    return Scores(tuple(clip_ids), tuple(classes), scores.values[np.ix_(rows, columns)])


def join(named: Sequence[tuple[str, Scores]]) -> Scores:
    """One below the other: scores of different clips and the same classes (any order)."""
    classes = named[0][1].classes
    aligned = []
    for name, scores in named:
        if set(scores.classes) != set(classes):
            odd = sorted(set(scores.classes) ^ set(classes))
            raise UsageError(
                f"{named[0][0]} and {name} differ in their classes: {listed(odd)}. "
                "They are of different trainings; train the run again"
            )
        aligned.append(select(scores, scores.clip_ids, classes))
    owners: dict[str, str] = {}
    twice = [f"{clip} (in {owners[clip]} and {name})" for name, scores in named
             for clip in scores.clip_ids if owners.setdefault(clip, name) != name]
    if twice:
        raise UsageError(f"clips with scores from two folds: {listed(twice)}; train the run again")
    values = np.concatenate([s.values for s in aligned])
    return Scores(tuple(c for s in aligned for c in s.clip_ids), classes, values)


@dataclass(frozen=True)
class Run:
    """What run.json says of a run, as far as its scores are concerned.

    Attributes
    ----------
    name : str
    classes : tuple of str
    label_mode : str
        ``multi`` or ``single``.
    folds : tuple of int
        The folds that were trained; none for an ensemble.
    made_of : dict of str to str
        An ensemble's members, and what :mod:`pipeline.runs.staleness` says of their scores.
    """

    name: str
    classes: tuple[str, ...]
    label_mode: str
    folds: tuple[int, ...]
    made_of: dict[str, str] = field(default_factory=dict)


def is_folder_name(name: str) -> bool:
    """Whether a run's name is that of a folder in the folder of all runs, and no path elsewhere."""
    return name not in ("", ".", "..") and Path(name).name == name


def read_run(runs: Path, name: str) -> Run:
    """Read RUNS/NAME/run.json.

    Raises
    ------
    UsageError
        If there is no such run; lists those that there are.
    StoreError
        If run.json is damaged.
    """
    path = runs / name / "run.json"
    if not is_folder_name(name) or not path.is_file():
        known = sorted(p.parent.name for p in runs.glob("*/run.json"))
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        there = f"there are: {', '.join(known) or 'none; `python -m pipeline.train` makes one'}"
        raise UsageError(f"{runs} has no run {name!r}; {hint}{there}")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        folds = [] if facts.get("kind") == "ensemble" else facts["folds"]
        run = Run(name, tuple(facts["classes"]), facts["label_mode"], tuple(folds),
                  dict(facts.get("made_of", {})))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: not a sound run.json ({error!r}); train the run again") from None
    if not all(type(k) is int for k in run.folds) or run.label_mode not in ("multi", "single"):
        raise StoreError(f"{path}: folds are {folds}, label_mode is {run.label_mode!r}; "
                         "needs whole numbers, and multi or single; train the run again")
    return run


def fold_folder(run: Path, fold: int) -> Path:
    """RUNS/NAME/folds/K: what train leaves of a fold."""
    return run / "folds" / str(fold)


def test_path(run: Path, fold: int) -> Path:
    """RUNS/NAME/test/K.npz: what predict makes of it."""
    return run / "test" / f"{fold}.npz"


def load_run(runs: Path, name: str) -> tuple[Scores, list[Scores]]:
    """A run's out-of-fold scores, and its test scores fold by fold (one entry for an ensemble).

    The test scores are an empty list before `pipeline.predict` has run at all.

    Raises
    ------
    UsageError
        If there is no such run, or some of its folds have scores and others do not.
    StoreError
        If a file is damaged, or has other classes than run.json.
    """
    run, folder = read_run(runs, name), runs / name
    oof_paths = [fold_folder(folder, k) / "oof.npz" for k in run.folds] or [folder / "oof.npz"]
    maker = "python -m pipeline." + ("train" if run.folds else "ensemble")
    oof = [(f"{path}", load(path, made_by=maker)) for path in oof_paths]
    tests: list[tuple[str, Scores]] = []
    test_paths = [test_path(folder, k) for k in run.folds] or [folder / "test.npz"]
    if any(path.exists() for path in test_paths):
        maker = "python -m pipeline." + ("predict" if run.folds else "ensemble")
        tests = [(f"{path}", load(path, made_by=maker)) for path in test_paths]
    for path, scores in oof + tests:
        odd = sorted(set(scores.classes) ^ set(run.classes))
        if odd:
            raise StoreError(
                f"{path}: its classes are not those of run.json ({listed(odd)}); "
                "train and predict the run again"
            )
    return join(oof), align(tests) if tests else []
