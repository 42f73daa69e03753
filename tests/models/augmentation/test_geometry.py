"""Crops moved along time and bands."""

from __future__ import annotations

import numpy as np
import pytest

from models.augmentation.base import FULL_SCALE
from models.augmentation.geometry import TimeShift


@pytest.mark.parametrize("unit", ["dB", FULL_SCALE])
def test_time_shift_rolls_by_whole_frames(crops, apply, unit):
    batch = crops(unit, n_crops=300)
    result = apply(TimeShift(share=0.1, unit=unit), batch)["features"]
    shifts = set()
    for before, after in zip(batch["features"], result, strict=True):
        (shift,) = (k for k in range(-3, 4) if np.array_equal(np.roll(before, k, axis=0), after))
        shifts.add(shift)
    assert shifts == set(range(-3, 4))
