"""Slaney's mel scale and its filters (Auditory Toolbox, 1998), bit for bit librosa's.

They are not imported from librosa because that takes a second, and librosa computes the filters in
every call. A test compares this module with ``librosa.filters.mel``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# Linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(hz: float) -> float:
    """Convert a frequency (in Hz) to Slaney's mel."""
    if hz >= _BREAK_HZ:
        return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)
    return hz / _HZ_PER_MEL


def mel_to_hz(mels: np.ndarray) -> np.ndarray:
    """Convert Slaney's mels to frequencies (in Hz)."""
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_MEL))
    return np.where(mels >= _BREAK_MEL, above, _HZ_PER_MEL * mels)


@lru_cache(maxsize=8)
def mel_filters(sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Compute triangular filters of constant area, evenly spaced in mel.

    Parameters
    ----------
    sr : int
        Sampling rate (in Hz).
    n_fft : int
        FFT length (in samples).
    n_mels : int
        Number of bands.
    fmin, fmax : float
        Lowest and highest frequency (in Hz).

    Returns
    -------
    filters : np.ndarray [shape=(n_mels, 1 + n_fft // 2), dtype=float32]
        Read-only, because it is cached and shared.

    Raises
    ------
    ValueError
        If a band is so narrow that no FFT bin falls into it: it would always be silent.
    """
    if n_mels > 2 * (1 + n_fft // 2):
        # Known before the memory for billions of bands is asked for.
        raise ValueError(f"n_mels={n_mels} is too many for n_fft={n_fft}: its {1 + n_fft // 2} "
                         "bins fall into at most two bands each. Use fewer bands or a longer FFT.")
    edges = mel_to_hz(np.linspace(hz_to_mel(fmin), hz_to_mel(fmax), n_mels + 2))
    widths = np.diff(edges)
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(n=n_fft, d=1.0 / sr))
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    # The two roundings to float32, before and after the area, are librosa's.
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    empty = np.flatnonzero(~filters.any(axis=1))
    if len(empty):
        raise ValueError(
            f"n_mels={n_mels} is too many for n_fft={n_fft} at {sr} Hz: no FFT bin falls into "
            f"{len(empty)} of the bands (the first is band {empty[0]}, "
            f"{edges[empty[0]]:.0f} to {edges[empty[0] + 2]:.0f} Hz). "
            "Use fewer bands, a longer FFT or a higher fmin."
        )
    filters.flags.writeable = False
    return filters
