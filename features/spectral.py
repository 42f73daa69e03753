"""One short-time Fourier transform, shared by log-mel and MFCC.

The numbers are librosa's (``center=True``, zero padding, periodic Hann window, power spectrum,
Slaney mel). The manner is not: frames go through in blocks that fit into the second-level cache,
the filters are made once and applied as a sparse matrix, and samples may come in pieces, so that
a clip of any length takes the same memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import scipy.sparse

from features.fourier import power_spectrum, rows_a_block
from features.mel import mel_filters

# librosa.power_to_db's floor of power, -100 dB.
AMIN = 1e-10


def frame_count(n_samples: int, *, n_fft: int, hop_length: int) -> int:
    """Frames of a centred STFT: the frame law that every framed feature obeys.

    ``1 + n_samples // hop_length`` for an even `n_fft`, as librosa pads ``n_fft // 2`` zeros at
    each end.
    """
    return 1 + (n_samples + 2 * (n_fft // 2) - n_fft) // hop_length


@dataclass(frozen=True)
class Mel:
    """A mel power spectrogram's configuration; `log-mel` and `MFCC` with an equal one share it.

    Attributes
    ----------
    sr : int
        Sampling rate (in Hz).
    n_fft, hop_length : int
        FFT length and distance between frames (in samples).
    n_mels : int
        Number of mel bands.
    fmin, fmax : float
        Lowest and highest frequency (in Hz).
    """

    sr: int
    n_fft: int
    hop_length: int
    n_mels: int
    fmin: float
    fmax: float

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of `n_samples` samples."""
        return frame_count(n_samples, n_fft=self.n_fft, hop_length=self.hop_length)

    def stream(self) -> MelStream:
        """A stream to push one clip's samples into."""
        return MelStream(self)


class SpectralSettings(Protocol):
    """The settings that every feature made of mel bands has."""

    @property
    def sr(self) -> int: ...
    @property
    def n_fft(self) -> int: ...
    @property
    def hop_length(self) -> int: ...
    @property
    def n_mels(self) -> int: ...
    @property
    def fmin(self) -> float: ...
    @property
    def fmax(self) -> float | None: ...


def mel_of(feature: SpectralSettings) -> Mel:
    """The mel power spectrogram under a feature: equal settings give an equal one, to share."""
    return Mel(
        sr=feature.sr, n_fft=feature.n_fft, hop_length=feature.hop_length, n_mels=feature.n_mels,
        fmin=float(feature.fmin),
        fmax=feature.sr / 2 if feature.fmax is None else float(feature.fmax),
    )


@lru_cache(maxsize=8)
def hann_window(n_fft: int) -> np.ndarray:
    """Periodic Hann window. [shape=(n_fft,), dtype=float64]"""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


@lru_cache(maxsize=8)
def _sparse_filters(mel: Mel) -> scipy.sparse.csr_matrix:
    filters = mel_filters(mel.sr, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax)
    return scipy.sparse.csr_matrix(filters)


class MelStream:
    """Mel power of one clip whose samples come in pieces.

    Push every piece, the last one with ``last=True``. How the samples were cut does not change a
    frame by more than rounding.
    """

    def __init__(self, mel: Mel) -> None:
        self._mel = mel
        self._filters = _sparse_filters(mel)
        self._window = hann_window(mel.n_fft)
        self._pending = np.zeros(mel.n_fft // 2, np.float32)

    def push(self, y: np.ndarray, *, last: bool = False) -> np.ndarray:
        """The mel power of the frames that are complete now.

        Parameters
        ----------
        y : np.ndarray [shape=(n,), dtype=float32]
            The next samples.
        last : bool
            Whether the clip ends here.

        Returns
        -------
        power : np.ndarray [shape=(n_mels, b), dtype=float32]
            The next `b` frames, frequency first.
        """
        n_fft, hop = self._mel.n_fft, self._mel.hop_length
        tail = [np.zeros(n_fft // 2, np.float32)] if last else []
        samples = np.concatenate([self._pending, y, *tail])
        n_frames = max(0, 1 + (len(samples) - n_fft) // hop)
        self._pending = samples[n_frames * hop:].copy()
        power = np.empty((self._mel.n_mels, n_frames), np.float32)
        if not n_frames:
            return power
        frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[::hop][:n_frames]
        step = rows_a_block(n_fft)
        for first in range(0, n_frames, step):
            block = slice(first, first + step)
            spectrum = power_spectrum(frames[block], self._window)  # (1 + n_fft // 2, b)
            power[:, block] = self._filters @ spectrum              # (n_mels, b)
        return power


def to_db(power: np.ndarray) -> np.ndarray:
    """``10 log10(max(power, 1e-10))`` in place, by the natural logarithm, which NumPy vectorises.

    Parameters
    ----------
    power : np.ndarray [dtype=float32]

    Returns
    -------
    db : np.ndarray [dtype=float32]
        The same array (in dB).
    """
    np.maximum(power, np.float32(AMIN), out=power)
    np.log(power, out=power)
    power *= np.float32(10 / np.log(10))
    return power
