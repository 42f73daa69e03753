"""Mel-frequency cepstral coefficients: an orthonormal DCT-II of log-mel frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from features.logmel import db_floor, mel_db
from features.signal.checks import check_audio, check_spectral
from features.signal.melspectrogram import Mel, frame_count, mel_of


@dataclass(frozen=True)
class Mfcc:
    """``librosa.feature.mfcc(...).T``, within 1e-3.

    Attributes
    ----------
    sr : int
        Sampling rate (in Hz).
    n_fft, hop_length : int
        FFT length and distance between frames (in samples).
    n_mels : int
        Number of mel bands underneath.
    n_mfcc : int
        Number of coefficients, the 0th (the level) among them.
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
    """

    sr: int = 44100
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    n_mfcc: int = 40
    fmin: float = 0.0
    fmax: float | None = None
    top_db: float | None = 80.0

    name = "mfcc"
    version = 2
    units = "dB"

    def __post_init__(self) -> None:
        check_spectral(self)

    @property
    def width(self) -> int:
        """Values a frame."""
        return self.n_mfcc

    @property
    def mel(self) -> Mel:
        """The mel power spectrogram that this feature is made of."""
        return mel_of(self)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of `n_samples` samples: those of a centred STFT."""
        return frame_count(n_samples, n_fft=self.n_fft, hop_length=self.hop_length)

    def from_db(self, db: np.ndarray, floor: float) -> np.ndarray:
        """Frames out of unclipped decibels. [shape=(b, n_mels)] -> [shape=(b, n_mfcc)]"""
        # In float64: the 0th coefficient is near -900, where float32's sums are off by 1e-3.
        clipped = np.maximum(db, np.float32(floor)).astype(np.float64)
        return (clipped @ dct_basis(self.n_mels, self.n_mfcc)).astype(np.float32)

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """MFCC frames of one clip.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,), dtype=floating]
            Samples at `sr` Hz, full scale at 1.0.

        Returns
        -------
        frames : np.ndarray [shape=(n_frames, n_mfcc), dtype=float32]
            Time first (in dB).

        Raises
        ------
        ValueError
            If `y` is not one-dimensional, not of floating point, empty, not finite or beyond 1e12.
        """
        db = mel_db(self.mel, check_audio(y))
        return self.from_db(db, db_floor(float(db.max()), self.top_db))


@lru_cache(maxsize=8)
def dct_basis(n: int, k: int) -> np.ndarray:
    """The first `k` vectors of the orthonormal DCT-II of length `n`, as columns.

    Ahmed, Natarajan and Rao: Discrete Cosine Transform, IEEE Trans. Computers, 1974.

    Returns
    -------
    basis : np.ndarray [shape=(n, k), dtype=float64]
    """
    basis = np.cos(np.pi / n * np.outer(np.arange(n) + 0.5, np.arange(k))) * np.sqrt(2 / n)
    basis[:, 0] = np.sqrt(1 / n)
    return basis
