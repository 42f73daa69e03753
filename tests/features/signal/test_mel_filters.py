"""The mel filters against their definition, and against librosa's, bit for bit."""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.signal.mel_filters import hz_to_mel, mel_filters, mel_to_hz


def reference(sr, n_fft, n_mels, fmin, fmax):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters")
        return librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)


@st.composite
def grids(draw):
    """(sr, n_fft, n_mels, fmin, fmax), of which about half leave no band empty."""
    sr = draw(st.sampled_from((8000, 16000, 22050, 44100, 48000)) | st.integers(1000, 192_000))
    n_fft = draw(st.sampled_from((512, 1024, 2048, 4096)) | st.integers(16, 5000))
    fmin = draw(st.sampled_from((0.0, 20.0, 50.0)) | st.floats(0, 0.2 * sr))
    fmax = draw(st.just(sr / 2) | st.floats(0.3 * sr, 0.5 * sr))
    return sr, n_fft, draw(st.integers(1, max(1, n_fft // 16))), fmin, fmax


def test_mel_of_the_landmarks():
    assert hz_to_mel(0.0) == 0
    assert hz_to_mel(500.0) == pytest.approx(7.5)
    # 1 kHz ends the linear part; 27 steps above it lie a factor 6.4 higher.
    assert hz_to_mel(1000.0) == pytest.approx(15)
    assert hz_to_mel(6400.0) == pytest.approx(42)


@given(st.floats(0, 400_000))
def test_mel_and_back(hz):
    assert mel_to_hz(np.array([hz_to_mel(hz)]))[0] == pytest.approx(hz, rel=1e-12, abs=1e-9)


def test_every_filter_has_the_area_of_one():
    sr, n_fft = 44100, 16384
    filters = mel_filters(sr, n_fft, 40, 300.0, 16000.0)
    # A triangle sampled at 20 points or more: the sum is its integral within 1 %.
    np.testing.assert_allclose(filters.sum(axis=1) * sr / n_fft, 1, rtol=0.01)


def test_a_filter_peaks_in_the_middle_of_its_band():
    sr, n_fft, n_mels = 44100, 16384, 40
    filters = mel_filters(sr, n_fft, n_mels, 0.0, sr / 2)
    centres = mel_to_hz(np.linspace(0, hz_to_mel(sr / 2), n_mels + 2))[1:-1]
    peaks = np.fft.rfftfreq(n_fft, 1 / sr)[filters.argmax(axis=1)]
    assert np.abs(peaks - centres).max() <= sr / n_fft


@settings(max_examples=200, deadline=None)
@example((44100, 2048, 128, 0.0, 22050.0))
@example((16000, 1024, 64, 20.0, 8000.0))
@example((44100, 2047, 128, 0.0, 22050.0))
@given(grids())
def test_equal_to_librosa_bit_for_bit(grid):
    expected = reference(*grid)
    if expected.any(axis=1).all():
        filters = mel_filters(*grid)
        assert filters.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(filters, expected)
    else:
        # librosa warns, and leaves bands that are silent for ever.
        with pytest.raises(ValueError, match="no FFT bin falls into"):
            mel_filters(*grid)


def test_empty_bands_are_counted_and_the_first_is_named():
    empty = np.flatnonzero(~reference(44100, 512, 128, 0.0, 22050.0).any(axis=1))
    assert len(empty) > 1
    with pytest.raises(ValueError, match=r"n_mels=128.*n_fft=512 at 44100 Hz") as caught:
        mel_filters(44100, 512, 128, 0.0, 22050.0)
    assert f"{len(empty)} of the bands (the first is band {empty[0]}, " in str(caught.value)
    # The range that is named holds no FFT bin.
    first, last = librosa.mel_frequencies(130, fmax=22050.0)[[empty[0], empty[0] + 2]]
    assert f"{first:.0f} to {last:.0f} Hz" in str(caught.value)
    bins = np.fft.rfftfreq(512, 1 / 44100)
    assert not ((bins > first) & (bins < last)).any()


def test_the_shared_array_cannot_be_written_to():
    filters = mel_filters(44100, 2048, 128, 0.0, 22050.0)
    assert filters is mel_filters(44100, 2048, 128, 0.0, 22050.0)
    with pytest.raises(ValueError, match="read-only"):
        filters[0, 0] = 1
