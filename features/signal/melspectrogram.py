"""One short-time Fourier transform, shared by log-mel and MFCC.

The numbers are librosa's (``center=True``, zero padding, periodic Hann window, power spectrum,
Slaney mel). The manner is not: several frames go through at once, the filters are made once and
applied without their zeros, and samples may come in pieces, so that a clip of any length takes the
same memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from features.signal.mel_filters import hz_to_mel, mel_to_hz

if TYPE_CHECKING:
    from features.signal.mel_stream import MelStream


def frame_count(n_samples: int, *, n_fft: int, hop_length: int) -> int:
    """Count the frames of a centred STFT: the number that every framed feature has.

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

    takes_int16 = False

    @property
    def band_centres(self) -> tuple[float, ...]:
        """The frequency that each band is centred on (in Hz)."""
        edges = np.linspace(hz_to_mel(self.fmin), hz_to_mel(self.fmax), self.n_mels + 2)
        return tuple(mel_to_hz(edges[1:-1]).tolist())

    def stream(self) -> MelStream:
        """A stream from one clip's samples to mel power [shape=(n, n_mels), dtype=float32]."""
        # Not before it is needed: a compiler takes a quarter of a second to import, and most who
        # ask for a feature only want to know its settings.
        from features.signal.mel_stream import MelStream

        return MelStream(self)


@dataclass(frozen=True)
class MelDecibels:
    """A mel power spectrogram in decibels, not clipped at any floor but -100 dB.

    Attributes
    ----------
    mel : Mel
    """

    mel: Mel
    takes_int16 = False

    def stream(self) -> DecibelStream:
        """A stream from one clip's samples to decibels [shape=(n, n_mels), dtype=float32]."""
        return DecibelStream(self.mel.stream())


class DecibelStream:
    """Mel power of one clip in decibels, whose samples come in pieces."""

    def __init__(self, power: MelStream) -> None:
        # Like the mel stream, not before it is needed.
        from features.kernels.decibels import to_db

        self._power, self._to_db = power, to_db

    def push(self, y: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Take the next samples [shape=(n,), dtype=float32]; see :class:`MelStream`."""
        return self._to_db(self._power.push(y, last=last))


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
