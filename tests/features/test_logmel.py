"""Log-mel frames whose values follow from theory: sines, impulses, noise, silence."""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.logmel import LogMel
from features.signal.mel_filters import mel_filters

# float32's logarithm near -100 dB: 23 nepers have a spacing of 2e-6, which is 8e-6 dB.
ROUNDING_DB = 2e-5


def filters_of(f):
    return mel_filters(f.sr, f.n_fft, f.n_mels, f.fmin, f.sr / 2 if f.fmax is None else f.fmax)


def inner(f, n_samples):
    """The frames that see no padding."""
    edge = -(-f.n_fft // 2 // f.hop_length)
    return slice(edge, (n_samples - f.n_fft // 2) // f.hop_length)


@pytest.mark.parametrize("band", [3, 10, 40, 64, 100, 127])
def test_a_sine_is_loudest_in_the_band_whose_filter_peaks_at_it(band):
    f = LogMel()
    hz = filters_of(f)[band].argmax() * f.sr / f.n_fft
    frames = f(0.5 * np.sin(2 * np.pi * hz * np.arange(f.sr) / f.sr))
    assert (frames[inner(f, f.sr)].argmax(axis=1) == band).all()


@pytest.mark.parametrize("amplitude", [1.0, 0.01])
@pytest.mark.parametrize("k", [8, 93, 512, 1000])
def test_a_sine_has_the_power_that_the_window_gives_it(k, amplitude):
    f = LogMel()
    frames = f(amplitude * np.cos(2 * np.pi * k * np.arange(f.sr) / f.n_fft + 0.3))
    # In the middle of bin k, a periodic Hann window turns amplitude a into |X| = a n / 4 there
    # and a n / 8 in both neighbours, and nothing elsewhere.
    bins = np.zeros(1 + f.n_fft // 2)
    bins[k - 1:k + 2] = (amplitude * f.n_fft / np.array([8, 4, 8])) ** 2
    power = filters_of(f) @ bins
    expected = 10 * np.log10(np.maximum(power, power.max() * 1e-8))
    np.testing.assert_allclose(
        frames[inner(f, f.sr)], np.broadcast_to(expected, frames[inner(f, f.sr)].shape), atol=1e-3
    )


@pytest.mark.parametrize("n_fft", [2048, 2047, 1024])
def test_an_impulse_has_a_flat_spectrum(n_fft):
    f, amplitude = LogMel(n_fft=n_fft, n_mels=64), 0.25
    y = np.zeros(5 * f.hop_length)
    y[2 * f.hop_length] = amplitude
    # Frame 2 has the impulse at sample n_fft // 2 of its window; all bins hold its square there.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (n_fft // 2) / n_fft)
    expected = 10 * np.log10((amplitude * window) ** 2 * filters_of(f).sum(axis=1))
    np.testing.assert_allclose(f(y)[2], expected, atol=1e-4)


def test_white_noise_has_the_power_that_the_window_gives_it():
    f, sigma = LogMel(n_mels=40), 0.1
    y = sigma * np.random.default_rng(0).standard_normal(60 * f.sr)
    power = 10 ** (f(y)[inner(f, len(y))].astype(np.float64) / 10)
    # E|X|² is sigma² times the sum of the squared window, which is 3 n / 8 for Hann's.
    expected = sigma ** 2 * 3 * f.n_fft / 8 * filters_of(f).sum(axis=1)
    # 5000 frames, each overlapping the next by three quarters, and 2 bins in the narrowest band:
    # a standard error of about 2 %.
    np.testing.assert_allclose(power.mean(axis=0), expected, rtol=0.08)
    assert power.mean() == pytest.approx(expected.mean(), rel=0.01)


@pytest.mark.parametrize("top_db", [80.0, 40.0, None])
def test_digital_silence_is_minus_100_db_whatever_top_db_is(top_db):
    # A clip's maximum is -100 dB then, and a floor below that clips nothing.
    frames = LogMel(top_db=top_db)(np.zeros(10_000))
    np.testing.assert_allclose(frames, -100, atol=ROUNDING_DB)


@pytest.mark.parametrize("top_db", [80.0, 40.0, None])
def test_silence_beside_sound_lies_top_db_below_the_loudest_band(top_db):
    f = LogMel(top_db=top_db)
    y = np.zeros(f.sr)
    y[:f.sr // 2] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(f.sr // 2) / f.sr)
    frames = f(y)
    expected = -100 if top_db is None else frames.max() - top_db
    np.testing.assert_allclose(frames[-30:], expected, atol=ROUNDING_DB)
    assert frames.min() >= expected - ROUNDING_DB


def test_a_quiet_clip_is_never_below_minus_100_db():
    f = LogMel(top_db=80.0)
    frames = f(1e-5 * np.sin(2 * np.pi * 440 * np.arange(f.sr) / f.sr))
    assert -80 < frames.max() < -20  # less than top_db above the floor of power
    assert frames.min() == pytest.approx(-100, abs=ROUNDING_DB)


@pytest.mark.parametrize("db", [-20.0, -6.0, 20.0])
def test_a_gain_is_a_shift(db):
    y = 0.05 * np.random.default_rng(1).standard_normal(20_000)
    f = LogMel(n_mels=40)
    np.testing.assert_allclose(f(y * 10 ** (db / 20)), f(y) + db, atol=1e-4)


def test_a_delay_of_one_hop_is_a_delay_of_one_frame():
    f = LogMel()
    y = np.random.default_rng(2).standard_normal(30_000)
    later = f(np.concatenate([np.zeros(f.hop_length), y]))
    np.testing.assert_allclose(later[4:50], f(y)[3:49], atol=1e-4)


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 20_000), n_fft=st.integers(64, 3000), hop=st.integers(1, 3000),
    near=st.sampled_from((None, -1, 0, 1)), data=st.data(),
)
def test_the_frame_law(n, n_fft, hop, near, data):
    hop = min(hop, n_fft)
    if near is not None:
        # Where a frame is gained or lost: at multiples of the hop, and at the FFT's length.
        n = max(1, data.draw(st.sampled_from((hop, 2 * hop, 5 * hop, n_fft, 3 * n_fft))) + near)
    if n // hop > 2000:
        hop = n_fft
    f = LogMel(sr=16000, n_fft=n_fft, hop_length=hop, n_mels=2)
    y = np.zeros(n, np.float32)
    frames = f(y)
    assert frames.shape == (f.n_frames(n), f.width)
    assert frames.dtype == np.float32
    if n_fft % 2 == 0:
        assert len(frames) == 1 + n // hop
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=.* is too large")
        assert len(frames) == librosa.stft(y, n_fft=n_fft, hop_length=hop).shape[1]


def test_odd_and_short_clips_have_at_least_one_frame():
    for n_fft in (64, 65, 2048, 2047):
        assert LogMel(n_fft=n_fft, hop_length=n_fft, n_mels=1)(np.ones(1)).shape == (1, 1)


def test_equal_settings_share_one_spectrogram():
    assert LogMel(fmax=22050.0).front_end == LogMel(fmax=None).front_end
    assert LogMel(top_db=80).front_end == LogMel(top_db=80.0).front_end
    assert LogMel(n_mels=64).front_end != LogMel().front_end
