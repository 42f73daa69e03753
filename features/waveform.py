"""The resampled samples themselves, as a feature like the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.signal.checks import check_audio


@dataclass(frozen=True)
class Waveform:
    """Mono samples at `sr` Hz, full scale at 1.0.

    Attributes
    ----------
    sr : int
        Sampling rate (in Hz).
    """

    sr: int = 44100

    name = "waveform"
    version = 2
    units = "full scale"

    @property
    def width(self) -> int:
        """Values a frame: 0, for a frame is one sample and not a vector."""
        return 0

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of `n_samples` samples: as many."""
        return n_samples

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """The samples as float32. [shape=(n_samples,)] -> [shape=(n_samples,)]"""
        return check_audio(y)
