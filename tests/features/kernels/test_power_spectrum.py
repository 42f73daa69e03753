"""Power spectra of several frames at once, against closed forms and NumPy's FFT."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from features.kernels.compiled import compiled
from features.kernels.power_spectrum import (
    SHORTEST,
    is_supported,
    make_scratch,
    make_transform,
    power_spectra,
    sample_order,
)
from features.kernels.simd import LANES
from features.kernels.stockham import factorize
from features.signal.melspectrogram import hann_window

POWERS_OF_TWO = [512, 1024, 2048, 4096, 8192, 1 << 14, 1 << 15, 1 << 17]
# Every radix as a first, a middle and a last pass, and what the 2019 winners used.
MIXED = [
    560, 648, 750, 784, 1000, 1280, 1458, 1764, 1920, 2250, 2560, 3200, 4410, 4802, 5000, 6250,
    9450, 10_080, 44_100, 90_720,
]
LENGTHS = POWERS_OF_TWO + MIXED


run = compiled(power_spectra.py_func)


def power_of(frames, window, first=0):
    """[shape=(LANES, n_fft)] -> [shape=(1 + n_fft // 2, LANES)]"""
    n_fft = len(window)
    samples = np.concatenate([np.full(first, np.nan, np.float32), frames.T.ravel()])
    offsets = (sample_order(n_fft) * LANES).astype(np.int32)
    transform = make_transform(window)
    scratch = make_scratch(transform)
    for buffer in scratch:
        buffer[:] = np.nan  # what was there does not show
    run(samples, first, offsets, transform, scratch)
    return scratch.power.reshape(-1, LANES)


def exact(frames, window):
    return np.abs(np.fft.rfft(frames.astype(np.float64) * window, axis=1).T) ** 2


def noise(n_fft, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (LANES, n_fft)).astype(np.float32)


def check(power, expected, bins=slice(None)):
    assert power.dtype == np.float32
    assert power.shape == expected.shape
    # Rounded once: 6e-8. The float64 transform's own error is a few 1e-16 of the frame's amplitude.
    error = 5e-16 * np.sqrt(expected.sum(axis=0, keepdims=True))
    tolerance = 6.1e-8 * expected + 2 * error * np.sqrt(expected) + error ** 2
    assert (np.abs(power - expected) <= tolerance)[bins].all()


@pytest.mark.parametrize("n_fft", LENGTHS)
def test_an_impulse_has_a_flat_spectrum(n_fft):
    frames = np.zeros((LANES, n_fft), np.float32)
    at = np.random.default_rng(0).integers(0, n_fft, LANES)
    frames[np.arange(LANES), at] = np.arange(1, LANES + 1)
    power = power_of(frames, np.ones(n_fft))
    np.testing.assert_allclose(power, np.tile(np.arange(1, LANES + 1) ** 2, (len(power), 1)))


@pytest.mark.parametrize("n_fft", LENGTHS)
def test_a_cosine_is_in_its_bin_alone(n_fft):
    k = np.append(np.random.default_rng(1).integers(1, n_fft // 2, LANES - 2), [0, n_fft // 2])
    phase = np.outer(k, np.arange(n_fft)) % n_fft
    power = power_of(np.cos(2 * np.pi * phase / n_fft).astype(np.float32), np.ones(n_fft))
    amplitude = np.where((k == 0) | (k == n_fft // 2), n_fft, n_fft / 2)
    np.testing.assert_allclose(power[k, np.arange(LANES)], amplitude ** 2, rtol=1e-6)
    power[k, np.arange(LANES)] = 0
    # What is left is the rounding of the samples.
    assert power.max() < 1e-12 * n_fft ** 2


@pytest.mark.parametrize("n_fft", LENGTHS)
def test_noise_has_the_spectra_that_numpy_finds(n_fft):
    frames, window = noise(n_fft), hann_window(n_fft)
    check(power_of(frames, window), exact(frames, window))


@settings(max_examples=60, deadline=None)
@given(
    n_fft=st.sampled_from(POWERS_OF_TWO[:5] + MIXED[:12]), first=st.integers(0, 9),
    seed=st.integers(0, 99),
    quiet=st.floats(1e-6, 1),
)
def test_a_lane_does_not_depend_on_the_others(n_fft, first, seed, quiet):
    frames, window = noise(n_fft, seed), hann_window(n_fft)
    frames[::2] *= np.float32(quiet)
    power = power_of(frames, window, first)
    check(power, exact(frames, window))
    lane = seed % LANES
    others = noise(n_fft, seed + 1)
    others[lane] = frames[lane]
    np.testing.assert_array_equal(power_of(others, window)[:, lane], power[:, lane])
    turned = np.roll(frames, 1, axis=0)
    np.testing.assert_array_equal(power_of(turned, window), np.roll(power, 1, axis=1))


def test_a_bin_far_below_the_loudest_is_as_exact():
    """Where a float32 transform leaves the rounding of the loudest."""
    n_fft, window = 2048, hann_window(2048)
    tone = np.cos(2 * np.pi * 1019 * np.arange(n_fft) / n_fft + 0.5).astype(np.float32)
    frames = np.tile(tone, (LANES, 1))
    expected = exact(frames, window)
    far = slice(1, 900)
    assert expected[far].max() < 1e-12 * expected.max()
    check(power_of(frames, window), expected, far)
    float32 = np.abs(scipy.fft.rfft(frames * window.astype(np.float32)).T) ** 2
    assert np.abs(float32 - expected)[far].max() > expected[far].max()


def smooth(n):
    for prime in (2, 3, 5, 7):
        while n % prime == 0:
            n //= prime
    return n == 1


def test_lengths_without_large_prime_factors_are_supported():
    supported = [n for n in range(2, 20_000) if is_supported(n)]
    assert supported == [n for n in range(512, 20_000, 2) if smooth(n) and n != 686]
    assert SHORTEST == 512
    assert all(is_supported(n) for n in LENGTHS)
    with pytest.raises(ValueError, match="n_fft is 1102"):
        make_transform(np.ones(1102))


@settings(max_examples=60, deadline=None)
@given(
    n_fft=st.sampled_from([n for n in range(512, 6000) if is_supported(n)]),
    seed=st.integers(0, 99),
)
def test_any_supported_length_has_the_spectra_that_numpy_finds(n_fft, seed):
    frames, window = noise(n_fft, seed), hann_window(n_fft)
    check(power_of(frames, window), exact(frames, window))


@pytest.mark.parametrize("n_fft", MIXED)
def test_a_constant_is_in_bin_0_alone(n_fft):
    power = power_of(np.ones((LANES, n_fft), np.float32), np.ones(n_fft))
    np.testing.assert_allclose(power[0], n_fft ** 2, rtol=1e-7)
    assert power[1:].max() < (1e-15 * n_fft) ** 2 * n_fft


@pytest.mark.parametrize("n", [4, 5, 6, 12, 15, 16, 20, 24, 25, 32, 40, 49, 56, 60, 64, 105, 128])
def test_factors_of_a_transform(n):
    radices = factorize(n)
    if n in (4, 5):
        assert radices == []
        return
    assert np.prod(radices) == n
    if n % 4 == 0:
        assert radices[-1] in (4, 8)


def test_lengths_with_large_prime_factors_have_no_passes():
    assert factorize(22) == factorize(13 * 16) == []
