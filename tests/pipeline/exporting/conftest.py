"""Sounds that exported front ends are held against the extractor with."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def sounds():
    """Synthetic sounds by name: ``sounds(sr, seconds)``."""
    return _sounds


def _sounds(sr, seconds):
    """Sounds that float32's rounding noise would be heard in: quiet bands beside loud ones."""
    rng = np.random.default_rng(0)
    n = round(sr * seconds)
    t, noise = np.arange(n) / sr, rng.standard_normal(n)
    clicks = np.zeros(n)
    clicks[rng.integers(0, n, 5)] = 0.9
    return {name: y.astype(np.float32) for name, y in {
        "noise": 0.1 * noise,
        "low tone": 0.9 * np.sin(2 * np.pi * 50 * t) + 3e-5 * noise,
        "tone": 0.9 * np.sin(2 * np.pi * 0.0226 * sr * t),
        "high tone": 0.9 * np.sin(2 * np.pi * 0.34 * sr * t) + 1e-4 * noise,
        "offset": 0.5 + 1e-5 * noise,
        "silence with clicks": clicks,
        "silence": np.zeros(n),
        "loud, then quiet": np.where(t < seconds / 2, 0.5, 1e-5) * noise,
        "beyond full scale": 1e9 * noise,
    }.items()}
