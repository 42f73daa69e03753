"""Mel power of one clip, by the compiled kernel if it serves the FFT length, else by SciPy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from features.kernels.mel_power import Plan, SimdMelPower, make_plan
from features.kernels.power_spectrum import is_supported
from features.kernels.reference import ReferenceMelPower
from features.signal.mel_filters import mel_filters
from features.signal.melspectrogram import Mel, hann_window


@lru_cache(maxsize=8)
def _plan(mel: Mel) -> Plan:
    return make_plan(hann_window(mel.n_fft), mel.hop_length, _filters(mel))


def _filters(mel: Mel) -> np.ndarray:
    return mel_filters(mel.sr, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax)


class MelStream:
    """Compute mel power of one clip whose samples come in pieces.

    Push every piece, the last one with ``last=True``. The result does not depend on how the
    samples were cut.
    """

    def __init__(self, mel: Mel) -> None:
        self._mel = mel
        self._power: SimdMelPower | ReferenceMelPower
        if is_supported(mel.n_fft):
            self._power = SimdMelPower(_plan(mel))
        else:
            self._power = ReferenceMelPower(hann_window(mel.n_fft), mel.hop_length, _filters(mel))
        self._pending = np.zeros(0, np.float32)
        # Start of the next frame relative to the pending samples; negative in the first half frame.
        self._start = -(mel.n_fft // 2)

    def push(self, y: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Compute the mel power of the frames that are complete now.

        Parameters
        ----------
        y : np.ndarray [shape=(n,), dtype=float32]
            The next samples.
        last : bool
            Whether the clip ends here.

        Returns
        -------
        power : np.ndarray [shape=(b, n_mels), dtype=float32]
            The next `b` frames.
        """
        n_fft, hop = self._mel.n_fft, self._mel.hop_length
        samples = np.concatenate([self._pending, y]) if len(self._pending) else y
        end = len(samples) + (n_fft // 2 if last else 0)
        n_frames = max(0, 1 + (end - n_fft - self._start) // hop)
        start, following = self._start, self._start + n_frames * hop
        self._pending = samples[max(0, following):].copy()
        self._start = min(0, following)
        if not n_frames:
            return np.empty((0, self._mel.n_mels), np.float32)
        return self._power(samples, start, n_frames)
