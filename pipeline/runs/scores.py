"""Scores: one number per clip and class, in .npz files that need no pickle.

A file holds the arrays ``clip_ids`` and ``classes`` (unicode) and ``values`` (float32). Its bytes
depend on the scores alone: ``np.savez`` stamps every member 1980-01-01.
:mod:`pipeline.runs.folder` says which files a run has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import PipelineError, StoreError, UsageError, listed
from pipeline.runtime.files import atomic_write
from pipeline.runtime.npz import read_npz


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of some clips for some classes.

    Attributes
    ----------
    clip_ids : tuple of str
        The clip of each row; unique.
    classes : tuple of str
        The class of each column; unique.
    values : np.ndarray [shape=(n_clips, n_classes), dtype=float32]
        Finite. Probabilities (0 to 1) from a model; any number from stacking.

    Raises
    ------
    PipelineError
        If the parts do not fit together; all errors are listed.

    Examples
    --------
    >>> scores = Scores(("a.wav", "b.wav"), ("Bark", "Meow"),
    ...                 np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    >>> scores.values.shape
    (2, 2)
    """

    clip_ids: tuple[str, ...]
    classes: tuple[str, ...]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        errors = _faults(self.clip_ids, self.classes, self.values)
        if errors:
            raise PipelineError("inconsistent scores:\n" + "\n".join(errors))


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
    """Write scores to a file atomically; the same scores give the same bytes.

    Parameters
    ----------
    path : Path
        The ``.npz`` file to write; an existing one is replaced.
    scores : Scores

    Raises
    ------
    OSError
        With the path: no space left, no permission.

    Examples
    --------
    >>> import tempfile
    >>> scores = Scores(("a.wav", "b.wav"), ("Bark", "Meow"),
    ...                 np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "test.npz")
    ...     save(path, scores)
    ...     load(path, made_by="python -m pipeline.predict").classes
    ('Bark', 'Meow')
    """
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez(
            file,
            clip_ids=np.array(scores.clip_ids, dtype=np.str_),
            classes=np.array(scores.classes, dtype=np.str_),
            values=np.ascontiguousarray(scores.values),
        )


def load(path: Path, *, made_by: str) -> Scores:
    """Read scores that :func:`save` wrote.

    Parameters
    ----------
    path : Path
        The ``.npz`` file.
    made_by : str
        The command that writes the file, for error messages.

    Returns
    -------
    scores : Scores

    Raises
    ------
    UsageError
        If there is no such file.
    StoreError
        If the file is damaged or holds something else.

    Examples
    --------
    >>> load(Path("test.npz"), made_by="pipeline.predict")
    Traceback (most recent call last):
        ...
    pipeline.runtime.errors.UsageError: test.npz: no such file; `pipeline.predict` writes it
    """
    try:
        arrays = read_npz(path)
        missing = [k for k in ("clip_ids", "classes", "values") if k not in arrays]
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}")
        clip_ids, classes, values = (arrays[k] for k in ("clip_ids", "classes", "values"))
        if not (clip_ids.dtype.kind == classes.dtype.kind == "U" and clip_ids.ndim == 1
                and classes.ndim == 1):
            raise ValueError("clip_ids and classes must be lists of text")
        return Scores(tuple(clip_ids.tolist()), tuple(classes.tolist()), values)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; `{made_by}` writes it") from None
    except (PipelineError, ValueError) as error:
        raise StoreError(
            f"{path}: not a valid score file: {error}. Delete it and run `{made_by}` again"
        ) from None


def align(named: Sequence[tuple[str, Scores]]) -> list[Scores]:
    """Put the clips and classes of all scores in the order of the first.

    Parameters
    ----------
    named : sequence of (str, Scores)
        At least one; the names are used in errors.

    Returns
    -------
    aligned : list of Scores
        In the order of `named`, with equal `clip_ids` and `classes`.

    Raises
    ------
    UsageError
        If one has clips or classes that another lacks, listing what is missing where.

    Examples
    --------
    >>> scores = Scores(("a.wav", "b.wav"), ("Bark", "Meow"),
    ...                 np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    >>> other = select(scores, ("b.wav", "a.wav"), ("Meow", "Bark"))
    >>> first, second = align([("mfcc", scores), ("waveform", other)])
    >>> second.clip_ids, second.classes
    (('a.wav', 'b.wav'), ('Bark', 'Meow'))
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
        raise UsageError("the runs' scores cover different clips or classes:\n" + "\n".join(errors))
    first = named[0][1]
    return [select(scores, first.clip_ids, first.classes) for _, scores in named]


def select(scores: Scores, clip_ids: Sequence[str], classes: Sequence[str]) -> Scores:
    """Select clips and classes, in the given order.

    Parameters
    ----------
    scores : Scores
    clip_ids : sequence of str
        Unique, and all among those of `scores`.
    classes : sequence of str
        Likewise.

    Returns
    -------
    selected : Scores
        With ``values`` [shape=(len(clip_ids), len(classes))]. A copy.

    Raises
    ------
    KeyError
        If `scores` has no such clip or class.
    PipelineError
        If a clip or class is named twice.

    Examples
    --------
    >>> scores = Scores(("a.wav", "b.wav"), ("Bark", "Meow"),
    ...                 np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    >>> select(scores, ["b.wav"], ["Meow", "Bark"]).values
    array([[0.8, 0.2]], dtype=float32)
    """
    row = {c: i for i, c in enumerate(scores.clip_ids)}
    column = {c: i for i, c in enumerate(scores.classes)}
    rows = np.array([row[c] for c in clip_ids], dtype=np.intp)
    columns = np.array([column[c] for c in classes], dtype=np.intp)
    return Scores(tuple(clip_ids), tuple(classes), scores.values[np.ix_(rows, columns)])


def join(named: Sequence[tuple[str, Scores]]) -> Scores:
    """Concatenate scores of different clips and the same classes, in any order of the classes.

    Parameters
    ----------
    named : sequence of (str, Scores)
        At least one; the names are used in errors.

    Returns
    -------
    joined : Scores
        The clips in the order of `named`, the classes in that of the first.

    Raises
    ------
    UsageError
        If the classes differ, or a clip appears twice.

    Examples
    --------
    >>> scores = Scores(("a.wav", "b.wav"), ("Bark", "Meow"),
    ...                 np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    >>> other = Scores(("c.wav",), ("Meow", "Bark"), np.array([[0.7, 0.3]], np.float32))
    >>> joined = join([("fold 0", scores), ("fold 1", other)])
    >>> joined.clip_ids, joined.values[2]
    (('a.wav', 'b.wav', 'c.wav'), array([0.3, 0.7], dtype=float32))
    """
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
