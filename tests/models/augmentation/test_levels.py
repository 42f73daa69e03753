"""Gain and equalization."""

from __future__ import annotations

import numpy as np

from models.augmentation.base import FULL_SCALE
from models.augmentation.levels import Equalizer, Gain, cosine_interpolation


def test_gain_adds_one_number_of_decibels_to_each_crop(crops, apply):
    batch = crops(n_crops=500)
    added = apply(Gain(db=6), batch)["features"] - batch["features"]
    assert np.ptp(added, axis=(1, 2)).max() < 1e-4
    assert np.abs(added).max() <= 6 + 1e-4
    assert added[:, 0, 0].min() < -5.5
    assert added[:, 0, 0].max() > 5.5


def test_the_same_gain_multiplies_waves(crops, apply):
    frames, waves = crops(), crops(FULL_SCALE)
    added = (apply(Gain(db=6), frames)["features"] - frames["features"])[:, 0, 0]
    result = apply(Gain(db=6, unit=FULL_SCALE), waves)["features"]
    expected = waves["features"] * 10 ** (added[:, None].astype(np.float64) / 20)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_a_tilt_is_a_line_through_0_in_the_middle_band(crops, apply):
    batch = crops(n_crops=200)
    added = apply(Equalizer(tilt_db=4, curve_db=0), batch)["features"] - batch["features"]
    assert np.ptp(added, axis=1).max() < 1e-4  # the same in every frame
    tilt = added[:, 0, -1]
    np.testing.assert_allclose(added[:, 0], tilt[:, None] * np.linspace(-1, 1, 12), atol=1e-4)
    assert 3.5 < np.abs(tilt).max() <= 4 + 1e-4
    assert (tilt > 0).any()
    assert (tilt < 0).any()


def test_a_curve_stays_within_its_bounds(crops, apply):
    batch = crops(n_crops=200)
    added = apply(Equalizer(tilt_db=0, curve_db=3, knots=4), batch)["features"] - batch["features"]
    assert 2.5 < np.abs(added).max() <= 3 + 1e-4
    # Between knots 11 / 3 bands apart the curve cannot jump: half a cosine's steepest slope.
    assert np.abs(np.diff(added[:, 0], axis=1)).max() <= 6 * np.pi / 2 * 3 / 11 + 1e-4


def test_interpolation_goes_through_the_knots():
    weights = cosine_interpolation(4, 10)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(weights[:, ::3], np.eye(4), atol=1e-6)
