"""Power spectra of several frames at once, one in each lane of the processor's registers.

A real transform of N samples is a complex one of M = N / 2 points (even samples as real parts, odd
ones as imaginary parts) and a last step that splits the two spectra. The complex one is Bailey's
four-step algorithm (FFTs in external or hierarchical memory, J. Supercomputing, 1990): M = R * C
points are seen as a matrix; its columns are transformed, multiplied by twiddle factors, and its
rows transformed. Each column and row fits into the first-level cache, so the frames cross the
second-level cache only twice (:mod:`features.kernels.stockham` has the small transforms).

A lane holds one frame throughout, so a frame's numbers do not depend on its neighbours.

The arithmetic is in float64 and the power is rounded to float32. A float32 transform would leave an
error of one unit in the last place of a frame's loudest tone in bins far away; to a narrow band
75 dB below, that is 5e-3 dB. benchmarks/kernel.py measures what it takes.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from features.kernels.butterflies import multiply_twiddle
from features.kernels.compiled import subroutine
from features.kernels.simd import LANES, store
from features.kernels.stockham import factorize, load_complex, plan_passes, small_transform

# Shorter ones have columns too short for the four steps to pay.
SHORTEST = 512

_LINE = 64  # bytes of a cache line, and of a complex vector with AVX


class Transform(NamedTuple):
    """A transform's constants. Complex numbers stand as pairs of float64.

    Attributes
    ----------
    rows, columns : int
        R and C.
    window : np.ndarray [shape=(n_fft,), dtype=float64]
        In the order of :func:`sample_order`.
    row_passes, column_passes : np.ndarray [shape=(n_passes, 3), dtype=int64]
        Passes of the small transforms of rows (of C points) and of columns (of R points).
    row_roots, column_roots : np.ndarray [shape=(2 * C,) and (2 * R,), dtype=float64]
        Roots of unity of the small transforms.
    twiddles : np.ndarray [shape=(n_fft,), dtype=float64]
        Factors between the transforms of columns and rows, column by column.
    split_twiddles : np.ndarray [dtype=float64]
        Factors of the step that splits the spectra of even and odd samples, row by row.
    """

    rows: int
    columns: int
    window: np.ndarray
    row_passes: np.ndarray
    column_passes: np.ndarray
    row_roots: np.ndarray
    column_roots: np.ndarray
    twiddles: np.ndarray
    split_twiddles: np.ndarray


def is_supported(n_fft: int) -> bool:
    """Tell whether this module transforms frames of that length.

    It does if the length is even, at least 512, has no prime factor above 7, and its half is a
    product of two numbers that are no primes and not 4 or 8 (686 is the only exception).
    """
    return n_fft >= SHORTEST and n_fft % 2 == 0 and _shape(n_fft) is not None


def make_transform(window: np.ndarray) -> Transform:
    """Compute the constants of a windowed transform.

    Parameters
    ----------
    window : np.ndarray [shape=(n_fft,), dtype=float64]
        Of a length that :func:`is_supported`.
    """
    n_fft = len(window)
    rows, columns = _supported_shape(n_fft)
    r, c = np.arange(rows), np.arange(columns)
    return Transform(
        rows, columns,
        window=window[sample_order(n_fft)],
        row_passes=plan_passes(columns),
        column_passes=plan_passes(rows),
        row_roots=_roots(c, columns),
        column_roots=_roots(r, rows),
        twiddles=_roots(np.outer(c, r).ravel(), rows * columns),
        split_twiddles=_roots(np.add.outer(r[:rows // 2 + 1], rows * c).ravel(), n_fft),
    )


def sample_order(n_fft: int) -> np.ndarray:
    """The order in which a frame's samples are read. [shape=(n_fft,), dtype=int64]"""
    rows, columns = _supported_shape(n_fft)
    return np.arange(n_fft).reshape(rows, columns, 2).transpose(1, 0, 2).ravel()


