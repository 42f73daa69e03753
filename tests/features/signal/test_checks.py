"""Audio and settings that an extractor refuses, and what it says of them."""

from __future__ import annotations

import numpy as np
import pytest

from features.logmel import LogMel
from features.mfcc import Mfcc
from features.signal.checks import check_audio
from features.waveform import Waveform

FEATURES = [Waveform(), LogMel(), Mfcc()]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.kind)
@pytest.mark.parametrize(("y", "message"), [
    (np.zeros((2, 100), np.float32), r"shape \(2, 100\); it must be .* mono: average"),
    (np.zeros((2, 3, 4), np.float32), r"shape \(2, 3, 4\); it must be one-dimensional, mono$"),
    (np.float32(0), r"shape \(\); it must be one-dimensional"),
    (np.zeros(100, np.int16), "dtype int16; it must be floating point with full scale at 1.0"),
    (np.zeros(100, complex), "dtype complex128; it must be floating point"),
    (np.zeros(0, np.float32), "empty; a clip needs at least one sample"),
    (np.array([0, np.nan], np.float32), "not finite"),
    (np.array([-np.inf, 0], np.float32), "not finite"),
    (np.array([0, -1e17], np.float32), r"a peak of 1e\+17, where full scale is 1\.0"),
    (np.array([1e300, 0]), r"a peak of 1e\+300"),
])
def test_audio_that_is_refused(feature, y, message):
    with pytest.raises(ValueError, match=message):
        feature(y)


@pytest.mark.parametrize("n_fft", [512, 1000, 1 << 18])
def test_the_loudest_audio_is_not_taken_for_silence(n_fft):
    feature = LogMel(n_fft=n_fft, n_mels=20)
    y = np.full(5000, 1e12, np.float32)
    quiet = feature(y / np.float32(1e12))
    np.testing.assert_allclose(feature(y).max(), quiet.max() + 240, atol=1e-4)


def test_float32_is_not_copied_and_other_floats_are_rounded():
    y = np.linspace(-1, 1, 99, dtype=np.float32)
    assert check_audio(y) is y
    for dtype in (np.float16, np.float64):
        checked = check_audio(y.astype(dtype))
        assert checked.dtype == np.float32
        np.testing.assert_array_equal(checked, y.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("cls", [LogMel, Mfcc])
@pytest.mark.parametrize(("settings", "message"), [
    ({"sr": 0}, "sr is 0: needs a whole number, at least 1"),
    ({"n_fft": 0}, "n_fft is 0"),
    ({"hop_length": -1}, "hop_length is -1"),
    ({"n_mels": 0}, "n_mels is 0"),
    ({"fmin": -1.0}, "fmin is -1 Hz and fmax 22050 Hz; they must obey 0 <= fmin < fmax <= sr / 2"),
    ({"fmin": 500.0, "fmax": 500.0}, "fmin is 500 Hz and fmax 500 Hz"),
    ({"fmax": 22051.0}, r"fmax 22051 Hz.*sr / 2 = 22050 Hz"),
    ({"fmin": float("nan")}, "fmin is nan: needs a number"),
    ({"hop_length": 2049}, "hop_length is 2049, n_fft 2048: samples between frames would be lost"),
    ({"top_db": 0.0}, r"top_db is 0; it must be positive \(in dB\), or null for none"),
    ({"top_db": -80.0}, "top_db is -80"),
    ({"n_mels": 2 * 10**9}, r"n_mels=2000000000 is too many .* at most two bands each"),
    ({"n_mels": 1000}, r"n_mels=1000 is too many .* of the bands \(the first is band"),
])
def test_settings_that_are_refused(cls, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        cls(**settings)
    assert str(caught.value).startswith(f"{cls.kind}: ")


def test_more_coefficients_than_bands_are_refused():
    with pytest.raises(ValueError, match="mfcc: n_mfcc is 41; it cannot exceed n_mels, 40"):
        Mfcc(n_mels=40, n_mfcc=41)
    assert Mfcc(n_mels=40, n_mfcc=40).width == 40
    with pytest.raises(ValueError, match="n_mfcc is 0: needs a whole number, at least 1"):
        Mfcc(n_mfcc=0)


def test_all_that_is_wrong_is_listed_at_once():
    with pytest.raises(ValueError, match="logmel: ") as caught:
        LogMel(n_mels=0, hop_length=5000, fmin=-1.0, top_db=-3.0)
    for part in ("n_mels is 0", "hop_length is 5000", "fmin is -1 Hz", "top_db is -3"):
        assert part in str(caught.value)


@pytest.mark.parametrize("settings", [
    {"hop_length": 2048}, {"fmax": 22050.0}, {"top_db": None}, {"n_mels": 1},
])
def test_settings_at_the_edge_are_accepted(settings):
    assert LogMel(**settings).n_frames(44100) > 0
