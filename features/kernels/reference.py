"""Mel power in plain NumPy and SciPy: the tests' reference, and the path of unusual FFT lengths."""

from __future__ import annotations

import numpy as np

# librosa.power_to_db's floor of power, -100 dB.
AMIN = 1e-10

# Frames per block: enough to hide Python's share, few enough for the second-level cache.
_BLOCK = 32


class ReferenceMelPower:
    """Compute mel power for FFTs of any length, in float64.

    Parameters
    ----------
    window : np.ndarray [shape=(n_fft,), dtype=float64]
    hop_length : int
        Distance between frames (in samples).
    filters : np.ndarray [shape=(n_mels, 1 + n_fft // 2), dtype=float32]
    """

    def __init__(self, window: np.ndarray, hop_length: int, filters: np.ndarray) -> None:
        # Not before it is needed: importing it takes a fifth of a second.
        import scipy.fft
        import scipy.sparse

        self._rfft = scipy.fft.rfft
        self._window, self._hop = window, hop_length
        # A sparse product sums each frame by itself, so the numbers do not depend on the block.
        self._filters = scipy.sparse.csr_array(filters.astype(np.float64))

    def __call__(self, samples: np.ndarray, start: int, n_frames: int) -> np.ndarray:
        """Compute the mel power of frames, the first of which begins at ``samples[start]``.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), dtype=float32]
            Samples before and after them count as zeros.
        start : int
            May be negative.
        n_frames : int

        Returns
        -------
        power : np.ndarray [shape=(n_frames, n_mels), dtype=float32]
        """
        power = np.empty((n_frames, self._filters.shape[0]), np.float32)
        end = start + (n_frames - 1) * self._hop + len(self._window)
        samples = np.pad(samples[max(0, start):end], (max(0, -start), max(0, end - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(samples, len(self._window))[::self._hop]
        for first in range(0, n_frames, _BLOCK):
            block = slice(first, min(first + _BLOCK, n_frames))
            spectra = self._rfft(frames[block] * self._window, axis=1)
            bins = spectra.real ** 2 + spectra.imag ** 2
            power[block] = (self._filters @ bins.T).T
        return power
