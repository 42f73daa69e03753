"""Measure levels, silence and clipping of the clips in a waveform store."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from pipeline.store.reader import Store


@dataclass(frozen=True, slots=True)
class Level:
    """The level of a clip.

    Attributes
    ----------
    rms_db, peak_db : float
        Root mean square and highest absolute sample (in dBFS: a sample at full scale has 0 dB, a
        sine at full scale has an RMS level of -3 dB); -inf for digital silence.
    clipped : float in [0, 1]
        Share of samples at full scale next to another one at full scale: a clipped peak is flat. A
        clip that was only normalized has single samples there.
    silence : float in [0, 1]
        Share of the clip before and after its sound, as extract found it (``--trim-db``).
    """

    rms_db: float
    peak_db: float
    clipped: float
    silence: float


LEVELS = tuple(field.name for field in fields(Level))


def measure_levels(store: Store) -> dict[str, Level]:
    """Measure every clip of a waveform store, by its id. Reads each sample once.

    Samples above full scale, which resampling makes of loud ones, are clipped in int16 stores and
    count as at full scale in float32 ones.

    Parameters
    ----------
    store : Store
        Of the kind ``waveform``.

    Returns
    -------
    dict of str to Level
    """
    scale = store.spec.scale
    top, bottom = (32767, -32768) if scale != 1 else (32767 / 32768, -32767 / 32768)
    power = store.mean[:, 0] ** 2 + store.m2[:, 0] / np.maximum(store.count, 1)
    result = {}
    for i, clip_id in enumerate(store):
        y = store.frames[store.start[i]:store.start[i] + store.length[i]]
        high, low = float(y.max()), float(y.min())
        clipped = 0
        if high >= top or low <= bottom:
            full = (y >= top) | (y <= bottom)
            pairs = full[1:] & full[:-1]
            clipped = int((np.append(pairs, False) | np.insert(pairs, 0, False)).sum())
        first, last = store.sound[i]
        result[clip_id] = Level(
            rms_db=_decibels(float(np.sqrt(power[i]))),
            peak_db=_decibels(max(high, -low) * scale),
            clipped=clipped / len(y),
            silence=1 - float(last - first) / len(y),
        )
    return result


def _decibels(amplitude: float) -> float:
    return 20 * float(np.log10(amplitude)) if amplitude > 0 else -np.inf
