"""Log-mel frames: mel power in decibels, clipped at `top_db` below the clip's maximum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.signal.checks import check_audio, check_spectral
from features.signal.melspectrogram import Mel, frame_count, mel_of


@dataclass(frozen=True)
class LogMel:
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
        Floor below the clip's loudest band (in dB); None leaves -100 dB, the floor of power.

    Raises
    ------
    ValueError
        If the settings contradict each other; all that is wrong is listed.

    Examples
    --------
    >>> frames = LogMel(sr=44100)(np.zeros(44100, np.float32))
    >>> frames.shape, frames.dtype
    ((87, 128), dtype('float32'))
    """

    sr: int = 44100
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float | None = None
    top_db: float | None = 80.0

    name = "logmel"
    version = 2
    units = "dB"

    def __post_init__(self) -> None:
        check_spectral(self)

    @property
    def width(self) -> int:
        """Values a frame."""
        return self.n_mels

    @property
    def mel(self) -> Mel:
        """The mel power spectrogram that this feature is made of."""
        return mel_of(self)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of `n_samples` samples: those of a centred STFT."""
        return frame_count(n_samples, n_fft=self.n_fft, hop_length=self.hop_length)

    def from_db(self, db: np.ndarray, floor: float) -> np.ndarray:
        """Frames out of unclipped decibels. [shape=(b, n_mels)] -> [shape=(b, n_mels)]"""
        return np.maximum(db, np.float32(floor))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Log-mel frames of one clip.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,), dtype=floating]
            Samples at `sr` Hz, full scale at 1.0.

        Returns
        -------
        frames : np.ndarray [shape=(n_frames, n_mels), dtype=float32]
            Time first (in dB, 0 dB is a power of 1).

        Raises
        ------
        ValueError
            If `y` is not one-dimensional, not of floating point, empty, not finite or beyond 1e12.
        """
        db = mel_db(self.mel, check_audio(y))
        return self.from_db(db, db_floor(float(db.max()), self.top_db))


def mel_db(mel: Mel, y: np.ndarray) -> np.ndarray:
    """Mel power of a whole clip in decibels, not clipped. [shape=(n_frames, n_mels)]"""
    # Like the stream, not before it is needed.
    from features.kernels.decibels import to_db

    return to_db(mel.stream().push(y, last=True))


def db_floor(loudest: float, top_db: float | None) -> float:
    """The lowest value of a clip whose maximum is `loudest` (in dB)."""
    return -np.inf if top_db is None else loudest - top_db
