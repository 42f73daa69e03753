"""Power spectra of several frames at once, one in each lane of the processor's registers.

A real transform of N samples is a complex one of M = N / 2 (even samples as real parts, odd ones as
imaginary) and a last step that takes the two apart. The complex one goes in four steps after
Bailey (FFTs in external or hierarchical memory, J. Supercomputing, 1990): M = R * C points are seen
as a matrix; its columns are transformed, multiplied by roots of unity, and its rows transformed.
Each column and row is small enough for the nearest cache, so all frames cross the next one only
twice (the small transforms are in :mod:`features.kernels.stockham`).

A lane holds one frame throughout, so a frame's numbers do not depend on its neighbours.

The arithmetic is in float64 and the power is rounded to float32. A float32 transform would leave an
error of one unit in the last place of a frame's loudest tone in bins far away; to a narrow band
75 dB below, that is 5e-3 dB. benchmarks/kernel.py measures what it takes.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.kernels.compiled import compiled
from features.kernels.simd import LANES, load, store
from features.kernels.stockham import (
    first_pass,
    get,
    multiply_twiddle,
    other_passes,
    put_radix4,
    radix4_butterfly,
)

# Shorter ones have no columns worth their four steps.
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
    row_roots, column_roots : np.ndarray [shape=(2 * C,) and (2 * R,), dtype=float64]
        Roots of unity of the small transforms of rows (of C points) and of columns (of R).
    between : np.ndarray [shape=(n_fft,), dtype=float64]
        The factors between them, a column after the other.
    last : np.ndarray [dtype=float64]
        The factors of the step that takes even and odd samples apart, a row after the other.
    """

    rows: int
    columns: int
    window: np.ndarray
    row_roots: np.ndarray
    column_roots: np.ndarray
    between: np.ndarray
    last: np.ndarray


def is_supported(n_fft: int) -> bool:
    """Whether this module transforms that length: a power of two of at least 512."""
    return n_fft >= SHORTEST and n_fft & (n_fft - 1) == 0


