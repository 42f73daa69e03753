"""Log-mel frames: mel power in decibels, clipped at `top_db` below the clip's maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from features.base import Axis, Feature, Map
from features.kernels.reference import AMIN
from features.signal.checks import spectral_contradictions
from features.signal.melspectrogram import MelDecibels, frame_count, mel_of


@dataclass(frozen=True)
class LogMel(Feature):
    """``librosa.power_to_db(librosa.feature.melspectrogram(...)).T``, within 1e-3 dB.

    Attributes
    ----------
    sr : int
        Sampling rate (in Hz).
    n_fft, hop_length : int
        FFT length and distance between frames (in samples).
    n_mels : int
        Number of mel bands.
    fmin : float
        Lowest frequency (in Hz).
    fmax : float or None
        Highest frequency (in Hz); None is ``sr / 2``.
    top_db : float or None
        Clip values to this range below the clip's maximum (in dB); None leaves -100 dB, the floor
        of power.
    dtype : {"float32", "float16"}
        Of the stored frames.

    Raises
    ------
    ValueError
        If a setting is not valid; all errors are listed.

    Examples
    --------
    >>> frames = LogMel(sr=44100)(np.zeros(44100, np.float32))
    >>> frames.shape, frames.dtype
    ((87, 128), dtype('float32'))
    """

    sr: Annotated[int, Ge(1)] = 44100
    n_fft: Annotated[int, Ge(1)] = 2048
    hop_length: Annotated[int, Ge(1)] = 512
    n_mels: Annotated[int, Ge(1)] = 128
    fmin: float = 0.0
    fmax: float | None = None
    top_db: float | None = 80.0
    dtype: Literal["float32", "float16"] = "float32"

    kind = "logmel"
    version = 2
    units = "dB"
    needs_loudest = True
    silence_error = 0.04  # what float16 rounds a level of -100 dB by

    def contradictions(self) -> list[str]:
        """Settings that do not go together."""
        return spectral_contradictions(self)

    @property
    def width(self) -> int:
        """Values per frame: the mel bands."""
        return self.n_mels

    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a clip: those of a centred STFT."""
        return frame_count(n_samples, n_fft=self.n_fft, hop_length=self.hop_length)

    @property
    def front_end(self) -> MelDecibels:
        """Mel power in decibels; MFCC with the same settings share it."""
        return MelDecibels(mel_of(self))

    def stream(self, loudest: float | None) -> Map:
        """Raise decibels to the clip's floor."""
        floor = np.float32(db_floor(loudest, self.top_db))
        return Map(lambda db: np.maximum(db, floor))

    def silent_frame(self, frames: NDArray) -> NDArray[np.float32]:
        """The floor that silence reads beside this clip's sound.

        A frame of zero power is -100 dB in every band. But a clip's bands are clipped at `top_db`
        below its loudest one, so beside its sound silence reads ``loudest - top_db``: what the
        extractor would have given had the file ended in zeros.
        """
        return np.full(self.width, silence_level(float(frames.max()), self.top_db), np.float32)

    @property
    def axis(self) -> Axis:
        """The bands' centre frequencies."""
        return Axis("Hz", mel_of(self).band_centres)


def db_floor(loudest: float | None, top_db: float | None) -> float:
    """Lowest value of a clip whose maximum is `loudest`.

    Parameters
    ----------
    loudest : float or None
        The clip's maximum (in dB); None if it is not known.
    top_db : float or None
        Range below the maximum (in dB).

    Returns
    -------
    floor : float
        In dB; minus infinity if either is None, which clips nothing.

    Examples
    --------
    >>> db_floor(-10.0, 80.0)
    -90.0
    """
    return -np.inf if top_db is None or loudest is None else loudest - top_db


def silence_level(loudest: float, top_db: float | None) -> float:
    """Level of digital silence in a clip whose loudest band is `loudest`.

    Parameters
    ----------
    loudest : float
        The clip's maximum (in dB).
    top_db : float or None
        Range below the maximum (in dB).

    Returns
    -------
    level : float
        In dB, at least -100, the floor of power.

    Examples
    --------
    >>> float(silence_level(-10.0, 80.0)), float(silence_level(-30.0, 80.0))
    (-90.0, -100.0)
    """
    return max(10 * np.log10(AMIN), db_floor(loudest, top_db))
