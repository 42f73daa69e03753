"""Split clips into folds, stratified by label and reproducible from a seed."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import atomic_write


def assign(labels: Sequence[tuple[str, ...]], *, folds: int, seed: int) -> list[int]:
    """Split clips into folds so that each class is spread evenly over them.

    With several labels on any clip it is iterative stratification (Sechidis, Tsoumakas and
    Vlahavas 2011, by the package iterative-stratification), else scikit-learn's
    StratifiedKFold. The result depends on the order of the clips: sort them first.

    Parameters
    ----------
    labels : sequence of tuple of str
        The labels of each clip, at least one.
    folds : int
        At least 2.
    seed : int
        In 0 to 2**32 - 1.

    Returns
    -------
    list of int
        The fold of each clip, in 0 to ``folds - 1``; none is empty.

    Raises
    ------
    UsageError
        If there are fewer clips than folds.
    """
    if len(labels) < folds:
        raise UsageError(f"{len(labels)} curated clips cannot make {folds} folds; "
                         f"add clips or lower --folds")
    # A second to import.
    import numpy as np
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
    from sklearn.model_selection import StratifiedKFold

    counts = Counter(name for names in labels for name in names)
    column = {name: i for i, name in enumerate(sorted(counts))}
    if max(map(len, labels)) == 1 and max(counts.values()) >= folds:
        splitter = StratifiedKFold
        target = np.array([column[names[0]] for names in labels])
    else:
        # Also where no class has a clip for every fold, which StratifiedKFold refuses.
        splitter = MultilabelStratifiedKFold
        target = np.zeros((len(labels), len(column)), dtype=np.uint8)
        for row, names in enumerate(labels):
            target[row, [column[name] for name in names]] = 1
    fold = np.full(len(labels), -1)
    with warnings.catch_warnings():
        # "The least populated class": rare() tells which ones, and how many clips they have.
        warnings.simplefilter("ignore", UserWarning)
        splits = splitter(n_splits=folds, shuffle=True, random_state=seed).split(target, target)
        for i, (_, validation) in enumerate(splits):
            fold[validation] = i
    return [int(i) for i in fold]


def assign_once(
    labels: Sequence[tuple[str, ...]], *, folds: int, seed: int, cache: Path
) -> list[int]:
    """Like :func:`assign`; reuse the result in `cache` for the same arguments and libraries.

    Importing scikit-learn takes longer than everything else that prepares a known data set.
    """
    libraries = [version(name) for name in ("iterative-stratification", "numpy", "scikit-learn")]
    question = repr((tuple(labels), folds, seed, libraries)).encode()
    digest = hashlib.sha256(question).hexdigest()
    try:
        remembered, *dealt = cache.read_text(encoding="utf-8").split()
        result = [int(fold) for fold in dealt]
    except (OSError, ValueError):
        remembered, result = "", []
    if remembered != digest or len(result) != len(labels):
        result = assign(labels, folds=folds, seed=seed)
        with atomic_write(cache) as partial:
            partial.write_text("\n".join([digest, *map(str, result), ""]), encoding="utf-8")
    return result


def rare(
    labels: Sequence[tuple[str, ...]], classes: Sequence[str], *, folds: int
) -> dict[str, int]:
    """Return the classes with fewer clips than folds and their numbers of clips."""
    counts = Counter(name for names in labels for name in names)
    return {name: counts[name] for name in classes if counts[name] < folds}


def renumber(folds: Sequence[int]) -> dict[int, int]:
    """Map a data set's own fold numbers, in order, to 0, 1, 2 and so on."""
    return {fold: i for i, fold in enumerate(sorted(set(folds)))}
