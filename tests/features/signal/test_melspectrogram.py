"""Log-mel frames and MFCC against librosa in float64, on real clips and on contrived audio.

librosa is given the same float32 samples as float64 numbers, so that the reference has no rounding
of its own to speak of.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.fft
import soundfile
from hypothesis import given, settings, target
from hypothesis import strategies as st

from features.kernels.decibels import to_db
from features.logmel import LogMel
from features.mfcc import Mfcc
from features.signal.mel_filters import mel_filters
from features.signal.melspectrogram import Mel, frame_count, hann_window

# What the package promises: in dB for log-mel frames, and for a coefficient.
TOLERANCE = 1e-3
# Two units in the last place of float32 values about -100 dB.
ROUNDING_DB = 2e-5

CLIPS = sorted((Path(__file__).parents[4] / "shared/data/esc10/audio").glob("*.ogg"))
# Every tenth is fast; all of them are for patient machines.
REAL = [
    pytest.param(path, id=path.stem, marks=[] if i % 10 == 0 else pytest.mark.slow)
    for i, path in enumerate(CLIPS)
]

CONFIGS = [
    {"sr": 44100, "n_fft": 2048, "hop_length": 512, "n_mels": 128},
    {"sr": 16000, "n_fft": 512, "hop_length": 160, "n_mels": 40},
    {"sr": 22050, "n_fft": 1103, "hop_length": 400, "n_mels": 64, "fmin": 50.0, "fmax": 9000.0},
]


def reference(y, top_db=80.0, **config):
    """librosa's log-mel frames, in float64. [shape=(n_frames, n_mels)]"""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=.* is too large")
        power = librosa.feature.melspectrogram(y=y.astype(np.float64), **config)
    return librosa.power_to_db(power, top_db=top_db).T


def off(frames, expected):
    """The largest difference."""
    assert frames.shape == expected.shape
    return float(np.abs(frames - expected).max())


def level(db):
    return 10 ** (db / 20)


@st.composite
def tones(draw, n, sr):
    """A sum of tones down to -110 dB, some of them exactly where an FFT's rounding shows."""
    y, t = np.zeros(n), np.arange(n)
    step = sr / 2048
    hz = st.floats(0, sr / 2) | st.integers(1, 1023).map(lambda k: k * step)
    frequencies = draw(st.lists(hz, min_size=1, max_size=6))
    for f in frequencies[:2]:
        image = st.sampled_from((sr / 2 - f, abs(sr / 4 - f), (f + sr / 4) % (sr / 2), f / 2))
        frequencies += draw(st.lists(image, max_size=2))
    for i, f in enumerate(frequencies):
        db = 0 if i == 0 else draw(st.floats(-110, 0))
        y += level(db) * np.cos(2 * np.pi * f / sr * t + draw(st.floats(0, 6.3)))
    return y


