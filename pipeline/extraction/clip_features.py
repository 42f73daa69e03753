"""Compute all features of one clip at one sampling rate and write them to their stores."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from features.base import FrontEnd, Stream
from features.signal.moments import Moments, merge, moments_of
from features.signal.silence import SilenceStream
from pipeline.audio.decode import Resampler, as_float32
from pipeline.extraction.targets import Target
from pipeline.runtime.files import naming
from pipeline.runtime.problems import BadClip

# Frames handled at a time, and how many a clip may have before they wait on disk (64 MB of 128).
_CHUNK = 1024
_IN_MEMORY = 128 * _CHUNK


class FrameSink(Protocol):
    """Where one clip's frames of one feature go: its store, by way of a ``ClipWriter``, or not."""

    def write(self, frames: np.ndarray) -> None:
        """Take the next frames. [shape=(n, width) or (n,), dtype as stored]"""

    def finish(self, digest: str, sound: tuple[int, int], moments: Moments) -> None:
        """Take what is known at the clip's end."""


class ClipFeatures:
    """All features of one clip that want the same sampling rate.

    Parameters
    ----------
    source_sr, sr : int
        Sampling rate of the file and of the features (in Hz).
    length : int
        Samples at `sr`.
    sinks : sequence of (Target, FrameSink)
    spool : Path
        A folder for the frames of clips too long for memory.
    """

    def __init__(
        self, source_sr: int, sr: int, length: int,
        sinks: Sequence[tuple[Target, FrameSink]], spool: Path,
    ) -> None:
        self._resampler = Resampler(source_sr, sr, length)
        self._silence = SilenceStream()
        self._length = length
        self._outputs = [FeatureOutput(target, writer) for target, writer in sinks]
        front_ends = dict.fromkeys(output.feature.front_end for output in self._outputs)
        self._branches = [
            Branch(front_end, [o for o in self._outputs if o.feature.front_end == front_end],
                   length, spool)
            for front_end in front_ends
        ]

    def push(self, y: np.ndarray, *, last: bool) -> None:
        """Take the next decoded samples. [shape=(n,), dtype=int16 or float32]"""
        y = self._resampler.push(y, last=last)
        samples = as_float32(y)
        self._silence.push(samples)
        for branch in self._branches:
            branch.push(y if branch.front_end.takes_int16 else samples, last=last)

    def finish(self, digest: str, trim_db: float) -> int:
        """Write what had to wait for the clip's end, and its rows; the samples clipped."""
        for branch in self._branches:
            branch.finish()
        bounds = self._silence.bounds(trim_db)
        for output in self._outputs:
            output.finish(digest, sound_frames(bounds, output.target, self._length))
        return sum(output.clipped for output in self._outputs)


class FeatureOutput:
    """One feature of one clip on its way into its store, or another sink."""

    def __init__(self, target: Target, writer: FrameSink) -> None:
        self.target, self.feature = target, target.feature
        self._writer = writer
        self._moments: list[Moments] = []
        self._stream: Stream | None = None
        self.clipped = 0

    def begin(self, loudest: float | None) -> None:
        """Get ready for the clip's first front-end frames; see :meth:`Feature.stream`."""
        self._stream = self.feature.stream(loudest)

    def push(self, frames: np.ndarray, *, last: bool) -> None:
        """Write what the next front-end frames complete.

        Raises
        ------
        BadClip
            If a value is not finite as it is stored.
        """
        assert self._stream is not None
        frames = self._stream.push(frames, last=last)
        if len(frames):
            stored, clipped = quantised(frames, self.target.spec.dtype)
            moments = moments_of(stored, self.target.spec.scale)
            if not np.isfinite(moments.m2).all():
                raise BadClip(
                    "out-of-range",
                    f"{self.target.name} has values that are NaN or infinite in {stored.dtype}",
                    "Give the feature another dtype or other settings, or leave the clip out",
                )
            self.clipped += clipped
            self._writer.write(stored)
            self._moments.append(moments)

    def finish(self, digest: str, sound: tuple[int, int]) -> None:
        """Write the clip's row."""
        self._writer.finish(digest, sound, merge(self._moments))


