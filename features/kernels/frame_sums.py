"""Sums and moments over frames, by compiled loops."""

from __future__ import annotations

from functools import partial

import numpy as np

from features.kernels.compiled import compiled


@compiled
def sums_of_int16(x):  # type: ignore[no-untyped-def]
    """Compute sum and sum of squares as integers."""
    total, squares = np.int64(0), np.int64(0)
    for i in range(len(x)):
        value = np.int32(x[i])
        total += value
        squares += np.int64(np.int32(value * value))
    return total, squares


@partial(compiled, fastmath={"contract", "reassoc"})
def fill_moments(x, mean, m2):  # type: ignore[no-untyped-def]
    """Fill `mean` and `m2`, which are zeros. [shape=(n, n_values)] -> [shape=(n_values,)]"""
    n, n_values = x.shape
    for i in range(n):
        for j in range(n_values):
            mean[j] += x[i, j]
    for j in range(n_values):
        mean[j] /= n
    for i in range(n):
        for j in range(n_values):
            deviation = x[i, j] - mean[j]
            m2[j] += deviation * deviation
