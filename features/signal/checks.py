"""What the extractors ask of their settings and of the audio."""

from __future__ import annotations

from typing import Any

import numpy as np

from features.signal.mel_filters import mel_filters

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


def check_spectral(feature: Any) -> None:
    """Raise a ValueError that lists all that is wrong with a spectral feature's settings."""
    f, errors = feature, []
    for name in ("sr", "n_fft", "hop_length", "n_mels", "n_mfcc"):
        value = getattr(f, name, 1)
        if value < 1:
            errors.append(f"{name} is {value}; it must be at least 1")
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
    if getattr(f, "n_mfcc", 0) > f.n_mels:
        errors.append(f"n_mfcc is {f.n_mfcc}; it cannot exceed n_mels, {f.n_mels}")
    if f.top_db is not None and not f.top_db > 0:
        errors.append(f"top_db is {f.top_db:g}; it must be positive (in dB), or null for none")
    if not errors:
        try:
            mel_filters(f.sr, f.n_fft, f.n_mels, float(f.fmin), float(fmax))
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise ValueError(f"{f.name}: " + "; ".join(errors))
