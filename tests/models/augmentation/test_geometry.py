"""Crops moved, stretched and cut along time and bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.augmentation.base import FULL_SCALE
from models.augmentation.geometry import (
    BandShift,
    MelWarp,
    ResizedCrop,
    Stretch,
    TimeShift,
    between_bands,
    between_frames,
)

FILL = np.arange(12, dtype=np.float32)


def ramp(axis, n_crops=200):
    """Crops whose values are their positions along one axis."""
    position = np.arange(30.0)[:, None] if axis == "time" else np.arange(12.0)
    features = np.broadcast_to(position, (n_crops, 30, 12)).astype(np.float32)
    return {"features": features, "targets": np.eye(n_crops, dtype=np.float32),
            "noisy": np.zeros(n_crops, np.float32)}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n_frames=st.integers(1, 9), n=st.integers(1, 9))
def test_interpolation_is_numpys(seed, n_frames, n):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, n_frames, 2)).astype(np.float32)
    position = rng.uniform(-2, n_frames + 2, (3, n)).astype(np.float32)
    expected = np.stack([
        np.stack([np.interp(p, np.arange(n_frames), band) for band in crop.T], axis=1)
        for p, crop in zip(position, x, strict=True)
    ])
    np.testing.assert_allclose(between_frames(x, position), expected, atol=1e-5)
    turned = between_bands(x.transpose(0, 2, 1), position)
    np.testing.assert_allclose(turned, expected.transpose(0, 2, 1), atol=1e-5)


def test_whole_positions_give_values_exactly(crops):
    x = crops()["features"]
    position = np.tile(np.arange(30, dtype=np.float32), (8, 1))
    np.testing.assert_array_equal(between_frames(x, position), x)


@pytest.mark.parametrize("unit", ["dB", FULL_SCALE])
def test_time_shift_rolls_by_whole_frames(crops, apply, unit):
    batch = crops(unit, n_crops=300)
    result = apply(TimeShift(share=0.1, unit=unit), batch)["features"]
    shifts = set()
    for before, after in zip(batch["features"], result, strict=True):
        (shift,) = (k for k in range(-3, 4) if np.array_equal(np.roll(before, k, axis=0), after))
        shifts.add(shift)
    assert shifts == set(range(-3, 4))


def test_a_slower_crop_is_a_part_of_it_at_its_tempo(apply):
    result = apply(Stretch(factor=[0.5, 0.5], fill=-9.0), ramp("time"))["features"]
    np.testing.assert_allclose(np.diff(result, axis=1), 0.5, atol=1e-4)
    start = result[:, 0, 0]
    assert 0 <= start.min() < 1  # half of 29 frames are left out, anywhere
    assert 13.5 < start.max() <= 14.5 + 1e-4


def test_a_faster_crop_is_shorter_and_filled(apply):
    result = apply(Stretch(factor=[2, 2], fill=-9.0), ramp("time"))["features"]
    inside = result[:, :, 0] >= 0
    assert set(inside.sum(axis=1)) <= {14, 15}
    np.testing.assert_array_equal(result[~inside], -9)
    for crop, kept in zip(result, inside, strict=True):
        np.testing.assert_allclose(np.diff(crop[kept], axis=0), 2, atol=1e-4)
    assert inside[:, 1:-1].any(axis=0).all()


def test_factors_lie_between_their_bounds_on_both_sides(apply):
    result = apply(Stretch(factor=[0.5, 2], fill=np.nan), ramp("time", 500))["features"]
    tempo = np.nanmean(np.diff(result[:, :, 0], axis=1), axis=1)
    assert 0.5 - 1e-4 <= tempo.min() < 0.55
    assert 1.8 < tempo.max() <= 2 + 1e-3
    assert 0.4 < (tempo < 1).mean() < 0.6


@pytest.mark.parametrize("axis", ["time", "band"])
def test_a_resized_crop_is_a_rectangle_of_the_wanted_size(apply, axis):
    layer = ResizedCrop(area=[0.3, 0.8], ratio=[0.5, 2.0], seed=4)
    batches = {each: apply(ResizedCrop.from_config(layer.get_config()), ramp(each))["features"]
               for each in ("time", "band")}
    shares = {
        "time": (batches["time"][:, -1, 0] - batches["time"][:, 0, 0]) / 29,
        "band": (batches["band"][:, 0, -1] - batches["band"][:, 0, 0]) / 11,
    }
    line = batches[axis][:, :, 0] if axis == "time" else batches[axis][:, 0]
    steps = np.diff(line, axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), atol=1e-4)
    assert line.min() >= 0
    assert line.max() <= (29 if axis == "time" else 11) + 1e-4
    area, ratio = shares["time"] * shares["band"], shares["time"] / shares["band"]
    # A side that would be longer than the crop is as long as the crop.
    assert area.max() <= 0.8 + 1e-4
    free = (shares["time"] < 1 - 1e-4) & (shares["band"] < 1 - 1e-4)
    assert area[free].min() >= 0.3 - 1e-4
    assert ratio.min() >= 0.5 - 1e-4
    assert ratio.max() <= 2 + 1e-4
    assert free.sum() > 50


def test_a_warp_keeps_the_ends_and_bends_once(apply):
    result = apply(MelWarp(share=0.2), ramp("band", 500))["features"]
    assert np.ptp(result, axis=1).max() == 0  # the same in every frame
    bands = result[:, 0]
    np.testing.assert_allclose(bands[:, [0, -1]], [[0, 11]] * 500, atol=1e-4)
    assert (np.diff(bands, axis=1) > 0).all()
    bends = np.abs(np.diff(bands, n=2, axis=1)) > 1e-3
    assert bends.sum(axis=1).max() <= 2  # a bend between two bands shows at both
    moved = np.abs(bands - np.arange(12)).max(axis=1)
    assert 1.8 < moved.max() <= 0.2 * 11 + 1e-4


def test_a_band_shift_moves_whole_bands_and_fills(crops, apply):
    batch = crops(n_crops=200)
    result = apply(BandShift(bands=2, fill=FILL), batch)["features"]
    seen = set()
    for before, after in zip(batch["features"], result, strict=True):
        for shift in range(-2, 3):
            expected = np.roll(before, shift, axis=1)
            if shift > 0:
                expected[:, :shift] = FILL[:shift]
            elif shift < 0:
                expected[:, shift:] = FILL[shift:]
            if np.array_equal(after, expected):
                seen.add(shift)
                break
        else:
            raise AssertionError("no shift gives this crop")
    assert seen == set(range(-2, 3))
