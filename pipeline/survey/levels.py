"""Measure levels, silence and clipping: from a waveform store at the files' rate, or the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from pipeline.audio.decode import DecodeError, as_float32, opened
from pipeline.dataset.tables import Clip
from pipeline.runtime.parallel import imap
from pipeline.runtime.progress import ClipProgress
from pipeline.store.reader import Store


@dataclass(frozen=True, slots=True)
class Level:
    """The level of a clip, its channels averaged, as features are computed.

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
    store: Store, clips: Iterable[Clip], *, root: Path, decode: bool, jobs: int
) -> dict[str, Level]:
    """Measure the clips of a waveform store, by their ids.

    Resampling takes away what lies above half the lower rate, and rounds flat peaks off. So a store
    has the levels of files at its own rate alone; other files are decoded, if `decode` is set.

    Parameters
    ----------
    store : Store
        Of the kind ``waveform``. Each of its samples is read once.
    clips : iterable of Clip
        The files, as prepare found them.
    root : Path
        The data set's folder.
    decode : bool
        Whether to decode the files of other rates. Otherwise the store's levels stand for them, and
        whether they are clipped is not known.
    jobs : int
        Number of threads; -1: one per CPU core.

    Returns
    -------
    dict of str to Level
        Without the files that cannot be read.
    """
    sr = store.spec.declaration.sr
    others = {clip.clip_id: clip for clip in clips
              if clip.clip_id in store and clip.header.sr != sr}
    result = {clip_id: _level_in(store, clip_id) for clip_id in store
              if not (decode and clip_id in others)}
    if not decode:
        return {clip_id: replace(level, clipped=np.nan) if clip_id in others else level
                for clip_id, level in result.items()}
    tasks = [(clip_id, root / clip.path, _silence(store, clip_id))
             for clip_id, clip in others.items()]
    seconds = {clip_id: clip.header.frames / clip.header.sr for clip_id, clip in others.items()}
    with ClipProgress(len(tasks), sum(seconds.values())) as progress:
        for clip_id, level in imap(_level_of_file, tasks, jobs=jobs, backend="threading"):
            progress.update(1, seconds[clip_id], int(level is None))
            if level is not None:
                result[clip_id] = level
    return {clip_id: result[clip_id] for clip_id in store if clip_id in result}


def _level_in(store: Store, clip_id: str) -> Level:
    i = store.index_of(clip_id)
    y = store.frames[store.start[i]:store.start[i] + store.length[i]]
    power = float(store.mean[i, 0] ** 2 + store.m2[i, 0] / max(store.count[i], 1))
    return Level(
        rms_db=_decibels(np.sqrt(power)),
        peak_db=_decibels(max(float(y.max()), -float(y.min())) * store.spec.scale),
        clipped=clipped_share([y]), silence=_silence(store, clip_id),
    )


def _silence(store: Store, clip_id: str) -> float:
    i = store.index_of(clip_id)
    return 1 - float(store.sound[i, 1] - store.sound[i, 0]) / float(store.length[i])


def _level_of_file(task: tuple[str, Path, float]) -> tuple[str, Level | None]:
    """Measure a file by decoding it; None if it cannot be read."""
    clip_id, path, silence = task
    n, squares, peak = 0, 0.0, 0.0

    def measured(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal n, squares, peak
        for block in blocks:
            y = as_float32(block)
            n += len(y)
            squares += float(np.dot(y, y))
            peak = max(peak, float(np.abs(y).max(initial=0)))
            yield block

    try:
        with opened(path) as (_, blocks):
            clipped = clipped_share(measured(blocks))
    except (DecodeError, OSError):
        return clip_id, None
    if not n:
        return clip_id, None
    return clip_id, Level(_decibels(np.sqrt(squares / n)), _decibels(peak), clipped, silence)


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


def _decibels(amplitude: float) -> float:
    return 20 * float(np.log10(amplitude)) if amplitude > 0 else -np.inf
