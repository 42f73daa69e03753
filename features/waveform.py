"""The resampled samples themselves, as a feature like the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from features.base import Axis, Feature, Map, Samples


@dataclass(frozen=True)
class Waveform(Feature):
    """Mono samples at `sr` Hz, full scale at 1.0.

    Attributes
    ----------
    sr : int
        Sampling rate (in Hz).
    dtype : {"int16", "float32"}
        Of the stored samples; int16 has full scale at 32768.

    Raises
    ------
    ValueError
        If a setting is not valid; all errors are listed.

    Examples
    --------
    >>> Waveform(sr=16000)(np.zeros(16000, np.float32)).shape
    (16000,)
    """

    sr: Annotated[int, Ge(1)] = 44100
    dtype: Literal["int16", "float32"] = "int16"

    kind = "waveform"
    version = 2
    units = "full scale"

    @property
    def width(self) -> int:
        """0, because a frame is one sample."""
        return 0

    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a clip: one per sample."""
        return n_samples

    @property
    def front_end(self) -> Samples:
        """The samples as they were decoded, because int16 stores keep 16-bit samples exactly."""
        return Samples(takes_int16=True)

    def stream(self, loudest: float | None) -> Map:
        """The same samples."""
        return Map(lambda y: y)

    def silent_frame(self, frames: NDArray) -> NDArray[np.float32]:
        """A sample of 0."""
        return np.zeros((), np.float32)

    @property
    def axis(self) -> Axis:
        """Samples have no axis but time."""
        return Axis(self.units)
