"""Small complex transforms of several frames at once, in Stockham's passes of radix 4 and 8.

A complex vector is a pair (real parts, imaginary parts) of vectors; its place in an array of
float64 is counted in complex vectors. A transform of n points begins with :func:`first_pass`, or
with a pass of its caller's own that ends with :func:`put_radix4`, and goes through two buffers of n
complex vectors that lie one behind the other in `small`. n is 16 or more, and a power of two.

Stockham's passes: Cochran et al., What is the fast Fourier transform?, Proc. IEEE, 1967.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math

from features.kernels.compiled import compiled
from features.kernels.simd import LANES, load, store

_HALF = math.sqrt(0.5)


@compiled
def get(array, i):
    """The `i`-th complex vector."""
    return load(array, 2 * LANES * i), load(array, 2 * LANES * i + LANES)


@compiled
def put(array, i, z):
    """Make `z` the `i`-th complex vector."""
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
def multiply_twiddle(z, roots, k):
    """By the `k`-th of an array's complex numbers; by 1 if there is no array."""
    if roots is None:
        return z
    re, im = roots[2 * k], roots[2 * k + 1]
    return z[0] * re - z[1] * im, z[0] * im + z[1] * re


@compiled
def _put_times(array, i, z, roots, k):
    put(array, i, multiply_twiddle(z, roots, k))


@compiled
def radix4_butterfly(a, b, c, d):
    """A transform of four points."""
    even, odd, differ, turned = _add(a, c), _add(b, d), _subtract(a, c), _turned(b, d)
    return _add(even, odd), _add(differ, turned), _subtract(even, odd), _subtract(differ, turned)


@compiled
def put_radix4(z, small, to, step, roots, k):
    """Put the results of a pass of radix 4, each times its root."""
    put(small, to, z[0])
    put(small, to + step, multiply_twiddle(z[1], roots, k))
    put(small, to + 2 * step, multiply_twiddle(z[2], roots, 2 * k))
    put(small, to + 3 * step, multiply_twiddle(z[3], roots, 3 * k))


@compiled
def first_pass(matrix, start, small, n, roots):
    """The first pass, of radix 4, over the `n` complex vectors of `matrix` from `start` on."""
    quarter = n // 4
    for p in range(quarter):
        a = start + p
        z = radix4_butterfly(
            get(matrix, a), get(matrix, a + quarter), get(matrix, a + 2 * quarter),
            get(matrix, a + 3 * quarter),
        )
        put_radix4(z, small, 4 * p, 1, roots, p)


@compiled
def other_passes(small, n, roots, target, to, step, factors, k):
    """The passes after the first one.

    The last one's results go to `target`, `step` apart from `to` on, each times its one of
    `factors` from `k` on; None leaves them as they are.
    """
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
            z = radix4_butterfly(
                get(small, a), get(small, a + quarter), get(small, a + 2 * quarter),
                get(small, a + 3 * quarter),
            )
            put_radix4(z, small, free + q + 4 * done * p, done, roots, p * (n // left))


@compiled
def _last_four(small, source, done, target, to, step, factors, k):
    for q in range(done):
        a, at = source + q, to + step * q
        z = radix4_butterfly(
            get(small, a), get(small, a + done), get(small, a + 2 * done),
            get(small, a + 3 * done),
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
        even = radix4_butterfly(
            get(small, a), get(small, a + 2 * done), get(small, a + 4 * done),
            get(small, a + 6 * done),
        )
        odd = radix4_butterfly(
            get(small, a + done), get(small, a + 3 * done), get(small, a + 5 * done),
            get(small, a + 7 * done),
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
