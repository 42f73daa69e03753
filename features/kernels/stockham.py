"""Small complex transforms of several frames at once, by Stockham's passes.

A complex vector is a pair (real parts, imaginary parts) of vectors; its offset in an array of
float64 is counted in complex vectors. A transform of n points is one pass per factor of n (see
:func:`factorize`) and goes through two buffers of n complex vectors, one behind the other. A pass
of radix r reads r points that lie n / r apart, computes their butterfly, multiplies the results by
twiddle factors and writes them in the order that the next pass wants, so nothing is permuted.

Stockham's passes: Cochran et al., What is the fast Fourier transform?, Proc. IEEE, 1967.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np

from features.kernels.butterflies import (
    butterfly2,
    butterfly3,
    butterfly4,
    butterfly5,
    butterfly7,
    butterfly8,
    multiply_twiddle,
)
from features.kernels.compiled import subroutine
from features.kernels.simd import LANES, load, store


def factorize(n: int) -> list[int]:
    """Radices of the passes of a transform of `n` points: product `n`, in the order of the passes.

    The last one is 8 or 4 if possible, because their butterflies are the cheapest per point.
    Empty if a prime factor is above 7, or if there would be fewer than two passes.
    """
    odd = []
    for radix in (7, 5, 3):
        while n % radix == 0:
            odd.append(radix)
            n //= radix
    if n & (n - 1):
        return []
    exponent = n.bit_length() - 1
    twos = [2] if exponent == 1 else [4] * (exponent // 2)
    if exponent > 1 and exponent % 2:
        twos[-1] = 8
    radices = odd + twos
    return radices if len(radices) > 1 else []


def plan_passes(n: int) -> np.ndarray:
    """Plan the passes of a transform of `n` points. [shape=(n_passes, 3), dtype=int64]

    A pass is its radix, the product of the radices from it on, and of those before it: the compiled
    loops then have no division.
    """
    radices = factorize(n)
    done = np.cumprod([1, *radices[:-1]])
    return np.stack([radices, n // done, done], axis=1).astype(np.int64)


@subroutine
def load_complex(array, i):
    """Load the `i`-th complex vector."""
    return load(array, 2 * LANES * i), load(array, 2 * LANES * i + LANES)


@subroutine
def store_complex(array, i, z):
    """Store `z` as the `i`-th complex vector."""
    store(array, 2 * LANES * i, z[0])
    store(array, 2 * LANES * i + LANES, z[1])


@subroutine
def _point(source, origin, i, offsets, window):
    """Load point `i`: a windowed pair of samples, or without a window a complex vector."""
    if window is None:
        return load_complex(source, i)
    return (
        load(source, origin + offsets[2 * i]) * window[2 * i],
        load(source, origin + offsets[2 * i + 1]) * window[2 * i + 1],
    )


@subroutine
def small_transform(
    source, origin, start, offsets, window, buffers, passes, roots, target, to, step, factors, k
):
    """Transform ``len(roots) // 2`` points.

    Parameters
    ----------
    source : np.ndarray [dtype=float64, or float32 with a window]
        Complex vectors, or with a window samples.
    origin : int
        Offset of the frames' first sample in the source.
    start : int
        The first point: a complex vector of the source, or a pair of `offsets` and `window`.
    offsets : np.ndarray [dtype=int32] or None
        Offset of each sample's lanes from `origin`.
    window : np.ndarray [dtype=float64] or None
        Factor of each sample.
    buffers : np.ndarray [dtype=float64]
        At least ``2 * n`` complex vectors.
    passes : np.ndarray [shape=(n_passes, 3), dtype=int64]
        See :func:`plan_passes`.
    roots : np.ndarray [shape=(2 * n,), dtype=float64]
        ``exp(-2j * pi * k / n)``, as pairs.
    target : np.ndarray [dtype=float64]
        The results are written here, `step` apart from offset `to` on,
    factors : np.ndarray [dtype=float64] or None
        each times its complex number of these from the `k`-th on, unless None.
    """
    free, other = 0, len(roots) // 2
    radix, left = passes[0, 0], passes[0, 1]
    _run_pass(source, origin, start, offsets, window, buffers, free, radix, left, 1, roots)
    last = len(passes) - 1
    direct = passes[last, 0] == 4 or passes[last, 0] == 8
    for i in range(1, last if direct else last + 1):
        radix, left, done = passes[i, 0], passes[i, 1], passes[i, 2]
        free, other = other, free
        _run_pass(buffers, 0, other, None, None, buffers, free, radix, left, done, roots)
    if direct:
        radix, done = passes[last, 0], passes[last, 2]
        _last_pass(buffers, free, radix, done, target, to, step, factors, k)
    else:
        # Last passes of 2, 3, 5 or 7 are too rare for loops of their own: a copy does it.
        for q in range(len(roots) // 2):
            z = load_complex(buffers, free + q)
            store_complex(target, to + step * q, multiply_twiddle(z, factors, k + q))


@subroutine
def _run_pass(source, origin, start, offsets, window, buffers, to, radix, left, done, roots):
    """Run a pass into the buffers from offset `to` on.

    Parameters
    ----------
    radix, left, done : int
        See :func:`plan_passes`.
    """
    if radix == 4:
        _pass4(source, origin, start, offsets, window, buffers, to, left, done, roots)
    elif radix == 5:
        _pass5(source, origin, start, offsets, window, buffers, to, left, done, roots)
    elif radix == 3:
        _pass3(source, origin, start, offsets, window, buffers, to, left, done, roots)
    elif radix == 7:
        _pass7(source, origin, start, offsets, window, buffers, to, left, done, roots)
    else:
        _pass2(source, origin, start, offsets, window, buffers, to, left, done, roots)


@subroutine
def _pass2(source, origin, start, offsets, window, buffers, to, left, done, roots):
    rest = left // 2
    m = done * rest
    for p in range(rest):
        for q in range(done):
            i = start + q + done * p
            z = butterfly2(
                _point(source, origin, i, offsets, window),
                _point(source, origin, i + m, offsets, window),
            )
            _store_twiddled(z, buffers, to + q + 2 * done * p, done, roots, done * p)


@subroutine
def _pass3(source, origin, start, offsets, window, buffers, to, left, done, roots):
    rest = left // 3
    m = done * rest
    for p in range(rest):
        for q in range(done):
            i = start + q + done * p
            z = butterfly3(
                _point(source, origin, i, offsets, window),
                _point(source, origin, i + m, offsets, window),
                _point(source, origin, i + 2 * m, offsets, window),
            )
            _store_twiddled(z, buffers, to + q + 3 * done * p, done, roots, done * p)


@subroutine
def _pass4(source, origin, start, offsets, window, buffers, to, left, done, roots):
    rest = left // 4
    m = done * rest
    for p in range(rest):
        for q in range(done):
            i = start + q + done * p
            z = butterfly4(
                _point(source, origin, i, offsets, window),
                _point(source, origin, i + m, offsets, window),
                _point(source, origin, i + 2 * m, offsets, window),
                _point(source, origin, i + 3 * m, offsets, window),
            )
            _store_twiddled(z, buffers, to + q + 4 * done * p, done, roots, done * p)


@subroutine
def _pass5(source, origin, start, offsets, window, buffers, to, left, done, roots):
    rest = left // 5
    m = done * rest
    for p in range(rest):
        for q in range(done):
            i = start + q + done * p
            z = butterfly5(
                _point(source, origin, i, offsets, window),
                _point(source, origin, i + m, offsets, window),
                _point(source, origin, i + 2 * m, offsets, window),
                _point(source, origin, i + 3 * m, offsets, window),
                _point(source, origin, i + 4 * m, offsets, window),
            )
            _store_twiddled(z, buffers, to + q + 5 * done * p, done, roots, done * p)


@subroutine
def _pass7(source, origin, start, offsets, window, buffers, to, left, done, roots):
    rest = left // 7
    m = done * rest
    for p in range(rest):
        for q in range(done):
            i = start + q + done * p
            z = butterfly7(
                _point(source, origin, i, offsets, window),
                _point(source, origin, i + m, offsets, window),
                _point(source, origin, i + 2 * m, offsets, window),
                _point(source, origin, i + 3 * m, offsets, window),
                _point(source, origin, i + 4 * m, offsets, window),
                _point(source, origin, i + 5 * m, offsets, window),
                _point(source, origin, i + 6 * m, offsets, window),
            )
            _store_twiddled(z, buffers, to + q + 7 * done * p, done, roots, done * p)


@subroutine
def _store_twiddled(z, buffers, to, step, roots, k):
    """Store the results of a butterfly, the j-th one times root ``j * k``."""
    store_complex(buffers, to, z[0])
    store_complex(buffers, to + step, multiply_twiddle(z[1], roots, k))
    if len(z) > 2:
        store_complex(buffers, to + 2 * step, multiply_twiddle(z[2], roots, 2 * k))
    if len(z) > 3:
        store_complex(buffers, to + 3 * step, multiply_twiddle(z[3], roots, 3 * k))
    if len(z) > 4:
        store_complex(buffers, to + 4 * step, multiply_twiddle(z[4], roots, 4 * k))
    if len(z) > 5:
        store_complex(buffers, to + 5 * step, multiply_twiddle(z[5], roots, 5 * k))
        store_complex(buffers, to + 6 * step, multiply_twiddle(z[6], roots, 6 * k))


@subroutine
def _last_pass(buffers, start, radix, done, target, to, step, factors, k):
    """Run a last pass of radix 4 or 8, into the target."""
    far = step * done
    if radix == 8:
        for q in range(done):
            a = start + q
            z = butterfly8(
                load_complex(buffers, a), load_complex(buffers, a + done),
                load_complex(buffers, a + 2 * done), load_complex(buffers, a + 3 * done),
                load_complex(buffers, a + 4 * done), load_complex(buffers, a + 5 * done),
                load_complex(buffers, a + 6 * done), load_complex(buffers, a + 7 * done),
            )
            _store_result(z, target, to + step * q, far, factors, k + q, done)
    else:
        for q in range(done):
            a = start + q
            z = butterfly4(
                load_complex(buffers, a), load_complex(buffers, a + done),
                load_complex(buffers, a + 2 * done), load_complex(buffers, a + 3 * done),
            )
            _store_result(z, target, to + step * q, far, factors, k + q, done)


@subroutine
def _store_result(z, target, to, step, factors, k, k_step):
    """Store the results of a last butterfly, the j-th one times factor ``k + j * k_step``."""
    store_complex(target, to, multiply_twiddle(z[0], factors, k))
    store_complex(target, to + step, multiply_twiddle(z[1], factors, k + k_step))
    store_complex(target, to + 2 * step, multiply_twiddle(z[2], factors, k + 2 * k_step))
    store_complex(target, to + 3 * step, multiply_twiddle(z[3], factors, k + 3 * k_step))
    if len(z) > 4:
        store_complex(target, to + 4 * step, multiply_twiddle(z[4], factors, k + 4 * k_step))
        store_complex(target, to + 5 * step, multiply_twiddle(z[5], factors, k + 5 * k_step))
        store_complex(target, to + 6 * step, multiply_twiddle(z[6], factors, k + 6 * k_step))
        store_complex(target, to + 7 * step, multiply_twiddle(z[7], factors, k + 7 * k_step))
