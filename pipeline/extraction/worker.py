"""Decode a clip once and write all of its features to their stores, in a worker."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.audio import headers
from pipeline.audio.decode import DecodeError, only_estimated, opened
from pipeline.audio.file_header import Header
from pipeline.extraction.targets import Target
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import naming
from pipeline.runtime.problems import BadClip, Problem
from pipeline.store.schema import ByteOffsets
from pipeline.store.writer import ClipWriter

# 60 dB over full scale: integers that were stored as floats, or not audio at all.
MAX_PEAK = 1000.0

# For these the header tells more: what prepare would report about the file as it is now.
_NAMED_BY_HEADER = ("changed", "decode-error", "truncated", "unreadable")

# Errors of reading a file that say nothing of the file: descriptors or memory are used up, or a
# server is away. They end the run, which can be resumed.
_NOT_THE_FILE = frozenset({
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ESTALE, errno.ENOTCONN,
    errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EREMOTEIO,
})


class Span(NamedTuple):
    """A clip's frames in one store: the first one, and their number."""

    start: int
    n_frames: int


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
        As prepare read it.
    spans : dict of str to Span
        Where its frames go in each store that still needs the clip, by feature.
    """

    index: int
    clip_id: str
    path: Path
    header: Header
    spans: dict[str, Span]

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.header.frames / self.header.sr


@dataclass(frozen=True)
class ClipResult:
    """The outcome of one clip.

    Attributes
    ----------
    index : int
    digest : str
        SHA-256 of the file; empty if it could not be read.
    size, mtime_ns : int
        The file's size (in bytes) and time of modification before it was read.
    seconds : float
        Duration of the audio.
    problem : Problem or None
        What is wrong with the clip; it is in no store then.
    clipped : int
        Samples beyond full scale that int16 could not hold.
    host : str
        Where the problem was found.
    """

    index: int
    digest: str
    size: int
    mtime_ns: int
    seconds: float
    problem: Problem | None
    clipped: int = 0
    host: str = ""


@dataclass(frozen=True, eq=False)  # joblib's Dask backend wants a hash; the identity is one
class Worker:
    """What all workers share; small enough to be sent with each task.

    Attributes
    ----------
    targets : tuple of Target
    offsets : dict of str to ByteOffsets
        The layout of each target's file, by feature.
    trim_db : float
        How far below a clip's loudest frame silence begins (in dB).
    spool : Path
        A folder for the mel frames of clips that are too long for memory.
    token : Path or None
        A file that this run made in the stores' folder. Workers on other machines look for it.
    """

    targets: tuple[Target, ...]
    offsets: dict[str, ByteOffsets]
    trim_db: float
    spool: Path
    token: Path | None = None

    def __call__(self, batch: list[ClipTask]) -> list[ClipResult]:
        """Extract some clips. Bad clips are returned as problems; system errors are raised."""
        if self.token is not None and not self.token.exists():
            raise PipelineError(
                f"a worker on {socket.gethostname()} does not see {self.token.parent}. All workers "
                "need the folders of the audio and of the stores under the same paths as this "
                "machine, from a file system that they share"
            )
        return [self._extract(task) for task in batch]

    def _extract(self, task: ClipTask) -> ClipResult:
        digest, size, mtime_ns = "", -1, -1
        try:
            try:
                stat = os.stat(task.path)
                size, mtime_ns = stat.st_size, stat.st_mtime_ns
                digest = digest_of(task.path)
            except OSError as error:
                if error.errno in _NOT_THE_FILE:
                    raise
                raise BadClip(
                    "unreadable", error.strerror or str(error), "Fix the file, then rerun prepare"
                ) from None
            clipped = self._fill(task, digest)
        except BadClip as bad:
            problem = bad.at(task.clip_id)
            if problem.reason in _NAMED_BY_HEADER:
                found = headers.check(task.path, task.clip_id)
                problem = found if isinstance(found, Problem) else problem
            return ClipResult(task.index, digest, size, mtime_ns, task.seconds, problem,
                              host=socket.gethostname())
        return ClipResult(task.index, digest, size, mtime_ns, task.seconds, None, clipped)

    def _fill(self, task: ClipTask, digest: str) -> int:
        """Decode the clip into every store that needs it; return the number of clipped samples."""
        # Imported here, so that the parent process does not wait for a compiler to be imported.
        from pipeline.extraction.clip_features import ClipFeatures

        targets = [t for t in self.targets if t.name in task.spans]
        with ExitStack() as stack:
            features = []
            for sr in sorted({t.feature.sr for t in targets}):
                sinks = [
                    (target, stack.enter_context(ClipWriter(
                        self.offsets[target.name], target.spec, task.index,
                        *task.spans[target.name],
                    )))
                    for target in targets if target.feature.sr == sr
                ]
                length = task.header.length_at(sr)
                features.append(ClipFeatures(task.header.sr, sr, length, sinks, self.spool))
            for y, last in checked(task):
                for each in features:
                    each.push(y, last=last)
            return sum(each.finish(digest, self.trim_db) for each in features)


def checked(task: ClipTask) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield a clip's decoded blocks, each with whether it is the last.

    Raises
    ------
    BadClip
        If the file is not the one that prepare read, or its samples are not usable audio.
    """
    expected, total = task.header, 0
    try:
        with opened(task.path) as (found, blocks):
            if (found.sr, found.channels) != (expected.sr, expected.channels):
                raise BadClip(
                    "changed",
                    f"{found.sr} Hz, {found.channels} channels; "
                    f"prepare read {expected.sr} Hz, {expected.channels}",
                    "Rerun prepare",
                )
            # Where a header only estimates a length, prepare counted it.
            if found.frames != expected.frames and not only_estimated(found.format):
                raise BadClip(
                    "changed", f"{found.frames} samples; prepare read {expected.frames}",
                    "Rerun prepare, which tells whether the file is complete",
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
            f"{total} samples; the header declares {expected.frames}",
            "Get the file again, then rerun prepare",
        )


def check_samples(y: np.ndarray, first: int) -> None:
    """Raise BadClip if samples are not usable audio; ``y[0]`` is the clip's sample `first`."""
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
    """Compute the SHA-256 of a file's bytes, as hexadecimal digits."""
    with naming(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
