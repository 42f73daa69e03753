"""The waveform feature passes samples through."""

from __future__ import annotations

import numpy as np
import pytest

from features.waveform import Waveform


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_samples_are_the_frames(dtype):
    y = np.linspace(-1, 1, 1001).astype(dtype)
    frames = Waveform(sr=16000)(y)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, y.astype(np.float32))


@pytest.mark.parametrize("n", [1, 2, 44100])
def test_as_many_frames_as_samples(n):
    feature = Waveform()
    assert feature.n_frames(n) == n == len(feature(np.zeros(n, np.float32)))


def test_a_frame_is_one_sample_and_not_a_vector():
    assert Waveform().width == 0
    assert Waveform()(np.ones(5, np.float32)).ndim == 1
