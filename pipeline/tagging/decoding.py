"""Decode files and compute their features, as extract does, in workers that need no TensorFlow.

The frames are those that a store would hold: the same decoder, resampler and streams, in the same
dtype. Frames of a short file are sent back to the main process; those of a long one go into a file
of the spool folder, which the main process maps. So memory does not grow with the length of a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.signal.moments import Moments
from pipeline.audio import headers
from pipeline.audio.decode import DecodeError, opened
from pipeline.audio.file_header import Header
from pipeline.extraction.targets import Target
from pipeline.extraction.worker import check_samples
from pipeline.runtime.files import naming
from pipeline.runtime.problems import BadClip, Problem
from pipeline.runtime.text import readable
from pipeline.store.schema import FeatureSpec
from pipeline.tagging.audio_files import AudioFile

# Frames that travel to the main process by themselves: 23 s of log-mel of 128 bands at 44.1 kHz.
# Until a chunk of files (see `tag_files`) is scored, as many are held for each file.
IN_MEMORY = 1 << 20


@dataclass(frozen=True)
class SpooledFrames:
    """Frames of one long file, in a file of their own.

    Attributes
    ----------
    path : Path
    dtype : str
    shape : tuple of int
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]

    def mapped(self) -> NDArray:
        """The frames, mapped from the file."""
        return np.memmap(self.path, self.dtype, "r", shape=self.shape)


@dataclass(frozen=True)
class DecodedFile:
    """One file's frames, or what is wrong with the file.

    Attributes
    ----------
    index : int
        As in its :class:`FileTask`.
    seconds : float
        Length of the audio.
    frames : dict of str to np.ndarray or SpooledFrames
        By the target's name [shape=(n_frames, width) or (n_samples,)], in the dtype of its store.
    sound : dict of str to tuple of int
        By the target's name, the first frame and one past the last that is not leading or trailing
        silence.
    problem : Problem or None
    """

    index: int
    seconds: float = 0.0
    frames: dict[str, NDArray | SpooledFrames] = field(default_factory=dict)
    sound: dict[str, tuple[int, int]] = field(default_factory=dict)
    problem: Problem | None = None


@dataclass(frozen=True)
class FileTask:
    """One file to decode, and its number among all files."""

    index: int
    file: AudioFile


@dataclass(frozen=True, eq=False)
class FrameWorker:
    """What all workers share.

    Attributes
    ----------
    targets : tuple of Target
        The features to compute.
    spool : Path
        A folder for the frames of long files.
    in_memory : int
        Frames that take more (in bytes) go into a file there.
    """

    targets: tuple[Target, ...]
    spool: Path
    in_memory: int = IN_MEMORY

    def __call__(self, batch: Sequence[FileTask]) -> list[DecodedFile]:
        """Decode some files. Bad ones are returned as problems; system errors are raised."""
        return [self._decode(task) for task in batch]

    def _decode(self, task: FileTask) -> DecodedFile:
        where = readable(task.file.name)
        header = headers.check(task.file.path, where)
        if isinstance(header, Problem):
            return DecodedFile(task.index, problem=header)
        try:
            sinks = self._filled(task, header)
        except BadClip as bad:
            return DecodedFile(task.index, problem=bad.at(where))
        return DecodedFile(
            task.index, header.frames / header.sr,
            {name: sink.frames() for name, sink in sinks.items()},
            {name: sink.sound for name, sink in sinks.items()},
        )

    def _filled(self, task: FileTask, header: Header) -> dict[str, _Frames]:
        # Imported here, so that the main process does not wait for a compiler to be imported.
        from pipeline.extraction.clip_features import ClipFeatures

        sinks = {
            target.name: _Frames(target.spec, target.feature.n_frames(
                header.length_at(target.feature.sr)
            ), self.spool / f"{task.index}-{target.name}", self.in_memory)
            for target in self.targets
        }
        # What is computed together has one sampling rate and one rule for silence.
        kinds = {t.name: (t.feature.sr, t.spec.config["trim_db"]) for t in self.targets}
        features = [
            (trim_db, ClipFeatures(
                header.sr, sr, header.length_at(sr),
                [(t, sinks[t.name]) for t in self.targets if kinds[t.name] == (sr, trim_db)],
                self.spool,
            )) for sr, trim_db in sorted(set(kinds.values()))
        ]
        try:
            for y, last in _blocks(task.file.path, header):
                for _, each in features:
                    each.push(y, last=last)
            for trim_db, each in features:
                each.finish("", trim_db=trim_db)
        except BaseException:
            for sink in sinks.values():
                sink.discard()
            raise
        return sinks


class _Frames:
    """Where the frames of one feature of one file go: a :class:`FrameSink`."""

    def __init__(self, spec: FeatureSpec, n_frames: int, path: Path, in_memory: int) -> None:
        self._spec, self._n_frames, self._path = spec, n_frames, path
        self._pieces: list[NDArray] = []
        is_long = n_frames * spec.frame_bytes > in_memory
        self._file = open(path, "wb") if is_long else None  # noqa: SIM115
        self.sound = (0, n_frames)

    def write(self, frames: NDArray) -> None:
        """Take the next frames."""
        if self._file is None:
            self._pieces.append(frames)
        else:
            with naming(self._path):
                self._file.write(np.ascontiguousarray(frames).data)

    def finish(self, digest: str, sound: tuple[int, int], moments: Moments) -> None:
        """Take the clip's end."""
        self.sound = sound
        if self._file is not None:
            with naming(self._path):
                self._file.close()

    def frames(self) -> NDArray | SpooledFrames:
        """All frames, after the end."""
        if self._file is None:
            return np.concatenate(self._pieces)
        shape = (self._n_frames, self._spec.width) if self._spec.width else (self._n_frames,)
        return SpooledFrames(self._path, self._spec.dtype, shape)

    def discard(self) -> None:
        """Delete what was written."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


def _blocks(path: Path, header: Header) -> Iterator[tuple[NDArray, bool]]:
    """Yield a file's decoded blocks, each with whether it is the last.

    Raises
    ------
    BadClip
        If the file cannot be decoded, is not as long as its header says, or its samples are not
        usable audio.
    """
    total = 0
    try:
        with opened(path) as (found, blocks):
            if (found.sr, found.channels) != (header.sr, header.channels):
                raise BadClip("changed", "the file was changed while it was read", "Tag it again")
            for y in blocks:
                check_samples(y, total)
                total += len(y)
                if total > header.frames:
                    break
                yield y, total == header.frames
    except DecodeError as error:
        raise BadClip("decode-error", str(error), headers.GET_AGAIN) from None
    except OSError as error:
        raise BadClip("unreadable", error.strerror or str(error), headers.GET_AGAIN) from None
    if total != header.frames:
        raise BadClip(
            "truncated" if total < header.frames else "changed",
            f"its header declares {header.frames:,} samples, "
            f"it has {'more' if total > header.frames else f'{total:,}'}", headers.GET_AGAIN,
        )
