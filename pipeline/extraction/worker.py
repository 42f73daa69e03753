"""What a worker does with a clip: decode it once, and write every feature in its place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.audio import headers
from pipeline.audio.decode import DecodeError, Header, only_estimated, opened
from pipeline.extraction.extractors import Target
from pipeline.runtime.problems import Problem
from pipeline.store.schema import ByteOffsets
from pipeline.store.writer import ClipWriter

# 60 dB over full scale: integers that were stored as floats, or not audio at all.
MAX_PEAK = 1000.0

# What prepare would say of a file that is not what it saw is said here too, if it says anything.
_NAMED_BY_HEADER = ("changed", "decode-error", "truncated", "unreadable")


@dataclass(frozen=True)
class ClipTask:
    """One clip to extract.

    Attributes
    ----------
    index : int
        The clip's row in every store.
    clip_id : str
    path : Path
    header : Header
        What prepare saw.
    starts : dict of str to int
        First frame in each store that still needs the clip.
    """

    index: int
    clip_id: str
    path: Path
    header: Header
    starts: dict[str, int]


@dataclass(frozen=True)
class ClipResult:
    """What came of one clip.

    Attributes
    ----------
    index : int
    digest : str
        SHA-256 of the file; empty if it could not be read.
    size, mtime_ns : int
        Of the file, before it was read.
    seconds : float
        Of audio.
    problem : Problem or None
        Why the clip is in no store.
    clipped : int
        Samples beyond full scale that int16 could not hold.
    """

    index: int
    digest: str
    size: int
    mtime_ns: int
    seconds: float
    problem: Problem | None
    clipped: int = 0


class BadClip(Exception):
    """A clip that cannot be extracted: reason, what was found, what to do."""


@dataclass(frozen=True, eq=False)  # joblib's Dask backend wants a hash; the identity is one
class Worker:
    """Everything that workers share; small enough to be sent with each task.

    Attributes
    ----------
    targets : tuple of Target
    offsets : dict of str to ByteOffsets
        Of each target's file.
    trim_db : float
    spool : Path
        A folder for the mel frames of clips too long for memory.
    """

    targets: tuple[Target, ...]
    offsets: dict[str, ByteOffsets]
    trim_db: float
    spool: Path

    def __call__(self, batch: list[ClipTask]) -> list[ClipResult]:
        """Extract some clips. Bad clips come back as problems; errors of the machine raise."""
        return [self._extract(work) for work in batch]

    def _extract(self, work: ClipTask) -> ClipResult:
        seconds = work.header.frames / work.header.sr
        digest, size, mtime_ns = "", -1, -1
        try:
            try:
                stat = os.stat(work.path)
                size, mtime_ns = stat.st_size, stat.st_mtime_ns
                digest = digest_of(work.path)
            except OSError as error:
                raise BadClip(
                    "unreadable", error.strerror or str(error), "Mend it, then prepare again"
                ) from None
            clipped = self._fill(work, digest)
        except BadClip as bad:
            problem = Problem(work.clip_id, *bad.args)
            if problem.reason in _NAMED_BY_HEADER:
                found = headers.check(work.path, work.clip_id)
                problem = found if isinstance(found, Problem) else problem
            return ClipResult(work.index, digest, size, mtime_ns, seconds, problem)
        return ClipResult(work.index, digest, size, mtime_ns, seconds, None, clipped)

    def _fill(self, work: ClipTask, digest: str) -> int:
        """Decode the clip into every store that needs it; the number of clipped samples."""
        # Here, for the process that sends the work need not wait for a compiler to be imported.
        from pipeline.extraction.clip_features import ClipFeatures

        targets = [t for t in self.targets if t.name in work.starts]
        with ExitStack() as stack:
            tracks = []
            for sr in sorted({t.extractor.sr for t in targets}):
                length = work.header.length_at(sr)
                sinks = [
                    (target, stack.enter_context(ClipWriter(
                        self.offsets[target.name], target.spec, work.index,
                        work.starts[target.name], target.extractor.n_frames(length),
                    )))
                    for target in targets if target.extractor.sr == sr
                ]
                tracks.append(ClipFeatures(work.header.sr, sr, length, sinks, self.spool))
            for y, last in checked(work):
                for track in tracks:
                    track.push(y, last=last)
            return sum(track.finish(digest, self.trim_db) for track in tracks)


def checked(work: ClipTask) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield a clip's decoded blocks, each with whether it is the last.

    Raises
    ------
    BadClip
        If the file is not what prepare saw, or its samples are not usable audio.
    """
    expected, total = work.header, 0
    try:
        with opened(work.path) as (found, blocks):
            if (found.sr, found.channels) != (expected.sr, expected.channels):
                raise BadClip(
                    "changed",
                    f"{found.sr} Hz, {found.channels} channels; "
                    f"prepare saw {expected.sr} Hz, {expected.channels}",
                    "Prepare again",
                )
            # Where a header only estimates a length, prepare counted it.
            if found.frames != expected.frames and not only_estimated(found.format):
                raise BadClip(
                    "changed", f"{found.frames} samples; prepare saw {expected.frames}",
                    "Prepare again: it tells whether the file is whole",
                )
            for y in blocks:
                check_samples(y, total)
                total += len(y)
                if total > expected.frames:
                    break
                yield y, total == expected.frames
    except DecodeError as error:
        raise BadClip("decode-error", str(error), "Get the file again") from None
    if total != expected.frames:
        raise BadClip(
            "truncated" if total < expected.frames else "changed",
            f"{total} samples where {expected.frames} were announced",
            "Get the file again, then prepare again",
        )


def check_samples(y: np.ndarray, first: int) -> None:
    """Raise BadClip if samples are not usable audio; `first` is the place of ``y[0]``."""
    if y.dtype == np.int16:
        return
    peak = max(float(y.max()), -float(y.min()))
    if not np.isfinite(peak):
        i = int(np.flatnonzero(~np.isfinite(y))[0])
        raise BadClip(
            "non-finite", f"{y[i]} at sample {first + i}", "Convert it again from its source"
        )
    if peak > MAX_PEAK:
        raise BadClip(
            "too-loud", f"a peak of {peak:g}, where full scale is 1",
            "Divide the samples by the full scale of the integers they were",
        )


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
