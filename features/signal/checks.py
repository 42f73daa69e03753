"""Check audio, and the settings of features of mel bands."""

from __future__ import annotations

import numpy as np

from features.signal.mel_filters import mel_filters
from features.signal.melspectrogram import SpectralSettings

# A spectrum's power is up to (n_fft / 2 * peak) ** 2, and float32 ends at 3e38.
_MAX_PEAK = 1e12


def check_audio(y: np.ndarray) -> np.ndarray:
    """`y` as float32, or a ValueError that says what it is and what it should be."""
    y = np.asarray(y)
    if y.ndim != 1:
        hint = ": average the channels, which soundfile has last" if y.ndim == 2 else ""
        raise ValueError(f"y has shape {y.shape}; it must be one-dimensional, mono{hint}")
    if not np.issubdtype(y.dtype, np.floating):
        raise ValueError(f"y has dtype {y.dtype}; it must be floating point with full scale at 1.0")
    if not len(y):
        raise ValueError("y is empty; a clip needs at least one sample")
    if not np.isfinite(y).all():
        raise ValueError("y is not finite everywhere (NaN or infinity among the samples)")
    peak = float(max(y.max(), -y.min()))
    if peak > _MAX_PEAK:
        raise ValueError(
            f"y has a peak of {peak:g}, where full scale is 1.0; float32 holds power up to "
            f"samples of {_MAX_PEAK:g}. Divide by the full scale that they had"
        )
    return y.astype(np.float32, copy=False)


def spectral_contradictions(feature: SpectralSettings) -> list[str]:
    """List what is wrong with the settings of a feature of mel bands, taken together."""
    f, errors = feature, []
    fmax = f.sr / 2 if f.fmax is None else f.fmax
    if not 0 <= f.fmin < fmax <= f.sr / 2:
        errors.append(
            f"fmin is {f.fmin:g} Hz and fmax {fmax:g} Hz; "
            f"they must obey 0 <= fmin < fmax <= sr / 2 = {f.sr / 2:g} Hz"
        )
    if f.hop_length > f.n_fft:
        errors.append(
            f"hop_length is {f.hop_length}, n_fft {f.n_fft}: samples between frames would be lost"
        )
    top_db = getattr(f, "top_db", None)
    if top_db is not None and not top_db > 0:
        errors.append(f"top_db is {top_db:g}; it must be positive (in dB), or null for none")
    if not errors and min(f.sr, f.n_fft, f.n_mels) > 0:
        try:
            mel_filters(f.sr, f.n_fft, f.n_mels, float(f.fmin), float(fmax))
        except ValueError as error:
            errors.append(str(error))
    return errors
