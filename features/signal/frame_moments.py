"""Moments of frames as they are stored, by compiled loops."""

from __future__ import annotations

from functools import partial

import numpy as np

from features.kernels.compiled import compiled
from features.signal.moments import Moments


def moments_of(frames: np.ndarray, scale: float = 1.0) -> Moments:
    """Moments of ``scale * frames``. [shape=(n, n_values) or (n,), dtype=int16 or floating]

    Those of int16 are exact until they are rounded to float64 at the end.
    There must be a frame.
    """
    n = len(frames)
    if frames.dtype == np.int16:
        total, squares = _sums_of_int16(frames)
        mean = np.array([total / n])
        m2 = np.array([(n * squares - total ** 2) / n])
    else:
        # Numba knows no float16.
        dtype = np.float32 if frames.dtype == np.float16 else frames.dtype
        x = frames.astype(dtype, copy=False).reshape(n, -1)
        mean, m2 = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        _moments(x, mean, m2)
    return Moments(n, mean * scale, m2 * scale ** 2)


@compiled
def _sums_of_int16(x):  # type: ignore[no-untyped-def]
    """Sum and sum of squares, as whole numbers."""
    total, squares = np.int64(0), np.int64(0)
    for i in range(len(x)):
        value = np.int32(x[i])
        total += value
        squares += np.int64(np.int32(value * value))
    return total, squares


@partial(compiled, fastmath={"contract", "reassoc"})
def _moments(x, mean, m2):  # type: ignore[no-untyped-def]
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
