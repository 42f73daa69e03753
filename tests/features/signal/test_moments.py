"""Moments and their merges against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.signal.moments import Moments, merge, merge_arrays, moments_of


def off_by(moments, frames):
    """The moments hold what NumPy finds, a hundred float64 roundings of the largest value aside."""
    frames = frames.reshape(len(frames), -1)
    spread = max(1e-300, np.abs(frames).max())
    assert moments.count == len(frames)
    assert moments.mean.shape == moments.m2.shape == frames.shape[1:]
    assert moments.mean.dtype == moments.m2.dtype == np.float64
    np.testing.assert_allclose(moments.mean, frames.mean(axis=0), rtol=0, atol=1e-13 * spread)
    np.testing.assert_allclose(moments.variance, frames.var(axis=0), rtol=1e-12,
                               atol=1e-13 * spread**2)
    np.testing.assert_allclose(moments.std ** 2, moments.variance, rtol=1e-12)


@st.composite
def clips(draw):
    """Clips of frames of one width, their level and spread far apart or alike."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.integers(1, 5))
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=8))
    mean, std = draw(st.floats(-900, 900)), draw(st.sampled_from((0.0, 1e-3, 1.0, 50.0)))
    return [mean + std * rng.standard_normal((n, width)) for n in lengths]


@given(clips())
def test_of_one_clip(frames):
    off_by(moments_of(frames[0]), frames[0])


@settings(max_examples=200)
@given(frames=clips(), data=st.data())
def test_merged_over_any_subset_in_any_order(frames, data):
    chosen = data.draw(st.permutations(range(len(frames))))
    chosen = chosen[:data.draw(st.integers(1, len(frames)))]
    merged = merge([moments_of(frames[i]) for i in chosen])
    off_by(merged, np.concatenate([frames[i] for i in chosen]))


@given(frames=clips(), data=st.data())
def test_merges_of_merges(frames, data):
    """A store merges blocks into clips, and training merges clips into folds."""
    at = data.draw(st.integers(1, len(frames)))
    parts = [moments_of(each) for each in frames]
    groups = [merge(group) for group in (parts[:at], parts[at:]) if group]
    off_by(merge(groups), np.concatenate(frames))


def test_frames_far_from_zero_lose_nothing():
    """The textbook's mean of squares minus square of the mean has no digit left here."""
    rng = np.random.default_rng(0)
    frames = 1e8 + rng.standard_normal((1000, 3))
    merged = merge([moments_of(part) for part in np.array_split(frames, 7)])
    np.testing.assert_allclose(merged.variance, frames.var(axis=0), rtol=1e-6)


def test_by_hand():
    moments = moments_of(np.array([[1.0, 10.0], [3.0, 10.0]]))
    assert moments.count == 2
    assert moments.mean.tolist() == [2, 10]
    assert moments.m2.tolist() == [2, 0]
    assert moments.variance.tolist() == [1, 0]
    merged = merge([moments, moments_of(np.array([[8.0, 4.0]]))])
    assert merged.count == 3
    assert merged.mean == pytest.approx([4, 8], rel=1e-15)
    assert merged.m2 == pytest.approx([26, 24], rel=1e-15)


def test_samples_are_frames_of_one_value():
    y = np.random.default_rng(0).uniform(-1, 1, 5001)
    off_by(moments_of(y), y)
    off_by(merge([moments_of(y[:7]), moments_of(y[7:])]), y)


def test_int16_samples_are_scaled_without_overflow():
    pcm = np.random.default_rng(0).integers(-32768, 32768, 44100).astype(np.int16)
    off_by(moments_of(pcm, 1 / 32768), pcm.astype(np.float64) / 32768)
    assert moments_of(np.full(10, -32768, np.int16), 1 / 32768).mean == -1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_floats_are_summed_in_float64(dtype):
    frames = np.random.default_rng(0).normal(-60, 20, (40_000, 4)).astype(dtype)
    before = frames.copy()
    off_by(moments_of(frames), frames.astype(np.float64))
    np.testing.assert_array_equal(frames, before)


def test_the_frames_are_left_as_they_are():
    frames = np.random.default_rng(0).normal(5, 1, (100, 3))
    before = frames.copy()
    moments_of(frames)
    np.testing.assert_array_equal(frames, before)


def test_stacked_arrays_merge_as_parts_do():
    parts = [moments_of(np.random.default_rng(i).normal(i, 1, (i + 1, 3))) for i in range(20)]
    stacked = merge_arrays(
        np.array([p.count for p in parts]),
        np.stack([p.mean for p in parts]), np.stack([p.m2 for p in parts]),
    )
    merged = merge(parts)
    assert stacked.count == merged.count == 210
    np.testing.assert_array_equal(stacked.mean, merged.mean)
    np.testing.assert_array_equal(stacked.m2, merged.m2)


def test_one_part_is_its_own_merge():
    part = Moments(3, np.array([0.1]), np.array([0.7]))
    assert merge([part]).mean == pytest.approx(0.1, rel=1e-15)
    assert merge([part]).m2 == pytest.approx(0.7, rel=1e-15)


def test_nothing_cannot_be_merged():
    with pytest.raises(ValueError, match="no moments to merge"):
        merge([])
