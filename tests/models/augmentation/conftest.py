"""Batches of made-up crops."""

from __future__ import annotations

import numpy as np
import pytest

from models.augmentation.base import FULL_SCALE


def _crops(unit="dB", seed=0, n_crops=8, *, n_frames=30, width=12, n_classes=5):
    rng = np.random.default_rng(seed)
    if unit == FULL_SCALE:
        features = rng.uniform(-1, 1, (n_crops, n_frames))
    else:
        features = rng.uniform(-100, 0, (n_crops, n_frames, width))
    return {
        "features": features.astype(np.float32),
        "targets": np.eye(n_classes, dtype=np.float32)[rng.integers(n_classes, size=n_crops)],
        "noisy": rng.integers(2, size=n_crops).astype(np.float32),
    }


def _apply(layer, batch):
    return {name: np.asarray(value) for name, value in layer(batch, training=True).items()}


@pytest.fixture(scope="session")
def crops():
    """Make a batch of frames from -100 to 0 dB, or of waves from -1 to 1, one label per crop."""
    return _crops


@pytest.fixture(scope="session")
def apply():
    """What becomes of a batch in training, as arrays."""
    return _apply
