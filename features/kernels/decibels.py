"""Decibels of power, by a loop that the compiler vectorizes."""

from __future__ import annotations

from functools import partial

import numpy as np

from features.kernels.compiled import compiled
from features.kernels.reference import AMIN
from features.kernels.simd import bits_of, float_of

# 10 log10(x) = 20 / ln(10) * artanh(z) with z = (x - 1) / (x + 1). Five terms of its series suffice
# between sqrt(1/2) and sqrt(2): |z| < 0.172, and the sixth is below 4e-9 dB.
_SERIES = tuple(np.float32(20 / np.log(10) / k) for k in (1, 3, 5, 7, 9))
_DB_PER_OCTAVE = np.float32(10 * np.log10(2))
_SQRT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2) as a float32
_MANTISSA = np.int32(23)
_ONE, _FLOOR = np.float32(1), np.float32(AMIN)


def to_db(power: np.ndarray) -> np.ndarray:
    """Compute ``10 log10(max(power, 1e-10))`` in place.

    Parameters
    ----------
    power : np.ndarray [dtype=float32]
        Contiguous, not NaN.

    Returns
    -------
    db : np.ndarray [dtype=float32]
        The same array (in dB), within 1e-5 dB or so.
    """
    _to_db(power.reshape(-1))
    return power


@partial(compiled, fastmath={"contract"})
def _to_db(power):  # type: ignore[no-untyped-def]
    """Work in place. A call of log per value would not be vectorized."""
    c1, c3, c5, c7, c9 = _SERIES
    for i in range(len(power)):
        p = power[i]
        p = p if p > _FLOOR else _FLOOR
        bits = bits_of(p)
        octave = np.int32(np.int32(bits - _SQRT_HALF) >> _MANTISSA)
        x = float_of(np.int32(bits - np.int32(octave << _MANTISSA)))
        z = (x - _ONE) / (x + _ONE)
        z2 = z * z
        within = z * (c1 + z2 * (c3 + z2 * (c5 + z2 * (c7 + z2 * c9))))
        power[i] = within + np.float32(octave) * _DB_PER_OCTAVE
