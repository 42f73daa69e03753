"""What an audio file claims about itself: the form of a header from the file to the CSV and back.

Apart from the decoder, so that tables of clips are read without libsndfile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Header:
    """What the header of a file says.

    Attributes
    ----------
    format, subtype : str
        libsndfile's names, such as ``WAV`` and ``PCM_16``.
    sr : int
        Sampling rate (in Hz).
    channels : int
    frames : int
        Samples per channel.
    """

    format: str
    subtype: str
    sr: int
    channels: int
    frames: int

    def length_at(self, sr: int) -> int:
        """Return the number of samples at `sr` Hz, see :func:`resampled_length`."""
        return resampled_length(self.frames, self.sr, sr)


def resampled_length(n: int, source_sr: int, sr: int) -> int:
    """Return how many samples `n` samples become at another rate, like ``librosa.resample``.

    The ceiling of a product in floating point: now and then one more than the ceiling of
    ``n * sr / source_sr``.
    """
    return math.ceil(n * (sr / source_sr))
