"""Count, mean and sum of squared deviations, mergeable in any order.

Welford: Note on a method for calculating corrected sums of squares and products, Technometrics,
1962; the merge is Chan, Golub and LeVeque: Updating formulae and a pairwise algorithm for
computing sample variances, COMPSTAT 1982. All in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Moments of frames, a value of `mean` and `m2` a coefficient.

    Attributes
    ----------
    count : int
        Frames.
    mean : np.ndarray [shape=(n_values,), dtype=float64]
    m2 : np.ndarray [shape=(n_values,), dtype=float64]
        Sum of squared deviations from the mean; ``m2 / count`` is the population variance.
    """

    count: int
    mean: np.ndarray
    m2: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Population variance. [shape=(n_values,)]"""
        return self.m2 / self.count

    @property
    def std(self) -> np.ndarray:
        """Population standard deviation. [shape=(n_values,)]"""
        return np.sqrt(self.variance)


def moments_of(frames: np.ndarray, scale: float = 1.0) -> Moments:
    """Moments of ``scale * frames``. [shape=(n, n_values) or (n,), dtype=int16 or floating]

    Those of int16 are exact until they are rounded to float64 at the end.
    There must be a frame.
    """
    # Not before it is needed: a compiler takes a quarter of a second to import.
    from features.kernels.frame_sums import fill_moments, sums_of_int16

    n = len(frames)
    if frames.dtype == np.int16:
        total, squares = sums_of_int16(frames)
        mean = np.array([total / n])
        m2 = np.array([(n * squares - total ** 2) / n])
    else:
        # Numba knows no float16.
        dtype = np.float32 if frames.dtype == np.float16 else frames.dtype
        x = frames.astype(dtype, copy=False).reshape(n, -1)
        mean, m2 = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        fill_moments(x, mean, m2)
    return Moments(n, mean * scale, m2 * scale ** 2)


def merge(parts: list[Moments]) -> Moments:
    """Moments of all frames together.

    Raises
    ------
    ValueError
        If there is nothing to merge.
    """
    if not parts:
        raise ValueError("no moments to merge: at least one clip is needed")
    if len(parts) == 1:
        return parts[0]
    return merge_arrays(
        np.array([p.count for p in parts]),
        np.stack([p.mean for p in parts]),
        np.stack([p.m2 for p in parts]),
    )


def merge_arrays(count: np.ndarray, mean: np.ndarray, m2: np.ndarray) -> Moments:
    """The same of stacked moments, a row a part.

    Parameters
    ----------
    count : np.ndarray [shape=(n_parts,), dtype=int64]
    mean, m2 : np.ndarray [shape=(n_parts, n_values), dtype=float64]
    """
    total = int(count.sum())
    weight = count[:, None] / total
    overall = (weight * mean).sum(axis=0)
    return Moments(total, overall, (m2 + count[:, None] * (mean - overall) ** 2).sum(axis=0))
