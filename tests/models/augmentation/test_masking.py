"""Removed parts."""

from __future__ import annotations

import numpy as np

from models.augmentation.masking import Erasing, Masks

FILL = np.arange(12, dtype=np.float32)


def runs(removed):
    """Number of spans in a row of booleans."""
    return int(np.diff(np.concatenate([[0], removed.astype(int)])).clip(0).sum())


def test_masks_are_whole_frames_and_bands_filled_with_the_mean(crops, apply):
    batch = crops(n_crops=300)
    layer = Masks(n_time=2, time_share=0.2, n_bands=1, band_share=0.5, fill=FILL)
    result = apply(layer, batch)["features"]
    removed = result != batch["features"]
    np.testing.assert_array_equal(result[removed], np.broadcast_to(FILL, result.shape)[removed])
    frames, bands = removed.all(axis=2), removed.all(axis=1)
    np.testing.assert_array_equal(removed, frames[:, :, None] | bands[:, None, :])
    assert {runs(row) for row in frames} == {0, 1, 2}
    assert {runs(row) for row in bands} == {0, 1}
    # 0.2 of 30 frames each, 0.5 of 12 bands
    assert frames.sum(axis=1).max() == 12
    assert set(bands.sum(axis=1)) == set(range(7))
    # every frame and band is reached, the outer ones too
    assert frames.any(axis=0).all()
    assert bands.any(axis=0).all()


def test_no_masks_change_nothing(crops, apply):
    batch = crops()
    result = apply(Masks(n_time=0, n_bands=0, fill=FILL), batch)["features"]
    np.testing.assert_array_equal(result, batch["features"])


def test_a_mask_narrower_than_a_frame_masks_nothing(crops, apply):
    batch = crops()
    layer = Masks(time_share=0.01, band_share=0.01, fill=FILL)
    np.testing.assert_array_equal(apply(layer, batch)["features"], batch["features"])


def test_an_erased_part_is_a_rectangle_of_the_wanted_size(crops, apply):
    batch = crops(n_crops=300)
    layer = Erasing(area=[0.1, 0.4], ratio=[0.5, 2.0], fill=FILL)
    result = apply(layer, batch)["features"]
    removed = result != batch["features"]
    np.testing.assert_array_equal(result[removed], np.broadcast_to(FILL, result.shape)[removed])
    frames, bands = removed.any(axis=2), removed.any(axis=1)
    np.testing.assert_array_equal(removed, frames[:, :, None] & bands[:, None, :])
    assert {runs(row) for row in (*frames, *bands)} == {1}
    # The sides are rounded to whole frames (30) and bands (12).
    time, band = frames.sum(axis=1), bands.sum(axis=1)
    assert ((time + 0.5) / 30 * (band + 0.5) / 12 >= 0.1).all()
    assert ((time - 0.5) / 30 * (band - 0.5) / 12 <= 0.4).all()
    assert ((time + 0.5) / 30 / ((band - 0.5) / 12) >= 0.5).all()
    assert ((time - 0.5) / 30 / ((band + 0.5) / 12) <= 2).all()
    assert frames.any(axis=0).all()
    assert bands.any(axis=0).all()


def test_the_smallest_part_that_is_erased_is_one_value(crops, apply):
    batch = crops()
    result = apply(Erasing(area=[1e-6, 1e-6], ratio=[1, 1], fill=FILL), batch)["features"]
    np.testing.assert_array_equal((result != batch["features"]).sum(axis=(1, 2)), 1)
