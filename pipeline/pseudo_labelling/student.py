"""Labels that a teacher, another run, gives the noisy clips of each fold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.tables import Label
from pipeline.runs import scores
from pipeline.runs.folder import RunFolder
from pipeline.runtime.errors import UsageError

PseudoLabels = Mapping[str, NDArray[np.float32]]


def read_pseudo_labels(path: Path, classes: Sequence[str]) -> PseudoLabels:
    """Read a teacher's labels.

    Parameters
    ----------
    path : Path
        Scores, see :mod:`pipeline.runs.scores`.
    classes : sequence of str
        The classes of the data set.

    Returns
    -------
    labels : mapping of str to np.ndarray [shape=(n_classes,), dtype=float32]
        By clip id; 0 to 1, in the order of `classes`.

    Raises
    ------
    UsageError
        If there is no such file, or its classes or values cannot be labels; all is listed.
    StoreError
        If the file is damaged.
    """
    found = scores.load(path, made_by="python -m pipeline.pseudolabel")
    errors = []
    if odd := sorted(set(found.classes) ^ set(classes)):
        errors.append(f"{path}: its classes are not those of the data set: {', '.join(odd)}")
    if found.values.size and (low := found.values.min()) < 0:
        errors.append(f"{path}: its least value is {low:g}; labels are 0 to 1")
    if found.values.size and (high := found.values.max()) > 1:
        errors.append(f"{path}: its largest value is {high:g}; labels are 0 to 1")
    if errors:
        raise UsageError("\n".join(errors))
    values = scores.select(found, found.clip_ids, classes).values
    return dict(zip(found.clip_ids, values, strict=True))


def pseudo_label_digests(folder: RunFolder, folds: Iterable[int]) -> dict[str, str]:
    """SHA-256 of the file of each fold that has one, for the identities of the trainings."""
    paths = {str(fold): folder.fold(fold).pseudo_labels for fold in folds}
    return {fold: hashlib.sha256(path.read_bytes()).hexdigest()
            for fold, path in paths.items() if path.is_file()}


def keep_labelled(training: Iterable[Label], labels: PseudoLabels) -> tuple[Label, ...]:
    """The training clips without the noisy ones that the teacher gave no label."""
    return tuple(label for label in training
                 if label.split != "noisy" or label.clip_id in labels)