@st.composite
def audio(draw, sr, max_samples=60_000):
    """Audio of one to three parts, of any length, its peak from 1e-4 to 10."""
    n = draw(st.integers(1, 3000) | st.integers(1, max_samples))
    t, y = np.arange(n), np.zeros(n)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(
            ("tones", "noise", "chirp", "impulses", "dc", "step", "sample", "square", "hum", "mute")
        ))
        if kind == "tones":
            part = draw(tones(n, sr))
        elif kind == "noise":
            part = rng.standard_normal(n)
        elif kind == "chirp":
            first, last = draw(st.floats(0, sr / 2)), draw(st.floats(0, sr / 2))
            part = np.sin(2 * np.pi / sr * (first * t + (last - first) * t**2 / (2 * n)))
        elif kind == "impulses":
            part = (rng.random(n) < draw(st.sampled_from((1e-4, 1e-3, 1e-2)))).astype(float)
        elif kind == "dc":
            part = np.ones(n)
        elif kind == "step":
            part = (t >= draw(st.integers(0, n - 1))).astype(float)
        elif kind == "sample":
            part = (t == draw(st.integers(0, n - 1))).astype(float)
        elif kind == "square":
            part = np.where(t // draw(st.integers(1, 400)) % 2, -1.0, 1.0)
        elif kind == "hum":  # rumble far louder than everything above it
            part = np.cumsum(rng.standard_normal(n))
        else:
            part = np.zeros(n)
            y *= t < draw(st.integers(0, n - 1))
        y += level(draw(st.floats(-110, 0))) * part / max(np.abs(part).max(), 1e-30)
    if draw(st.booleans()):
        y *= np.exp(-t / n * draw(st.floats(0, 25)))  # a decay through every level
    peak = 10 ** draw(st.floats(-4, 1))
    return (peak * y / max(np.abs(y).max(), 1e-30)).astype(np.float32)


@st.composite
def cases(draw):
    config = draw(st.sampled_from(CONFIGS))
    return config, draw(audio(config["sr"]))


@pytest.mark.parametrize("path", REAL)
def test_real_clips_agree_with_librosa(path):
    y, sr = soundfile.read(path, dtype="float32")
    config = {"n_fft": 2048, "hop_length": 512, "n_mels": 128}
    assert off(LogMel(sr=sr, **config)(y), reference(y, sr=sr, **config)) < TOLERANCE
    expected = librosa.feature.mfcc(y=y.astype(np.float64), sr=sr, n_mfcc=40, **config).T
    assert off(Mfcc(sr=sr, n_mfcc=40, **config)(y), expected) < TOLERANCE


def check(case, top_db):
    config, y = case
    expected = reference(y, top_db, **config)
    error = off(LogMel(top_db=top_db, **config)(y), expected)
    n_mfcc = config["n_mels"] // 3
    cepstrum = librosa.feature.mfcc(S=expected.T, n_mfcc=n_mfcc).T
    mfcc_error = off(Mfcc(top_db=top_db, n_mfcc=n_mfcc, **config)(y), cepstrum)
    # Hypothesis climbs towards the worst case.
    target(max(error, mfcc_error))
    assert error < TOLERANCE
    assert mfcc_error < TOLERANCE


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_contrived_audio_agrees_with_librosa(case):
    check(case, top_db=80.0)


@settings(max_examples=100, deadline=None)
@given(case=cases(), top_db=st.sampled_from((None, 1.0, 40.0, 120.0, 200.0)))
def test_contrived_audio_agrees_with_librosa_at_any_top_db(case, top_db):
    check(case, top_db)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(case=cases(), top_db=st.sampled_from((80.0, None, 40.0, 120.0)))
def test_much_contrived_audio_agrees_with_librosa(case, top_db):
    check(case, top_db)


def one_frame_each(feature, clips):
    """(the feature's frame of each clip, the same in float64, the same in float32 throughout).

    Each clip is as long as a frame and its own maximum: its middle one of three frames is it.
    """
    window = hann_window(feature.n_fft)
    filters = mel_filters(feature.sr, feature.n_fft, feature.n_mels, 0.0, feature.sr / 2)
    half = np.zeros(feature.n_fft // 2, np.float32)
    got = np.stack([feature(np.concatenate([half, clip, half]))[1] for clip in clips])
    exact, float32 = (
        10 * np.log10(np.abs(scipy.fft.rfft(clips * w)) ** 2 @ filters.T + 1e-30)
        for w in (window, window.astype(np.float32))
    )
    floor = exact.max(axis=1, keepdims=True) - 80
    return got, np.maximum(exact, floor), np.maximum(float32, floor)


def tone(n_fft, k, phase):
    """Cosines of `k` cycles a frame. [shape=(len(k), n_fft)]"""
    t = np.arange(n_fft)
    return np.cos(2 * np.pi * k[:, None] * t / n_fft + phase[:, None])


@pytest.mark.parametrize(("n_fft", "n_mels"), [(2048, 128), (1024, 64), (512, 40), (1200, 64)])
def test_a_weak_tone_where_float32_errs_most(n_fft, n_mels):
    m, rng = 600, np.random.default_rng(n_fft)
    feature = LogMel(n_fft=n_fft, hop_length=n_fft, n_mels=n_mels)
    middle = rng.choice([n_fft / 4, n_fft / 2 - 12], m) + rng.uniform(-12, 12, m)
    k = np.where(rng.random(m) < 0.5, middle, rng.integers(1, n_fft // 2, m))
    strong = tone(n_fft, k, rng.uniform(0, 7, m)) * rng.uniform(0.3, 1, (m, 1))
    strong = strong.astype(np.float32)
    exact = scipy.fft.rfft(strong * hann_window(n_fft))
    error = scipy.fft.rfft(strong * hann_window(n_fft).astype(np.float32)) - exact
    energy = np.sum(np.abs(exact) ** 2, axis=1)
    # Narrow bands have little but that one bin to average over.
    peaks = mel_filters(feature.sr, n_fft, n_mels, 0.0, feature.sr / 2).max(axis=0)
    harm = np.abs(error) * np.sqrt(peaks) * (np.abs(exact) ** 2 < 1e-7 * energy[:, None])
    worst = harm[:, 1:-1].argmax(axis=1) + 1
    # In step with the error, or against it.
    phase = np.angle(error[np.arange(m), worst]) + rng.choice([0, np.pi], m)
    weak = level(rng.uniform(-76, -56, m)) * np.sqrt(energy) * 4 / n_fft
    clips = (strong + weak[:, None] * tone(n_fft, worst, phase)).astype(np.float32)

    got, expected, float32 = one_frame_each(feature, clips)
    assert off(float32, expected) > 3 * TOLERANCE  # or this test would show nothing
    assert off(got, expected) < TOLERANCE


def test_a_band_just_above_the_floor_is_not_taken_for_one_below_it():
    n_fft, m, rng = 2048, 300, np.random.default_rng(0)
    feature = LogMel(n_fft=n_fft, hop_length=n_fft)
    filters = mel_filters(feature.sr, n_fft, feature.n_mels, 0.0, feature.sr / 2)
    strong = tone(n_fft, rng.uniform(990, 1020, m), rng.uniform(0, 7, m)).astype(np.float32)
    power = np.abs(scipy.fft.rfft(strong * hann_window(n_fft))) ** 2 @ filters.T
    # 0.015 dB above the floor, where a tone in the middle of bin 4 fills a narrow band.
    floor, weight = power.max(axis=1) * level(-160), np.max(filters[:, 3:6] @ [0.25, 1, 0.25])
    weak = level(0.015) * np.sqrt(floor / weight) * 4 / n_fft
    phase = rng.uniform(0, 7, m)
    clips = (strong + weak[:, None] * tone(n_fft, np.full(m, 4), phase)).astype(np.float32)

    got, expected, float32 = one_frame_each(feature, clips)
    assert off(float32, expected) > 10 * TOLERANCE  # or this test would show nothing
    assert off(got, expected) < TOLERANCE


def in_pieces(feature, y, cuts):
    stream, pieces = feature.front_end.stream(), np.split(y, cuts)
    db = np.concatenate([
        stream.push(p, last=i == len(pieces) - 1) for i, p in enumerate(pieces)
    ])
    return feature.stream(float(db.max())).push(db, last=True)


@settings(max_examples=100, deadline=None)
@given(case=cases(), top_db=st.sampled_from((80.0, None, 40.0)), data=st.data())
def test_how_samples_are_cut_into_pieces_does_not_matter(case, top_db, data):
    config, y = case
    feature = LogMel(top_db=top_db, **config)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(y)), max_size=6)))
    assert off(in_pieces(feature, y, cuts), feature(y)) < ROUNDING_DB


