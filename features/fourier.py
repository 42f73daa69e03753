"""Power spectra of several frames at once, one in each lane of the processor's registers.

A real transform of N samples is a complex one of M = N / 2 (even samples as real parts, odd ones as
imaginary) and a last step that takes the two apart. The complex one goes in four steps after
Bailey (FFTs in external or hierarchical memory, J. Supercomputing, 1990): M = R * C points are seen
as a matrix; its columns are transformed, multiplied by roots of unity, and its rows transformed.
Each column and row is small enough for the nearest cache, so all frames cross the next one only
twice. The small transforms are Stockham's, in passes of radix 4 and 8.

A lane holds one frame throughout, so a frame's numbers do not depend on its neighbours.

The arithmetic is in float64 and the power is rounded to float32. A float32 transform would leave an
error of one unit in the last place of a frame's loudest tone in bins far away; to a narrow band
75 dB below, that is 5e-3 dB. benchmarks/kernel.py measures what it takes.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from features.compiled import compiled
from features.simd import LANES, load, store

# Shorter ones have no columns worth their four steps.
SHORTEST = 512

_HALF = math.sqrt(0.5)
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


def fits(n_fft: int) -> bool:
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
        _rest(small, rows, column_roots, matrix, c, stride, between, rows * c)
    one = 2 * rows
    for r in range(rows // 2 + 1):
        mirror = (rows - r) % rows
        _first_of_row(matrix, r * stride, small, columns, row_roots)
        _rest(small, columns, row_roots, small, one, 1, None, 0)
        other = one
        if mirror != r:
            other = one + columns
            _first_of_row(matrix, mirror * stride, small, columns, row_roots)
            _rest(small, columns, row_roots, small, other, 1, None, 0)
        for c in range(columns):
            # Of bin k = r + rows * c, the partner is bin M - k, and of bin 0 itself.
            partner = columns - 1 - c if r else columns - c if c else 0
            k = r + rows * c
            _take_apart(
                _get(small, one + c), _get(small, other + partner), last, r * columns + c,
                power, k, rows * columns - k,
            )


# Below, a complex vector is a pair (real parts, imaginary parts), and its place in an array is
# counted in complex vectors.

@compiled
def _get(array, i):
    return load(array, 2 * LANES * i), load(array, 2 * LANES * i + LANES)


@compiled
def _put(array, i, z):
    store(array, 2 * LANES * i, z[0])
    store(array, 2 * LANES * i + LANES, z[1])


@compiled
def _add(a, b):
    return a[0] + b[0], a[1] + b[1]


@compiled
def _subtract(a, b):
    return a[0] - b[0], a[1] - b[1]


@compiled
def _turned(a, b):
    """``-1j * (a - b)``"""
    return a[1] - b[1], b[0] - a[0]


@compiled
def _times(z, roots, k):
    """By the `k`-th of an array's complex numbers; by 1 if there is no array."""
    if roots is None:
        return z
    re, im = roots[2 * k], roots[2 * k + 1]
    return z[0] * re - z[1] * im, z[0] * im + z[1] * re


@compiled
def _put_times(array, i, z, roots, k):
    _put(array, i, _times(z, roots, k))


@compiled
def _four(a, b, c, d):
    """A transform of four points."""
    even, odd, differ, turned = _add(a, c), _add(b, d), _subtract(a, c), _turned(b, d)
    return _add(even, odd), _add(differ, turned), _subtract(even, odd), _subtract(differ, turned)


@compiled
def _put_four(z, small, to, step, roots, k):
    """Put the results of a pass of radix 4, each times its root."""
    _put(small, to, z[0])
    _put(small, to + step, _times(z[1], roots, k))
    _put(small, to + 2 * step, _times(z[2], roots, 2 * k))
    _put(small, to + 3 * step, _times(z[3], roots, 3 * k))


