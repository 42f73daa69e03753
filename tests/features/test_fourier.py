"""Power spectra against NumPy's FFT, by each library that may be there."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.fft
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import fourier
from features.logmel import LogMel
from features.spectral import hann_window

FFTW = pytest.param("fftw", marks=pytest.mark.skipif(
    importlib.util.find_spec("pyfftw") is None, reason="pyfftw is not installed"
))


def use(monkeypatch, library):
    if library == "scipy":
        monkeypatch.setattr(fourier, "_fftw", lambda: None)
    else:
        assert fourier._fftw() is not None


@pytest.fixture(params=["scipy", FFTW])
def library(request, monkeypatch):
    use(monkeypatch, request.param)
    return request.param


def exact(frames, window):
    return np.abs(np.fft.rfft(frames.astype(np.float64) * window, axis=1).T) ** 2


def noise(b, n_fft, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (b, n_fft)).astype(np.float32)


def check(power, expected, bins=slice(None)):
    assert power.dtype == np.float32
    assert power.shape == expected.shape
    # Each part is rounded, squared and rounded, then added: 4 roundings of 6e-8. The float64
    # transform's own error is a few 1e-16 of the frame's amplitude.
    noise = 5e-16 * np.sqrt(expected.sum(axis=0, keepdims=True))
    tolerance = 2.5e-7 * expected + 2 * noise * np.sqrt(expected) + noise ** 2
    assert (np.abs(power - expected) <= tolerance)[bins].all()


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n_fft=st.integers(2, 5000), rows=st.integers(1, 100), seed=st.integers(0, 9))
def test_of_any_length_and_number(library, n_fft, rows, seed):
    rows = min(rows, fourier.rows_a_block(n_fft))
    frames, window = noise(rows, n_fft, seed), hann_window(n_fft)
    check(fourier.power_spectrum(frames, window), exact(frames, window))


def test_a_full_block_then_a_short_one(library):
    """What the first one left in a buffer shows neither in the second one nor through it."""
    window, rows = hann_window(2048), fourier.rows_a_block(2048)
    first, second = noise(rows, 2048, 1), noise(3, 2048, 2)
    power = fourier.power_spectrum(first, window)
    before = power.copy()
    check(fourier.power_spectrum(second, window), exact(second, window))
    np.testing.assert_array_equal(power, before)


def test_frames_may_overlap_and_are_left_as_they_are(library):
    y = np.random.default_rng(0).uniform(-1, 1, 9000).astype(np.float32)
    before = y.copy()
    frames = np.lib.stride_tricks.sliding_window_view(y, 2048)[::512]
    window = hann_window(2048)
    check(fourier.power_spectrum(frames, window), exact(frames, window))
    np.testing.assert_array_equal(y, before)


def test_a_bin_far_below_the_loudest_is_as_exact(library):
    """Where a float32 transform leaves the rounding of the loudest."""
    n_fft, window = 2048, hann_window(2048)
    frames = np.cos(2 * np.pi * 1019 * np.arange(n_fft) / n_fft + 0.5).astype(np.float32)[None]
    expected = exact(frames, window)
    far = slice(1, 900)
    assert expected[far].max() < 1e-12 * expected.max()
    check(fourier.power_spectrum(frames, window), expected, far)
    float32 = np.abs(scipy.fft.rfft(frames * window.astype(np.float32)).T) ** 2
    assert np.abs(float32 - expected)[far].max() > expected[far].max()


def test_threads_do_not_share_a_buffer(library):
    window = hann_window(1024)
    clips = [noise(20, 1024, seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda frames: fourier.power_spectrum(frames, window), clips))
    for power, frames in zip(got, clips, strict=True):
        check(power, exact(frames, window))


def test_very_long_frames_are_transformed_one_at_a_time(library):
    assert fourier.rows_a_block(1 << 20) == 1
    frames, window = noise(1, 1 << 17), hann_window(1 << 17)
    check(fourier.power_spectrum(frames, window), exact(frames, window))


@pytest.mark.skipif(importlib.util.find_spec("pyfftw") is None, reason="pyfftw is not installed")
def test_the_libraries_agree_but_for_the_last_place_of_a_few_values(monkeypatch):
    rng, feature = np.random.default_rng(0), LogMel()
    y = rng.standard_normal(20 * feature.sr) * np.exp(-np.linspace(0, 9, 20 * feature.sr))
    frames = []
    for each in ("fftw", "scipy"):
        with monkeypatch.context() as patch:
            use(patch, each)
            frames.append(feature(y))
    differing = frames[0] != frames[1]
    assert np.abs(frames[0] - frames[1]).max() < 2e-5  # two units in the last place at -100 dB
    assert differing.mean() < 1 / 500
