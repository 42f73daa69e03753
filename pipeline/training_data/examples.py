"""Select training and validation clips and build their targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.tables import Dataset, Label
from pipeline.runtime.errors import UsageError, listed
from pipeline.store.reader import Store


def select(
    labels: Iterable[Label], dataset: Dataset, store: Store, *, label_mode: str, noisy: bool
) -> tuple[list[Label], list[str]]:
    """Select the clips to train and validate on: curated ones, and `noisy` ones if asked for.

    Parameters
    ----------
    labels : iterable of Label
    dataset : Dataset
    store : Store
    label_mode : {"single", "multi"}
        ``single`` leaves out the clips with several labels.
    noisy : bool

    Returns
    -------
    examples : list of Label
    notes : list of str
        What was left out, and why.

    Raises
    ------
    UsageError
        If there are fewer than two classes, no folds, or clips that the store lacks; all of it is
        listed. Clips that extract left out as bad are only noted.
    """
    errors, notes = [], []
    if len(dataset.classes) < 2:
        errors.append(f"dataset.json has {len(dataset.classes)} class; needs at least two")
    splits = ("curated", "noisy") if noisy else ("curated",)
    wanted = [label for label in labels if label.split in splits]
    if not any(label.split == "curated" for label in wanted):
        errors.append("labels.csv has no curated clips, so there are no folds to train on")
    if label_mode == "single":
        several = [label.clip_id for label in wanted if len(label.labels) > 1]
        wanted = [label for label in wanted if len(label.labels) == 1]
        if several:
            notes.append(f"{len(several)} clips with several labels are left out: "
                         "--labels single is for one label per clip")
    bad = {e.clip_id for e in store.contents.excluded}
    left_out = [label.clip_id for label in wanted if label.clip_id in bad]
    if left_out:
        notes.append(f"{len(left_out)} bad clips were left out of {store.path}: {listed(left_out)}")
    missing = [label.clip_id for label in wanted
               if label.clip_id not in store and label.clip_id not in bad]
    if missing:
        errors.append(f"{store.path} lacks {len(missing)} clips of labels.csv: {listed(missing)}. "
                     "Run extract again")
    if errors:
        raise UsageError("\n".join(errors))
    return [label for label in wanted if label.clip_id in store], notes


def folds_of(examples: Iterable[Label]) -> tuple[int, ...]:
    """The folds of these clips, sorted."""
    return tuple(sorted({label.fold for label in examples if label.fold is not None}))


def wanted_folds(
    available: Sequence[int], *, first: int | None = None, only: int | None = None
) -> tuple[int, ...]:
    """Select the folds to train: the `first` ones, `only` one, or all.

    Raises
    ------
    UsageError
        If both are asked for, or more folds than there are.
    """
    if first is not None and only is not None:
        raise UsageError(f"--folds {first} and --fold {only} contradict each other; give one")
    if first is not None and first > len(available):
        raise UsageError(
            f"--folds is {first}; prepare made {len(available)}: "
            f"python -m pipeline.prepare --folds {first} makes more"
        )
    return (only,) if only is not None else tuple(available[:first])


def split(
    examples: Sequence[Label], fold: int, *, curated: bool = True
) -> tuple[tuple[Label, ...], tuple[Label, ...]]:
    """Split into (training clips, validation clips) of a fold; noisy clips train in every fold.

    Without `curated` they alone train. Validation clips are the fold's curated ones either way.

    Raises
    ------
    UsageError
        If there is no such fold, or one of the two is empty.
    """
    available = folds_of(examples)
    if fold not in available:
        raise UsageError(f"--fold is {fold}; there are {', '.join(map(str, available)) or 'none'}")
    training = tuple(label for label in examples if label.fold != fold
                     and (curated or label.split == "noisy"))
    if not training:
        raise UsageError(f"fold {fold} holds every clip; none is left to train on" if curated
                         else "--no-curated leaves the noisy clips alone, and there are none")
    return training, tuple(label for label in examples if label.fold == fold)


def targets(
    examples: Sequence[Label], classes: Sequence[str],
    soft: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
) -> NDArray[np.float32]:
    """1 where a clip has the class, else 0. [shape=(n_clips, n_classes), dtype=float32]

    A class that no clip has keeps its column. Of a noisy clip that `soft` has
    [shape=(n_classes,), 0 to 1], the targets are those instead.
    """
    column = {name: i for i, name in enumerate(classes)}
    result = np.zeros((len(examples), len(classes)), np.float32)
    for row, label in enumerate(examples):
        if label.split == "noisy" and label.clip_id in soft:
            result[row] = soft[label.clip_id]
        else:
            result[row, [column[name] for name in label.labels]] = 1
    return result