class Branch:
    """One front end, and the features that share its frames."""

    def __init__(
        self, front_end: FrontEnd, outputs: Sequence[FeatureOutput], length: int, spool: Path
    ) -> None:
        self.front_end = front_end
        self._stream = front_end.stream()
        self._waiting = [o for o in outputs if o.feature.needs_loudest]
        self._direct = [o for o in outputs if not o.feature.needs_loudest]
        self._loudest = -np.inf
        n_frames = max((o.feature.n_frames(length) for o in self._waiting), default=0)
        self._spool = FrameSpool(n_frames, spool)
        for output in self._direct:
            output.begin(None)

    def push(self, y: np.ndarray, *, last: bool) -> None:
        """Take the next samples. [shape=(n,)]"""
        frames = self._stream.push(y, last=last)
        for output in self._direct:
            output.push(frames, last=last)
        if self._waiting and len(frames):
            self._loudest = max(self._loudest, float(frames.max()))
            self._spool.push(frames)

    def finish(self) -> None:
        """Give the frames that waited to the features that needed the loudest one."""
        for output in self._waiting:
            output.begin(self._loudest)
            for frames, last in self._spool.chunks():
                output.push(frames, last=last)


class FrameSpool:
    """Front-end frames of a clip until its end; past 64 MB they wait in a temporary file.

    Parameters
    ----------
    n_frames : int
        Frames of the clip.
    folder : Path
        Of the temporary file.
    """

    def __init__(self, n_frames: int, folder: Path) -> None:
        self._n_frames = n_frames
        self._chunk = np.empty((0, 0), np.float32)
        self._filled = self._taken = 0
        self._kept: list[np.ndarray] = []
        long = n_frames > _IN_MEMORY
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder) if long else None  # noqa: SIM115

    def push(self, frames: np.ndarray) -> None:
        """Take the next frames. [shape=(n, width), dtype=float32]"""
        while len(frames):
            if self._filled == len(self._chunk):
                self._next_chunk(frames.shape[1])
            n = min(len(frames), len(self._chunk) - self._filled)
            self._chunk[self._filled:self._filled + n] = frames[:n]
            self._filled += n
            frames = frames[n:]

    def _next_chunk(self, width: int) -> None:
        if self._filled:
            if self._file is None:
                self._kept.append(self._chunk)
            else:
                # Not tofile(), whose error on a full disk gives no reason.
                with naming(self._folder):
                    self._file.write(self._chunk.data)
        n = min(_CHUNK, self._n_frames - self._taken)
        self._taken += n
        self._filled = 0
        if self._file is None or len(self._chunk) != n:
            self._chunk = np.empty((n, width), np.float32)

    def chunks(self) -> Iterator[tuple[np.ndarray, bool]]:
        """Yield the frames in order, each chunk with whether it is the last."""
        if self._file is None:
            yield from ((chunk, False) for chunk in self._kept)
        else:
            with naming(self._folder):
                self._file.seek(0)  # writes what is buffered
            width = self._chunk.shape[1]
            for _ in range((self._taken - self._filled) // _CHUNK):
                chunk = np.empty((_CHUNK, width), np.float32)
                # Not fromfile(), which takes an error of the disk for the end of the file.
                with naming(self._folder):
                    n = self._file.readinto(chunk.data.cast("B"))
                    if n < chunk.nbytes:
                        raise OSError(errno.EIO, "frames that were written cannot be read back")
                yield chunk, False
        yield self._chunk[:self._filled], True


def quantised(frames: np.ndarray, dtype: str) -> tuple[np.ndarray, int]:
    """(the frames as they are stored, how many samples int16 had to clip).

    [dtype=float32, or int16 with full scale at 32768]
    """
    if frames.dtype == dtype:
        return frames, 0
    frames = as_float32(frames)
    if dtype != "int16":
        with np.errstate(over="ignore"):
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
    hop = target.feature.frame_samples
    n_frames = target.feature.n_frames(length)
    return bounds[0] // hop, min(n_frames, -(-bounds[1] // hop))
