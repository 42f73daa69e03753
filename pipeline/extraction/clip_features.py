"""One clip at one sampling rate, from its samples to the bytes of every store that wants them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from features.kernels.decibels import to_db
from features.logmel import LogMel, db_floor
from features.mfcc import Mfcc
from features.signal.mel_stream import MelStream
from features.signal.melspectrogram import Mel
from features.signal.moments import Moments, merge, moments_of
from features.signal.silence import SilenceStream
from pipeline.audio.decode import Resampler, as_float32
from pipeline.extraction.extractors import Target
from pipeline.store.writer import ClipWriter

# Mel frames handled at a time, and how many a clip may have before they wait on disk (64 MB).
_CHUNK = 1024
_IN_MEMORY = 128 * _CHUNK


class ClipFeatures:
    """One clip at one sampling rate: every feature that wants that rate."""

    def __init__(
        self, source_sr: int, sr: int, length: int,
        sinks: list[tuple[Target, ClipWriter]], spool: Path,
    ) -> None:
        self._resampler = Resampler(source_sr, sr, length)
        self._silence = SilenceStream()
        self._length = length
        self._targets = [target for target, _ in sinks]
        self._writers = {target.name: writer for target, writer in sinks}
        self._moments: dict[str, list[Moments]] = {target.name: [] for target, _ in sinks}
        mels = {t.extractor.mel for t in self._targets if isinstance(t.extractor, LogMel | Mfcc)}
        self._spools = {mel: MelSpool(mel, mel.n_frames(length), spool) for mel in mels}
        self._clipped = 0

    def push(self, y: np.ndarray, *, last: bool) -> None:
        """Take the next decoded samples. [shape=(n,), dtype=int16 or float32]"""
        y = self._resampler.push(y, last=last)
        for target in self._targets:
            if target.name == "waveform" and len(y):
                self._write(target, y)
        y = as_float32(y)
        self._silence.push(y)
        for spool in self._spools.values():
            spool.push(y, last=last)

    def finish(self, digest: str, trim_db: float) -> int:
        """Write what had to wait for the clip's end, and the rows; the samples clipped."""
        bounds = self._silence.bounds(trim_db)
        for target in self._targets:
            extractor = target.extractor
            if isinstance(extractor, LogMel | Mfcc):
                spool = self._spools[extractor.mel]
                floor = db_floor(spool.loudest, extractor.top_db)
                for db in spool.chunks():
                    self._write(target, extractor.from_db(db, floor))
            sound = sound_frames(bounds, target, self._length)
            self._writers[target.name].finish(digest, sound, merge(self._moments[target.name]))
        return self._clipped

    def _write(self, target: Target, frames: np.ndarray) -> None:
        stored, clipped = quantised(frames, target.spec.dtype)
        self._clipped += clipped
        self._writers[target.name].write(stored)
        self._moments[target.name].append(moments_of(stored, target.spec.scale))


class MelSpool:
    """Decibels of a clip until its maximum is known; past 64 MB they wait in a temporary file."""

    def __init__(self, mel: Mel, n_frames: int, folder: Path) -> None:
        self._stream: MelStream = mel.stream()
        self._n_frames, self._n_mels = n_frames, mel.n_mels
        self._chunk = np.empty((0, mel.n_mels), np.float32)
        self._filled = self._taken = 0
        self._kept: list[np.ndarray] = []
        long = n_frames > _IN_MEMORY
        self._file = tempfile.TemporaryFile(dir=folder) if long else None  # noqa: SIM115
        self.loudest = -np.inf

    def push(self, y: np.ndarray, *, last: bool) -> None:
        """Take the next samples. [shape=(n,), dtype=float32]"""
        db = to_db(self._stream.push(y, last=last))
        if len(db):
            self.loudest = max(self.loudest, float(db.max()))
        while len(db):
            if self._filled == len(self._chunk):
                self._next_chunk()
            n = min(len(db), len(self._chunk) - self._filled)
            self._chunk[self._filled:self._filled + n] = db[:n]
            self._filled += n
            db = db[n:]

    def _next_chunk(self) -> None:
        if self._filled:
            if self._file is None:
                self._kept.append(self._chunk)
            else:
                self._chunk.tofile(self._file)
        n = min(_CHUNK, self._n_frames - self._taken)
        self._taken += n
        self._filled = 0
        if self._file is None or len(self._chunk) != n:
            self._chunk = np.empty((n, self._n_mels), np.float32)

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield the frames in order, after the last push. [shape=(n, n_mels), dtype=float32]"""
        if self._file is None:
            yield from self._kept
        else:
            self._file.seek(0)
            for _ in range((self._taken - self._filled) // _CHUNK):
                flat = np.fromfile(self._file, np.float32, _CHUNK * self._n_mels)
                yield flat.reshape(_CHUNK, self._n_mels)
        yield self._chunk[:self._filled]


def quantised(frames: np.ndarray, dtype: str) -> tuple[np.ndarray, int]:
    """(the frames as they are stored, how many samples int16 had to clip).

    [dtype=float32, or int16 with full scale at 32768]
    """
    if frames.dtype == dtype:
        return frames, 0
    frames = as_float32(frames)
    if dtype != "int16":
        return frames.astype(dtype, copy=False), 0
    scaled = frames * np.float32(32768)
    np.rint(scaled, out=scaled)
    if scaled.max() <= 32767 and scaled.min() >= -32768:
        return scaled.astype(np.int16), 0
    # +1.0 is 32768: one step too many for int16, and no more clipped than in any 16-bit file.
    clipped = int(np.count_nonzero((scaled > 32768) | (scaled < -32768)))
    return np.clip(scaled, -32768, 32767).astype(np.int16), clipped


def sound_frames(bounds: tuple[int, int], target: Target, length: int) -> tuple[int, int]:
    """Bounds in samples as bounds in the frames of a feature: every frame that begins in them."""
    hop = getattr(target.extractor, "hop_length", 1)
    n_frames = target.extractor.n_frames(length)
    return bounds[0] // hop, min(n_frames, -(-bounds[1] // hop))
