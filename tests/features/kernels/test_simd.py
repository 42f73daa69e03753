"""Vectors against NumPy, lane by lane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from features.kernels.simd import LANES, bits_of, float_of, load, store, transpose4


@njit
def mixed(a, b, number, out):
    x, y = load(a, 1), load(b, 2)
    store(out, 0, (x + y) * number - x * y)
    store(out, LANES, number - (x + 1.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_is_that_of_numpy(dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-99, 99, LANES + 3).astype(dtype) for _ in range(2))
    out = np.full(2 * LANES + 1, 7, dtype)
    mixed(a, b, 3.0, out)
    x, y = a[1:LANES + 1], b[2:LANES + 2]
    # Whole numbers, so that a fused product and sum makes no difference.
    np.testing.assert_array_equal(out[:LANES], (x + y) * 3 - x * y)
    np.testing.assert_array_equal(out[LANES:-1], 3 - (x + 1))
    assert out[-1] == 7


@njit
def copy(a, out):
    store(out, 0, load(a, 0))


def test_float32_is_widened_and_rounded():
    a = np.linspace(0, 1, LANES).astype(np.float32)
    wide = np.empty(LANES)
    copy(a, wide)
    np.testing.assert_array_equal(wide, a)
    narrow = np.empty(LANES, np.float32)
    copy(wide + 1e-9, narrow)
    np.testing.assert_array_equal(narrow, (wide + 1e-9).astype(np.float32))


@njit
def transposed(source, start, step, target, to, stride):
    transpose4(source, start, step, target, to, stride)


@given(
    start=st.integers(0, 3), step=st.integers(0, 9), to=st.integers(0, 3), stride=st.integers(4, 9)
)
def test_runs_become_columns(start, step, to, stride):
    source = np.arange(64, dtype=np.float32)
    target = np.zeros(64, np.float32)
    transposed(source, start, step, target, to, stride)
    expected = np.zeros(64, np.float32)
    for i in range(4):
        for j in range(4):
            expected[to + i * stride + j] = source[start + j * step + i]
    np.testing.assert_array_equal(target, expected)


@njit
def there_and_back(x):
    bits = bits_of(x)
    return bits, float_of(bits)


@given(st.floats(width=32, allow_nan=False))
def test_bits(x):
    bits, back = there_and_back(np.float32(x))
    assert bits == np.float32(x).view(np.int32)
    assert back == x