def test_pieces_of_one_sample():
    feature = LogMel(sr=16000, n_fft=128, hop_length=32, n_mels=8)
    y = np.random.default_rng(0).standard_normal(700).astype(np.float32)
    assert off(in_pieces(feature, y, np.arange(1, 700)), feature(y)) < ROUNDING_DB


@pytest.mark.parametrize(("n_samples", "n_fft", "hop_length", "frames"), [
    (1, 2048, 512, 1), (511, 2048, 512, 1), (512, 2048, 512, 2), (2047, 2048, 512, 4),
    (2048, 2048, 512, 5), (44100, 2048, 512, 87), (1, 5, 5, 1), (5, 5, 5, 1), (6, 5, 5, 2),
    (100, 7, 3, 34), (99, 7, 3, 33),
])
def test_frames_counted_by_hand(n_samples, n_fft, hop_length, frames):
    """An even FFT sees as many zeros more as it is long, an odd one one fewer."""
    assert frame_count(n_samples, n_fft=n_fft, hop_length=hop_length) == frames


@given(st.integers(2, 5000))
def test_the_window_is_a_periodic_hann(n_fft):
    window = hann_window(n_fft)
    assert window.dtype == np.float64
    np.testing.assert_allclose(window, librosa.filters.get_window("hann", n_fft), atol=1e-15)
    # Its sum is half its length, exactly so only if it is periodic.
    assert window.sum() == pytest.approx(n_fft / 2)


@given(st.lists(st.floats(0, 2.0**40, width=32), min_size=1))
def test_decibels(power):
    expected = librosa.power_to_db(np.array(power, np.float64), top_db=None)
    array = np.array(power, np.float32)
    db = to_db(array)
    assert db is array  # in place: a clip's largest array is not held twice
    np.testing.assert_allclose(db, expected, atol=3e-5)


def test_decibels_of_powers_of_ten():
    np.testing.assert_allclose(
        to_db(np.array([0, 1e-12, 1e-10, 1e-3, 1, 100], np.float32)),
        [-100, -100, -100, -30, 0, 20], atol=2e-5,
    )


def test_a_spectrogram_counts_its_frames():
    mel = Mel(sr=16000, n_fft=512, hop_length=160, n_mels=40, fmin=0.0, fmax=8000.0)
    assert mel.n_frames(16000) == mel.stream().push(np.zeros(16000, np.float32), last=True).shape[0]
