"""Write clips into a store that was laid out before, without HDF5."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

from features.signal.moments import Moments
from pipeline.store.schema import ByteOffsets, ClipRow, FeatureSpec, as_bytes


class ClipWriter:
    """Write one clip into an allocated store, block by block, then its row.

    Every byte goes through ``os.pwrite`` at its own offset, so any number of workers on any number
    of machines fill one file; memory maps would fight over pages on network file systems.

    Parameters
    ----------
    offsets : ByteOffsets
        Of the allocated file.
    spec : FeatureSpec
    index : int
        The clip's row in every table.
    start, length : int
        The clip's first frame and its number of frames.
    """

    def __init__(
        self, offsets: ByteOffsets, spec: FeatureSpec, index: int, start: int, length: int
    ) -> None:
        self._offsets, self._index = offsets, index
        self._next = offsets.frames + start * spec.frame_bytes
        self._end = self._next + length * spec.frame_bytes
        self._crc = 0
        self._file = os.open(offsets.path, os.O_WRONLY)

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._file)

    def write(self, frames: np.ndarray) -> None:
        """Append frames, already of the stored dtype.

        Raises
        ------
        ValueError
            If the clip has fewer frames in the file's layout.
        OSError
            With the file's path: no space left on the device, or a failing disk.
        """
        data = as_bytes(frames)
        if self._next + len(data) > self._end:
            raise ValueError(f"clip {self._index} has more frames than were laid out")
        self._crc = zlib.crc32(data, self._crc)
        pwrite_all(self._file, data, self._next, self._offsets.path)
        self._next += len(data)

    def finish(self, digest: str, sound: tuple[int, int], moments: Moments) -> None:
        """Write the clip's row, which completes it.

        Parameters
        ----------
        digest : str
            SHA-256 of the clip's file, as hexadecimal digits.
        sound : tuple of int
            First frame and one past the last frame that is not leading or trailing silence.
        moments : Moments
            Of the scaled values.

        Raises
        ------
        ValueError
            If frames are missing.
        OSError
            With the file's path, as in :meth:`write`.
        """
        if self._next != self._end:
            raise ValueError(f"clip {self._index} has fewer frames than were laid out")
        packed = ClipRow(self._crc, digest, sound, moments).packed()
        for name, data in packed.items():
            offset = self._offsets.tables[name] + self._index * len(data)
            pwrite_all(self._file, data, offset, self._offsets.path)


def pwrite_all(file: int, data: bytes | memoryview, offset: int, path: Path) -> None:
    """Write all of `data` at `offset`: a single ``pwrite`` may stop short of it."""
    try:
        while (written := os.pwrite(file, data, offset)) < len(data):
            data, offset = data[written:], offset + written
    except OSError as error:
        raise _naming(error, path) from None


def _naming(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, error.strerror, os.fspath(path))
