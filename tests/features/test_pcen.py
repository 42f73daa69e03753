"""PCEN against a constant level, and against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from features.base import check_feature
from features.pcen import Pcen, _PcenStream


def normalized(power, **settings):
    """The stream alone, over mel power that is given."""
    feature = Pcen(n_mels=power.shape[1], scale=1.0, **settings)
    return _PcenStream(feature).push(power.astype(np.float32), last=True)


def test_of_a_constant_power_of_one_nothing_moves():
    # The filter begins as if the power had been 1 for ever: S = M = 1, so with eps = 1e-6
    # (1 / (1 + 1e-6)^0.98 + 2)^0.5 - 2^0.5.
    expected = (1 / (1 + 1e-6) ** 0.98 + 2) ** 0.5 - 2 ** 0.5
    np.testing.assert_allclose(normalized(np.ones((50, 3))), expected, rtol=1e-6)


def test_a_full_gain_divides_any_level_out():
    level = normalized(np.full((4000, 1), 7e5), gain=1.0)
    np.testing.assert_allclose(level[-1], 3 ** 0.5 - 2 ** 0.5, rtol=1e-4)


def test_silence_is_zero():
    np.testing.assert_array_equal(normalized(np.zeros((9, 2))), 0)


@pytest.mark.parametrize("settings", [
    {}, {"gain": 0.8, "bias": 10.0, "power": 0.25}, {"bias": 0.0}, {"power": 0.0},
    {"time_constant": 0.06},
])
def test_the_numbers_are_librosas(settings):
    y = np.random.default_rng(0).standard_normal(44100).astype(np.float32) * 0.1
    config = {"sr": 44100, "n_fft": 2048, "hop_length": 512}
    power = librosa.feature.melspectrogram(y=y.astype(np.float64), n_mels=64, **config)
    expected = librosa.pcen(power * 2.0 ** 31, sr=44100, hop_length=512, **settings).T
    np.testing.assert_allclose(Pcen(n_mels=64, **config, **settings)(y), expected, rtol=1e-4,
                               atol=1e-5)


@pytest.mark.parametrize("feature", [
    Pcen(), Pcen(n_mels=40, n_fft=1024, hop_length=320, sr=32000), Pcen(bias=0.0), Pcen(power=0.0),
])
def test_the_declaration_is_sound(feature):
    check_feature(feature)


def test_settings_that_are_refused():
    with pytest.raises(ValueError, match="pcen: eps is 0: needs a number, above 0"):
        Pcen(eps=0)
