"""Measure levels, silence and clipping, from a waveform store as far as possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from pipeline.audio.decode import DecodeError, opened
from pipeline.dataset.tables import Clip
from pipeline.runtime.parallel import imap
from pipeline.store.reader import Store

# Resampling rounds flat peaks off, so a store at another rate than a clip's file does not show
# whether it is clipped. Clips whose resampled peak is lower than this are taken not to be.
_MAYBE_CLIPPED_DB = -3.0


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
        clip that was only normalized has single samples there. NaN if it is not known.
    silence : float in [0, 1]
        Share of the clip before and after its sound, as extract found it (``--trim-db``).
    """

    rms_db: float
    peak_db: float
    clipped: float
    silence: float


LEVELS = tuple(field.name for field in fields(Level))


def measure_levels(
    store: Store, clips: Iterable[Clip], *, root: Path, jobs: int
) -> dict[str, Level]:
    """Measure every clip of a waveform store, by its id. Reads each sample of the store once.

    A loud clip whose file has another sampling rate than the store is decoded to see whether it is
    clipped; if its file cannot be read, that is not known.

    Parameters
    ----------
    store : Store
        Of the kind ``waveform``.
    clips : iterable of Clip
        The files, as prepare found them.
    root : Path
        The data set's folder.
    jobs : int
        Number of threads; -1: one per CPU core.

    Returns
    -------
    dict of str to Level
    """
    result = _levels_in(store)
    sr, decoded = store.spec.declaration.sr, {}
    for clip in clips:
        level = result.get(clip.clip_id)
        if level is None or clip.header.sr == sr:
            continue
        if level.peak_db < _MAYBE_CLIPPED_DB:
            result[clip.clip_id] = replace(level, clipped=0.0)
        else:
            decoded[clip.clip_id] = root / clip.path
    shares: Mapping[str, float] = dict(imap(
        _clipped_in_file, decoded.items(), jobs=jobs, backend="threading"
    ))
    for clip_id, share in shares.items():
        result[clip_id] = replace(result[clip_id], clipped=share)
    return result


def _levels_in(store: Store) -> dict[str, Level]:
    scale = store.spec.scale
    power = store.mean[:, 0] ** 2 + store.m2[:, 0] / np.maximum(store.count, 1)
    result = {}
    for i, clip_id in enumerate(store):
        y = store.frames[store.start[i]:store.start[i] + store.length[i]]
        first, last = store.sound[i]
        result[clip_id] = Level(
            rms_db=_decibels(float(np.sqrt(power[i]))),
            peak_db=_decibels(max(float(y.max()), -float(y.min())) * scale),
            clipped=clipped_share([y]),
            silence=1 - float(last - first) / len(y),
        )
    return result


def clipped_share(blocks: Iterable[np.ndarray]) -> float:
    """Compute the share of samples at full scale that have a neighbour at full scale.

    Parameters
    ----------
    blocks : iterable of np.ndarray [shape=(n,), dtype=int16 or float]
        Consecutive samples; floating-point ones have full scale at 1.0, where anything from
        32767/32768 on counts as at full scale.

    Returns
    -------
    float in [0, 1]
    """
    total = clipped = 0
    before = counted = False  # Was the last sample at full scale, and has it been counted?
    for y in blocks:
        top, bottom = (32767, -32768) if y.dtype.kind == "i" else (32767 / 32768, -32767 / 32768)
        total += len(y)
        if not len(y):
            continue
        if y.max() < top and y.min() > bottom:
            before = counted = False
            continue
        full = np.concatenate([[before], (y >= top) | (y <= bottom)])
        flat = np.zeros(len(full), bool)
        pairs = full[1:] & full[:-1]
        flat[1:] |= pairs
        flat[:-1] |= pairs
        clipped += int(flat.sum()) - (counted and bool(flat[0]))
        before, counted = bool(full[-1]), bool(flat[-1])
    return clipped / total if total else 0.0


def _clipped_in_file(task: tuple[str, Path]) -> tuple[str, float]:
    clip_id, path = task
    try:
        with opened(path) as (_, blocks):
            return clip_id, clipped_share(blocks)
    except (DecodeError, OSError):
        return clip_id, float("nan")


def _decibels(amplitude: float) -> float:
    return 20 * float(np.log10(amplitude)) if amplitude > 0 else -np.inf
