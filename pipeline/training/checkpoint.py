"""Save and restore the whole state of a training after an epoch, in one file.

One file, so that a rename replaces it atomically. It holds the weights, moving averages, the states
of Dropout's random generators and of the optimizer, and the history so far, as arrays in an .npz,
which needs no pickle. A restored training continues bit by bit as if never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runtime.errors import StoreError
from pipeline.runtime.files import atomic_write
from pipeline.runtime.npz import read_npz

# One epoch: its number, from 1, and its metrics.
EpochRow = dict[str, float]


def save(path: Path, model: Any, history: Sequence[EpochRow]) -> None:
    """Write a compiled model's state after the epochs of `history`, at least one."""
    arrays = {f"variable-{i:04}": v.numpy() for i, v in enumerate(_variables(model))}
    arrays["columns"] = np.array(list(history[0]), np.str_)
    arrays["history"] = np.array([list(row.values()) for row in history], np.float64)
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def restore(path: Path, model: Any) -> list[EpochRow]:
    """Restore the state of a model built and compiled like the saved one; return the history.

    Raises
    ------
    StoreError
        If the file is damaged, or belongs to another model.
    """
    variables = _variables(model)
    try:
        arrays = read_npz(path)
        names = [f"variable-{i:04}" for i in range(len(arrays) - 2)]
        if set(arrays) != {"columns", "history", *names}:
            raise ValueError("it is not the state of a training")
        values = [arrays[name] for name in names]
        columns, rows = arrays["columns"].tolist(), arrays["history"].tolist()
        if ([v.shape for v in values] != [tuple(v.shape) for v in variables]
                or any(v.dtype.kind not in "biuf" for v in values)):
            raise ValueError("its variables are those of another model")
        history = [dict(zip(columns, row, strict=True)) for row in rows]
        if not history:
            raise ValueError("it has no epochs")
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot resume from this file: {error}. Delete it to retrain the fold"
        ) from None
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return history


def _variables(model: Any) -> list[Any]:
    if not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
