"""Butterflies: complex transforms of 2 to 8 points, each point a complex vector.

A complex vector is a pair (real parts, imaginary parts) of vectors of :mod:`features.kernels.simd`.
Odd radices use Singleton's symmetry: points j and r - j enter every result by their sum and their
difference only.

Singleton: An algorithm for computing the mixed radix fast Fourier transform, IEEE Trans. Audio
Electroacoust., 1969.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math

from features.kernels.compiled import subroutine

_SQRT_HALF = math.sqrt(0.5)
_SIN3 = math.sin(2 * math.pi / 3)
_COS5, _COS5_2 = math.cos(2 * math.pi / 5), math.cos(4 * math.pi / 5)
_SIN5, _SIN5_2 = math.sin(2 * math.pi / 5), math.sin(4 * math.pi / 5)
_COS7, _COS7_2, _COS7_3 = (math.cos(2 * math.pi * j / 7) for j in (1, 2, 3))
_SIN7, _SIN7_2, _SIN7_3 = (math.sin(2 * math.pi * j / 7) for j in (1, 2, 3))


@subroutine
def multiply_twiddle(z, roots, k):
    """Multiply `z` by twiddle factor `k`; return `z` if `roots` is None."""
    if roots is None:
        return z
    re, im = roots[2 * k], roots[2 * k + 1]
    return z[0] * re - z[1] * im, z[0] * im + z[1] * re


@subroutine
def _add(a, b):
    return a[0] + b[0], a[1] + b[1]


@subroutine
def _subtract(a, b):
    return a[0] - b[0], a[1] - b[1]


@subroutine
def _subtract_turned(a, b):
    """``-1j * (a - b)``"""
    return a[1] - b[1], b[0] - a[0]


@subroutine
def butterfly2(a, b):
    """Transform two points."""
    return _add(a, b), _subtract(a, b)


@subroutine
def butterfly3(a, b, c):
    """Transform three points."""
    total, turned = _add(b, c), _subtract_turned(b, c)
    even = a[0] - total[0] * 0.5, a[1] - total[1] * 0.5
    odd = turned[0] * _SIN3, turned[1] * _SIN3
    return _add(a, total), _add(even, odd), _subtract(even, odd)


@subroutine
def butterfly4(a, b, c, d):
    """Transform four points."""
    even, odd, differ, turned = _add(a, c), _add(b, d), _subtract(a, c), _subtract_turned(b, d)
    return _add(even, odd), _add(differ, turned), _subtract(even, odd), _subtract(differ, turned)


@subroutine
def butterfly5(a, b, c, d, e):
    """Transform five points."""
    sum1, sum2 = _add(b, e), _add(c, d)
    diff1, diff2 = _subtract_turned(b, e), _subtract_turned(c, d)
    even1 = _weigh2(a, sum1, _COS5, sum2, _COS5_2)
    even2 = _weigh2(a, sum1, _COS5_2, sum2, _COS5)
    odd1 = diff1[0] * _SIN5 + diff2[0] * _SIN5_2, diff1[1] * _SIN5 + diff2[1] * _SIN5_2
    odd2 = diff1[0] * _SIN5_2 - diff2[0] * _SIN5, diff1[1] * _SIN5_2 - diff2[1] * _SIN5
    return (
        _add(a, _add(sum1, sum2)), _add(even1, odd1), _add(even2, odd2),
        _subtract(even2, odd2), _subtract(even1, odd1),
    )


@subroutine
def _weigh2(a, x, wx, y, wy):
    """``a + wx * x + wy * y``"""
    return a[0] + x[0] * wx + y[0] * wy, a[1] + x[1] * wx + y[1] * wy


@subroutine
def butterfly7(a, b, c, d, e, f, g):
    """Transform seven points."""
    sum1, sum2, sum3 = _add(b, g), _add(c, f), _add(d, e)
    diff1, diff2, diff3 = (
        _subtract_turned(b, g), _subtract_turned(c, f), _subtract_turned(d, e),
    )
    even1 = _add(a, _weigh3(sum1, _COS7, sum2, _COS7_2, sum3, _COS7_3))
    even2 = _add(a, _weigh3(sum1, _COS7_2, sum2, _COS7_3, sum3, _COS7))
    even3 = _add(a, _weigh3(sum1, _COS7_3, sum2, _COS7, sum3, _COS7_2))
    odd1 = _weigh3(diff1, _SIN7, diff2, _SIN7_2, diff3, _SIN7_3)
    odd2 = _weigh3(diff1, _SIN7_2, diff2, -_SIN7_3, diff3, -_SIN7)
    odd3 = _weigh3(diff1, _SIN7_3, diff2, -_SIN7, diff3, _SIN7_2)
    return (
        _add(a, _add(sum1, _add(sum2, sum3))),
        _add(even1, odd1), _add(even2, odd2), _add(even3, odd3),
        _subtract(even3, odd3), _subtract(even2, odd2), _subtract(even1, odd1),
    )


@subroutine
def _weigh3(x, wx, y, wy, z, wz):
    """``wx * x + wy * y + wz * z``"""
    return x[0] * wx + y[0] * wy + z[0] * wz, x[1] * wx + y[1] * wy + z[1] * wz


@subroutine
def butterfly8(a, b, c, d, e, f, g, h):
    """Transform eight points, as two transforms of four and the eighth roots of unity."""
    even, odd = butterfly4(a, c, e, g), butterfly4(b, d, f, h)
    odd1 = (odd[1][0] + odd[1][1]) * _SQRT_HALF, (odd[1][1] - odd[1][0]) * _SQRT_HALF
    odd2 = odd[2][1], odd[2][0] * -1.0
    odd3 = (odd[3][1] - odd[3][0]) * _SQRT_HALF, (odd[3][0] + odd[3][1]) * -_SQRT_HALF
    return (
        _add(even[0], odd[0]), _add(even[1], odd1), _add(even[2], odd2), _add(even[3], odd3),
        _subtract(even[0], odd[0]), _subtract(even[1], odd1), _subtract(even[2], odd2),
        _subtract(even[3], odd3),
    )
