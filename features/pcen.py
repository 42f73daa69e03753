"""Per-channel energy normalization of mel frames: a loudness that adapts to each band's level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from features.base import Axis, Feature
from features.signal.checks import spectral_contradictions
from features.signal.melspectrogram import Mel, frame_count, mel_of


@dataclass(frozen=True)
class Pcen(Feature):
    """``librosa.pcen`` of mel power: ``(S / (eps + M)^gain + bias)^power - bias^power``.

    M is each band's power S smoothed over time by a first-order filter. Slowly changing noise is
    divided out, and onsets stand out (Wang, Getreuer, Hughes, Lyon and Saurous: Trainable Frontend
    for Robust and Far-Field Keyword Spotting, ICASSP, 2017).

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
    scale : float
        Factor applied to mel power; ``2**31`` is what librosa advises for full scale at 1.0.
    gain : float
        Exponent of the smoothed power, 0 to 1: how much of the level is divided out.
    bias, power : float
        Offset and exponent of the compression; a `power` of 0 is a logarithm.
    time_constant : float
        Of the smoothing filter (in seconds).
    eps : float
        Keeps the division finite in silence.
    dtype : {"float32", "float16"}
        Of the stored frames.

    Raises
    ------
    ValueError
        If a setting is not valid; all errors are listed.

    Examples
    --------
    >>> Pcen(n_mels=64)(np.zeros(44100, np.float32)).shape
    (87, 64)
    """

    sr: Annotated[int, Ge(1)] = 44100
    n_fft: Annotated[int, Ge(1)] = 2048
    hop_length: Annotated[int, Ge(1)] = 512
    n_mels: Annotated[int, Ge(1)] = 128
    fmin: float = 0.0
    fmax: float | None = None
    scale: Annotated[float, Gt(0)] = 2.0 ** 31
    gain: Annotated[float, Ge(0)] = 0.98
    bias: Annotated[float, Ge(0)] = 2.0
    power: Annotated[float, Ge(0)] = 0.5
    time_constant: Annotated[float, Gt(0)] = 0.4
    eps: Annotated[float, Gt(0)] = 1e-6
    dtype: Literal["float32", "float16"] = "float32"

    kind = "pcen"
    version = 1
    units = "PCEN"

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
    def front_end(self) -> Mel:
        """Mel power."""
        return mel_of(self)

    @property
    def smoothing(self) -> float:
        """The filter's coefficient, between 0 and 1: librosa's `b`, from the time constant."""
        t_frames = self.time_constant * self.sr / self.hop_length
        return float((np.sqrt(1 + 4 * t_frames ** 2) - 1) / (2 * t_frames ** 2))

    def stream(self, loudest: float | None) -> _PcenStream:
        """Normalize mel power as it comes."""
        return _PcenStream(self)

    def silent_frame(self, frames: NDArray) -> NDArray[np.float32]:
        """0 in every band, whatever was before."""
        return np.zeros(self.width, np.float32)

    @property
    def axis(self) -> Axis:
        """The bands' centre frequencies."""
        return Axis("Hz", mel_of(self).band_centres)


class _PcenStream:
    """Mel power of one clip that comes in pieces, normalized."""

    def __init__(self, feature: Pcen) -> None:
        self._feature = feature
        self._state: NDArray | None = None

    def push(self, y: NDArray, *, last: bool) -> NDArray:
        """Take the next frames of mel power; see :class:`features.base.Stream`."""
        # Here, because SciPy takes a fifth of a second and most features do without.
        from scipy.signal import lfilter, lfilter_zi

        f, b = self._feature, self._feature.smoothing
        if not len(y):
            return np.empty((0, f.width), np.float32)
        power = y.astype(np.float64) * f.scale
        if self._state is None:
            # librosa's: as if the power had been 1 for ever.
            self._state = np.broadcast_to(lfilter_zi([b], [1, b - 1])[:, None], (1, f.width))
        smoothed, self._state = lfilter([b], [1, b - 1], power, axis=0, zi=self._state)
        # By way of logarithms, which stay finite where the quotient would not.
        gain = np.exp(-f.gain * (np.log(f.eps) + np.log1p(smoothed / f.eps)))
        if f.power == 0:
            out = np.log1p(power * gain)
        elif f.bias == 0:
            out = (power * gain) ** f.power
        else:
            out = f.bias ** f.power * np.expm1(f.power * np.log1p(power * gain / f.bias))
        return out.astype(np.float32)
