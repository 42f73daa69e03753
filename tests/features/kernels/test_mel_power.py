"""Mel power out of samples, by compiled loops and by SciPy, against the definition."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.kernels.mel_power import SimdMelPower, make_bands, make_plan
from features.kernels.reference import ReferenceMelPower
from features.logmel import LogMel
from features.signal.mel_filters import mel_filters
from features.signal.melspectrogram import hann_window


def expected_power(samples, start, n_frames, window, hop, filters):
    """Frame by frame, in float64."""
    padded = np.concatenate([np.zeros(20_000), samples, np.zeros(20_000)])
    frames = np.stack([
        padded[20_000 + start + t * hop:][:len(window)] for t in range(n_frames)
    ])
    return np.abs(np.fft.rfft(frames * window)) ** 2 @ filters.T.astype(np.float64)


@st.composite
def cases(draw, lengths=(512, 1024, 2048, 560, 1000, 1280, 1764, 1920, 2560)):
    n_fft = draw(lengths if isinstance(lengths, st.SearchStrategy) else st.sampled_from(lengths))
    hop = draw(st.integers(1, n_fft) | st.sampled_from((1, n_fft // 4, n_fft // 2, n_fft)))
    n = draw(st.integers(0, 9000))
    start = draw(st.integers(-n_fft, n))
    n_frames = draw(st.integers(1, min(50, 1 + 15_000 // hop)))
    y = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(n).astype(np.float32)
    return n_fft, hop, y, start, n_frames


def check(power, expected):
    assert power.dtype == np.float32
    # Where nothing but zeros falls into a frame, zero; elsewhere within float32's rounding.
    np.testing.assert_allclose(power, expected, rtol=5e-7, atol=1e-25)


@settings(max_examples=150, deadline=None)
@given(case=cases(), sr=st.sampled_from((8000, 44100)), n_mels=st.integers(1, 40))
def test_compiled_loops_follow_the_definition(case, sr, n_mels):
    n_fft, hop, y, start, n_frames = case
    window, filters = hann_window(n_fft), mel_filters(sr, n_fft, n_mels, 0.0, sr / 2)
    power = SimdMelPower(make_plan(window, hop, filters))(y, start, n_frames)
    check(power, expected_power(y, start, n_frames, window, hop, filters))


@settings(max_examples=80, deadline=None)
@given(case=cases(lengths=st.integers(64, 3000)))
def test_scipy_follows_the_definition(case):
    n_fft, hop, y, start, n_frames = case
    window, filters = hann_window(n_fft), mel_filters(44100, n_fft, 5, 0.0, 22050.0)
    power = ReferenceMelPower(window, hop, filters)(y, start, n_frames)
    check(power, expected_power(y, start, n_frames, window, hop, filters))


@given(
    sr=st.sampled_from((8000, 22050, 44100)), n_fft=st.sampled_from((512, 1000, 2048)),
    n_mels=st.integers(1, 60), low=st.floats(0, 0.8), high=st.floats(0.2, 1),
)
def test_bands_are_the_filters_without_their_zeros(sr, n_fft, n_mels, low, high):
    fmin, fmax = low * sr / 2, max(high, low + 0.15) * sr / 2
    try:
        filters = mel_filters(sr, n_fft, n_mels, fmin, min(fmax, sr / 2))
    except ValueError:  # too narrow for a bin
        return
    bands = make_bands(filters)
    again, start = np.zeros(filters.shape), bands.first[0]
    for b in range(n_mels):
        for k in range(bands.first[b], bands.first[b + 1]):
            again[b, k] += bands.rising[k - start]
            if b:
                again[b - 1, k] += bands.falling[k - start]
    np.testing.assert_array_equal(again, filters)
    assert len(bands.rising) == len(bands.falling) == bands.first[-1] - start


def test_a_call_leaves_nothing_behind():
    window, filters = hann_window(1024), mel_filters(44100, 1024, 20, 0.0, 22050.0)
    power = SimdMelPower(make_plan(window, 300, filters))
    y = np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    first = power(y, -512, 90)
    power(np.full(9000, 1e9, np.float32), 0, 20)
    np.testing.assert_array_equal(power(y, -512, 90), first)
    # Each frame is its own, whichever lane it falls into.
    for t in range(1, 9):
        np.testing.assert_array_equal(power(y, -512 + 300 * t, 9), first[t:t + 9])


def test_samples_may_lie_apart():
    window, filters = hann_window(512), mel_filters(44100, 512, 20, 0.0, 22050.0)
    power = SimdMelPower(make_plan(window, 128, filters))
    y = np.random.default_rng(0).standard_normal((4000, 2)).astype(np.float32)
    np.testing.assert_array_equal(power(y[:, 1], 0, 20), power(y[:, 1].copy(), 0, 20))


@pytest.mark.parametrize("n_fft", [1024, 1000, 1001])
def test_threads_share_nothing(n_fft):
    feature = LogMel(n_fft=n_fft, n_mels=40)
    clips = [np.random.default_rng(i).standard_normal(20_000).astype(np.float32) for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        for got, y in zip(pool.map(feature, clips), clips, strict=True):
            np.testing.assert_array_equal(got, feature(y))


@pytest.mark.parametrize("n_fft", [1 << 17, 1 << 20])
def test_very_long_frames_fit_into_little_memory(n_fft):
    window, filters = hann_window(n_fft), mel_filters(44100, n_fft, 64, 0.0, 22050.0)
    y = np.random.default_rng(0).standard_normal(n_fft + 99).astype(np.float32)
    power = SimdMelPower(make_plan(window, n_fft, filters))(y, 7, 1)
    exact = np.abs(np.fft.rfft(y[7:7 + n_fft] * window)) ** 2 @ filters.T.astype(np.float64)
    np.testing.assert_allclose(power[0], exact, rtol=5e-7)


@pytest.mark.parametrize("n_fft", [1102, 2048, 2205])
def test_reference_frames_do_not_depend_on_their_block(n_fft):
    window, filters = hann_window(n_fft), mel_filters(44100, n_fft, 40, 0.0, 22050.0)
    power = ReferenceMelPower(window, 300, filters)
    y = np.random.default_rng(0).standard_normal(60_000).astype(np.float32)
    together = power(y, -500, 190)
    for first, n in ((0, 1), (1, 2), (63, 2), (5, 101)):
        np.testing.assert_array_equal(
            power(y, -500 + 300 * first, n), together[first:first + n]
        )


@pytest.mark.parametrize(("n_fft", "hop"), [(1280, 347), (1764, 882), (1920, 480), (2560, 690)])
def test_kernel_and_reference_agree(n_fft, hop):
    window, filters = hann_window(n_fft), mel_filters(44100, n_fft, 64, 0.0, 22050.0)
    y = np.random.default_rng(0).standard_normal(60_000).astype(np.float32)
    kernel = SimdMelPower(make_plan(window, hop, filters))(y, -n_fft // 2, 60)
    reference = ReferenceMelPower(window, hop, filters)(y, -n_fft // 2, 60)
    np.testing.assert_allclose(kernel, reference, rtol=2.5e-7)  # two units in the last place


@pytest.mark.parametrize(("n_fft", "hop", "n_mels"), [
    (512, 441, 40), (1000, 250, 40), (1102, 441, 40), (1280, 347, 64), (1764, 882, 128),
    (1920, 480, 128), (2205, 441, 128), (2560, 347, 128), (2560, 690, 128), (4410, 1000, 128),
])
def test_decibels_are_those_of_librosa(n_fft, hop, n_mels):
    rng = np.random.default_rng(n_fft)
    t = np.arange(60_000) / 44100
    y = (np.sin(2 * np.pi * 440 * t) * np.exp(-5 * t)).astype(np.float32)
    y += rng.standard_normal(len(y)).astype(np.float32) * np.float32(1e-3)
    power = librosa.feature.melspectrogram(
        y=y, sr=44100, n_fft=n_fft, hop_length=hop, n_mels=n_mels
    )
    feature = LogMel(sr=44100, n_fft=n_fft, hop_length=hop, n_mels=n_mels)
    np.testing.assert_allclose(feature(y), librosa.power_to_db(power).T, rtol=0, atol=1e-3)