@lru_cache(maxsize=64)
def _shape(n_fft: int) -> tuple[int, int] | None:
    """Rows and columns, as near to a square as possible; None if there are no such factors.

    Small transforms that end with a pass of radix 8 or 4 come first: others need a copy.
    """
    m = n_fft // 2
    shapes = [
        (m // columns, columns) for columns in range(math.isqrt(m), 1, -1)
        if m % columns == 0 and factorize(columns) and factorize(m // columns)
    ]
    return min(shapes, key=lambda shape: any(n % 4 for n in shape), default=None)


def _supported_shape(n_fft: int) -> tuple[int, int]:
    shape = _shape(n_fft)
    if shape is None:
        raise ValueError(f"n_fft is {n_fft}, which is_supported() does not allow")
    return shape


def _roots(k: np.ndarray, n: int) -> np.ndarray:
    """``exp(-2j pi k / n)``, real and imaginary parts in turn."""
    # Reduced first, so that the angle's rounding stays that of one turn.
    return np.exp(-2j * np.pi * (k % n) / n).view(np.float64)


class Scratch(NamedTuple):
    """Working memory of a transform, one per thread.

    Attributes
    ----------
    matrix : np.ndarray [dtype=float64]
        Rows of C complex vectors and one of padding: without it, a row's length in bytes would
        often be a power of two and a whole column share the same few lines of the cache.
    small : np.ndarray [dtype=float64]
        Two buffers for the passes of a small transform, then two transformed rows.
    power : np.ndarray [shape=((1 + n_fft // 2) * LANES,), dtype=float32]
        The result: bin by bin, the lanes beside each other.
    """

    matrix: np.ndarray
    small: np.ndarray
    power: np.ndarray


def make_scratch(transform: Transform) -> Scratch:
    """Allocate working memory, not initialised."""
    rows, columns = transform.rows, transform.columns
    return Scratch(
        _empty(rows * (columns + 1) * 2 * LANES, np.float64),
        _empty(4 * rows * 2 * LANES, np.float64),
        _empty((rows * columns + 1) * LANES, np.float32),
    )


def _empty(n: int, dtype: type) -> np.ndarray:
    """Allocate an array that begins with a cache line, so that no vector crosses two lines."""
    size = n * np.dtype(dtype).itemsize
    memory = np.empty(size + _LINE, np.uint8)
    first = -memory.ctypes.data % _LINE
    return memory[first:first + size].view(dtype)


@subroutine
def power_spectra(samples, first, offsets, transform, scratch):
    """Write squared magnitudes of the windowed frames' spectra to ``scratch.power``.

    Parameters
    ----------
    samples : np.ndarray [dtype=float32]
        The lanes of a sample beside each other.
    first : int
        Where the lanes begin.
    offsets : np.ndarray [shape=(n_fft,), dtype=int32]
        Offset of each sample's lanes from `first`, in the order of :func:`sample_order`.
    transform : Transform
    scratch : Scratch
    """
    rows, columns = transform.rows, transform.columns
    row_passes, column_passes = transform.row_passes, transform.column_passes
    row_roots, column_roots = transform.row_roots, transform.column_roots
    matrix, small, power = scratch.matrix, scratch.small, scratch.power
    stride = columns + 1
    for c in range(columns):
        small_transform(
            samples, first, rows * c, offsets, transform.window, small, column_passes,
            column_roots, matrix, c, stride, transform.twiddles, rows * c,
        )
    row = 2 * rows  # the offset of a transformed row, behind the two buffers
    for r in range(rows // 2 + 1):
        # Row r and its mirror hold each other's partners. One call site is compiled once.
        mirror, mirror_row = (rows - r) % rows, row
        source_row = r
        while True:
            small_transform(
                matrix, 0, source_row * stride, None, None, small, row_passes, row_roots,
                small, mirror_row, 1, None, 0,
            )
            if source_row == mirror:
                break
            source_row, mirror_row = mirror, row + columns
        for c in range(columns):
            # The partner of bin k = r + rows * c is bin M - k, that of bin 0 is bin 0.
            partner = columns - 1 - c if r else columns - c if c else 0
            k = r + rows * c
            _split_real_fft(
                load_complex(small, row + c), load_complex(small, mirror_row + partner),
                transform.split_twiddles, r * columns + c, power, k, rows * columns - k,
            )


@subroutine
def _split_real_fft(a, b, twiddles, i, power, k, partner):
    """Compute the powers of bins `k` and `partner` from the complex transform at these two."""
    even_re, even_im = a[0] + b[0], a[1] - b[1]
    odd_re, odd_im = multiply_twiddle((a[1] + b[1], b[0] - a[0]), twiddles, i)
    re, im = even_re + odd_re, even_im + odd_im
    store(power, LANES * k, (re * re + im * im) * 0.25)
    re, im = even_re - odd_re, even_im - odd_im
    store(power, LANES * partner, (re * re + im * im) * 0.25)
