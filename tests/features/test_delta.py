"""Deltas against ramps and parabolas, and against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from features.base import Map, check_feature
from features.delta import Delta, _DeltaStream
from features.logmel import LogMel
from features.mfcc import Mfcc
from features.waveform import Waveform


def deltas(frames, order=2, n_context=9):
    """The stream alone, over frames that are given."""
    stream = _DeltaStream(Map(lambda y: y), order, n_context)
    return stream.push(np.asarray(frames, np.float32), last=True)


def test_of_a_ramp_the_delta_is_its_slope_and_the_delta_delta_zero():
    ramp = 3.0 * np.arange(40)[:, None] + 5
    static, first, second = deltas(ramp).T
    np.testing.assert_array_equal(static, ramp[:, 0])
    np.testing.assert_allclose(first, 3.0, atol=1e-5)
    np.testing.assert_allclose(second, 0.0, atol=1e-5)


def test_of_a_parabola_the_delta_delta_is_its_curvature():
    t = np.arange(30)[:, None]
    np.testing.assert_allclose(deltas(0.5 * t ** 2)[:, 2], 1.0, atol=1e-4)


@pytest.mark.parametrize("n_context", [3, 5, 9, 21])
@pytest.mark.parametrize("of", [LogMel(n_mels=40), Mfcc(n_mfcc=13)])
def test_the_numbers_are_librosas(of, n_context):
    y = np.random.default_rng(0).standard_normal(44100).astype(np.float32)
    static = of(y)
    frames = Delta(of, n_context=n_context)(y)
    assert frames.shape == (len(static), 3 * of.width)
    np.testing.assert_array_equal(frames[:, :of.width], static)
    for k in (1, 2):
        expected = librosa.feature.delta(static.astype(np.float64), width=n_context, order=k,
                                         axis=0)
        found = frames[:, k * of.width:(k + 1) * of.width]
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("n_frames", [1, 2, 5, 8])
def test_a_clip_shorter_than_the_context_is_continued_by_its_ends(n_frames):
    frames = np.random.default_rng(n_frames).standard_normal((n_frames, 4))
    expected = librosa.feature.delta(frames, width=9, order=1, axis=0, mode="nearest")
    np.testing.assert_allclose(deltas(frames)[:, 4:8], expected, atol=1e-5)


@pytest.mark.parametrize("feature", [
    Delta(LogMel(n_mels=40)), Delta(Mfcc(n_mfcc=13), order=1, n_context=3),
    Delta(LogMel(n_fft=512, hop_length=200, n_mels=20), n_context=21),
])
def test_the_declaration_is_sound(feature):
    check_feature(feature)


def test_settings_that_are_refused():
    with pytest.raises(ValueError, match="n_context is 8: needs an odd number"):
        Delta(n_context=8)
    with pytest.raises(ValueError, match="order is 3: needs a whole number, 1 to 2"):
        Delta(order=3)
    with pytest.raises(ValueError, match="of is of kind waveform: needs a feature of several"):
        Delta(Waveform())