def make_transform(window: np.ndarray) -> Transform:
    """The constants of a windowed transform.

    Parameters
    ----------
    window : np.ndarray [shape=(n_fft,), dtype=float64]
        Of a length that :func:`fits`.
    """
    n_fft = len(window)
    rows, columns = _shape(n_fft)
    r, c = np.arange(rows), np.arange(columns)
    return Transform(
        rows, columns,
        window=window[sample_order(n_fft)],
        row_roots=_roots(c, columns),
        column_roots=_roots(r, rows),
        between=_roots(np.outer(c, r).ravel(), rows * columns),
        last=_roots(np.add.outer(r[:rows // 2 + 1], rows * c).ravel(), n_fft),
    )


def sample_order(n_fft: int) -> np.ndarray:
    """The order in which a frame's samples are read. [shape=(n_fft,), dtype=int64]"""
    rows, columns = _shape(n_fft)
    return np.arange(n_fft).reshape(rows, columns, 2).transpose(1, 0, 2).ravel()


def _shape(n_fft: int) -> tuple[int, int]:
    exponent = n_fft.bit_length() - 2
    return 1 << (exponent + 1) // 2, 1 << exponent // 2


def _roots(k: np.ndarray, n: int) -> np.ndarray:
    """``exp(-2j pi k / n)``, real and imaginary parts in turn."""
    # Reduced first, so that the angle's rounding stays that of one turn.
    return np.exp(-2j * np.pi * (k % n) / n).view(np.float64)


class Scratch(NamedTuple):
    """What a transform writes to on its way; one a thread.

    Attributes
    ----------
    matrix : np.ndarray [dtype=float64]
        Rows of C complex vectors and one of padding: a row's length in bytes would else be a power
        of two, and all of a column fall into the same few lines of the cache.
    small : np.ndarray [dtype=float64]
        Two buffers for the passes of a small transform, then two transformed rows.
    power : np.ndarray [shape=((1 + n_fft // 2) * LANES,), dtype=float32]
        The result: bin by bin, the lanes beside each other.
    """

    matrix: np.ndarray
    small: np.ndarray
    power: np.ndarray


def make_scratch(transform: Transform) -> Scratch:
    """Buffers, not initialised."""
    rows, columns = transform.rows, transform.columns
    return Scratch(
        _empty(rows * (columns + 1) * 2 * LANES, np.float64),
        _empty(4 * rows * 2 * LANES, np.float64),
        _empty((rows * columns + 1) * LANES, np.float32),
    )


def _empty(n: int, dtype: type) -> np.ndarray:
    """An array that begins with a cache line, so that no vector lies across two."""
    size = n * np.dtype(dtype).itemsize
    memory = np.empty(size + _LINE, np.uint8)
    first = -memory.ctypes.data % _LINE
    return memory[first:first + size].view(dtype)


@compiled
def power_spectra(samples, first, places, transform, scratch):
    """Squared magnitudes of the windowed frames' spectra, into ``scratch.power``.

    Parameters
    ----------
    samples : np.ndarray [dtype=float32]
        The lanes of a sample beside each other.
    first : int
        Where the lanes begin.
    places : np.ndarray [shape=(n_fft,), dtype=int32]
        Where each sample's lanes are, seen from `first`, in the order of :func:`sample_order`.
    transform : Transform
    scratch : Scratch
    """
    rows, columns = transform.rows, transform.columns
    window, between, last = transform.window, transform.between, transform.last
    row_roots, column_roots = transform.row_roots, transform.column_roots
    matrix, small, power = scratch.matrix, scratch.small, scratch.power
    stride = columns + 1
    for c in range(columns):
        _first_of_column(samples, first, places, window, 2 * rows * c, small, rows, column_roots)
        other_passes(small, rows, column_roots, matrix, c, stride, between, rows * c)
    one = 2 * rows
    for r in range(rows // 2 + 1):
        mirror = (rows - r) % rows
        first_pass(matrix, r * stride, small, columns, row_roots)
        other_passes(small, columns, row_roots, small, one, 1, None, 0)
        other = one
        if mirror != r:
            other = one + columns
            first_pass(matrix, mirror * stride, small, columns, row_roots)
            other_passes(small, columns, row_roots, small, other, 1, None, 0)
        for c in range(columns):
            # Of bin k = r + rows * c, the partner is bin M - k, and of bin 0 itself.
            partner = columns - 1 - c if r else columns - c if c else 0
            k = r + rows * c
            _split_real_fft(
                get(small, one + c), get(small, other + partner), last, r * columns + c,
                power, k, rows * columns - k,
            )


@compiled
def _first_of_column(samples, first, places, window, start, small, n, roots):
    """The first pass over a column, of radix 4, out of the samples."""
    quarter = 2 * (n // 4)
    for p in range(n // 4):
        a = start + 2 * p
        z = radix4_butterfly(
            _windowed(samples, first, places, window, a),
            _windowed(samples, first, places, window, a + quarter),
            _windowed(samples, first, places, window, a + 2 * quarter),
            _windowed(samples, first, places, window, a + 3 * quarter),
        )
        put_radix4(z, small, 4 * p, 1, roots, p)


@compiled
def _windowed(samples, first, places, window, i):
    return (
        load(samples, first + places[i]) * window[i],
        load(samples, first + places[i + 1]) * window[i + 1],
    )


@compiled
def _split_real_fft(a, b, last, i, power, k, partner):
    """The powers of bins `k` and `partner`, out of the complex transform at these two."""
    even_re, even_im = a[0] + b[0], a[1] - b[1]
    odd_re, odd_im = multiply_twiddle((a[1] + b[1], b[0] - a[0]), last, i)
    re, im = even_re + odd_re, even_im + odd_im
    store(power, LANES * k, (re * re + im * im) * 0.25)
    re, im = even_re - odd_re, even_im - odd_im
    store(power, LANES * partner, (re * re + im * im) * 0.25)