@compiled
def _first_of_column(samples, first, places, window, start, small, n, roots):
    """The first pass over a column, of radix 4, out of the samples."""
    quarter = 2 * (n // 4)
    for p in range(n // 4):
        a = start + 2 * p
        z = _four(
            _windowed(samples, first, places, window, a),
            _windowed(samples, first, places, window, a + quarter),
            _windowed(samples, first, places, window, a + 2 * quarter),
            _windowed(samples, first, places, window, a + 3 * quarter),
        )
        _put_four(z, small, 4 * p, 1, roots, p)


@compiled
def _windowed(samples, first, places, window, i):
    return (
        load(samples, first + places[i]) * window[i],
        load(samples, first + places[i + 1]) * window[i + 1],
    )


@compiled
def _first_of_row(matrix, start, small, n, roots):
    """The first pass over a row, of radix 4, out of the matrix."""
    quarter = n // 4
    for p in range(quarter):
        a = start + p
        z = _four(
            _get(matrix, a), _get(matrix, a + quarter), _get(matrix, a + 2 * quarter),
            _get(matrix, a + 3 * quarter),
        )
        _put_four(z, small, 4 * p, 1, roots, p)


@compiled
def _rest(small, n, roots, target, to, step, factors, k):
    """The passes after the first one; the last one's results go to `target`, times `factors`."""
    left, done, source, free = n // 4, 4, 0, n
    while left > 8:
        _pass(small, source, free, left, done, n, roots)
        source, free = free, source
        left, done = left // 4, done * 4
    if left == 8:
        _last_eight(small, source, done, target, to, step, factors, k)
    else:
        _last_four(small, source, done, target, to, step, factors, k)


@compiled
def _pass(small, source, free, left, done, n, roots):
    """A pass of radix 4 between the two buffers."""
    quarter = done * (left // 4)
    for p in range(left // 4):
        for q in range(done):
            a = source + q + done * p
            z = _four(
                _get(small, a), _get(small, a + quarter), _get(small, a + 2 * quarter),
                _get(small, a + 3 * quarter),
            )
            _put_four(z, small, free + q + 4 * done * p, done, roots, p * (n // left))


@compiled
def _last_four(small, source, done, target, to, step, factors, k):
    for q in range(done):
        a, at = source + q, to + step * q
        z = _four(
            _get(small, a), _get(small, a + done), _get(small, a + 2 * done),
            _get(small, a + 3 * done),
        )
        _put_times(target, at, z[0], factors, k + q)
        _put_times(target, at + step * done, z[1], factors, k + q + done)
        _put_times(target, at + 2 * step * done, z[2], factors, k + q + 2 * done)
        _put_times(target, at + 3 * step * done, z[3], factors, k + q + 3 * done)


@compiled
def _last_eight(small, source, done, target, to, step, factors, k):
    far = step * done
    for q in range(done):
        a = source + q
        even = _four(
            _get(small, a), _get(small, a + 2 * done), _get(small, a + 4 * done),
            _get(small, a + 6 * done),
        )
        odd = _four(
            _get(small, a + done), _get(small, a + 3 * done), _get(small, a + 5 * done),
            _get(small, a + 7 * done),
        )
        # Times the eighth roots of unity.
        one = (odd[1][0] + odd[1][1]) * _HALF, (odd[1][1] - odd[1][0]) * _HALF
        two = odd[2][1], odd[2][0] * -1.0
        three = (odd[3][1] - odd[3][0]) * _HALF, (odd[3][0] + odd[3][1]) * -_HALF
        i, at = k + q, to + step * q
        _put_times(target, at, _add(even[0], odd[0]), factors, i)
        _put_times(target, at + far, _add(even[1], one), factors, i + done)
        _put_times(target, at + 2 * far, _add(even[2], two), factors, i + 2 * done)
        _put_times(target, at + 3 * far, _add(even[3], three), factors, i + 3 * done)
        _put_times(target, at + 4 * far, _subtract(even[0], odd[0]), factors, i + 4 * done)
        _put_times(target, at + 5 * far, _subtract(even[1], one), factors, i + 5 * done)
        _put_times(target, at + 6 * far, _subtract(even[2], two), factors, i + 6 * done)
        _put_times(target, at + 7 * far, _subtract(even[3], three), factors, i + 7 * done)


@compiled
def _take_apart(a, b, last, i, power, k, partner):
    """The powers of bins `k` and `partner`, out of the complex transform at these two."""
    even_re, even_im = a[0] + b[0], a[1] - b[1]
    odd_re, odd_im = _times((a[1] + b[1], b[0] - a[0]), last, i)
    re, im = even_re + odd_re, even_im + odd_im
    store(power, LANES * k, (re * re + im * im) * 0.25)
    re, im = even_re - odd_re, even_im - odd_im
    store(power, LANES * partner, (re * re + im * im) * 0.25)
