"""Where everything of a store lies, so that workers can write it without HDF5.

A store's file is laid out before anything is decoded, for the lengths are known. What a worker
needs then is a dataset's byte offset, its dtype and its shape: with these it writes a clip's
frames and its row of every table with plain ``pwrite``.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.signal.moments import Moments
from pipeline.runtime.files import naming

# Per-clip tables: name -> (dtype, values a row; None is one scalar, 0 is the feature's width).
TABLES: dict[str, tuple[str, int | None]] = {
    "crc32": ("<u4", None),
    "digest": ("S64", None),
    "sound": ("<i8", 2),
    "moments/count": ("<i8", None),
    "moments/mean": ("<f8", 0),
    "moments/m2": ("<f8", 0),
    # Last: the checksum of the row's other tables, in this order.
    "row_crc32": ("<u4", None),
}


# What HDF5 writes besides the clips' ids, starts and lengths is less than this.
_HEADERS = 32_768


@dataclass(frozen=True)
class FeatureSpec:
    """What a store holds, told apart by everything that changes a value in it.

    Attributes
    ----------
    feature : str
        ``waveform``, ``mfcc`` or ``logmel``.
    version : int
        Of the feature's numbers: it grows when a value moves.
    dtype : str
        Of the stored frames: ``int16``, ``float16`` or ``float32``.
    width : int
        Values a frame; 0 for a waveform, whose frame is a sample.
    units : str
        Of the values once scaled (``dB``, ``full scale``).
    config : dict
        Every setting of the extractor, and `trim_db`, the rule for silence.
    """

    feature: str
    version: int
    dtype: str
    width: int
    units: str
    config: dict[str, Any]

    @property
    def scale(self) -> float:
        """What a stored value is multiplied by: 1/32768 for int16, else 1."""
        return 1 / 32768 if self.dtype == "int16" else 1.0

    @property
    def config_json(self) -> str:
        """The configuration as canonical JSON: sorted keys, no spaces."""
        return json.dumps(
            {"dtype": self.dtype, **self.config}, sort_keys=True, separators=(",", ":"),
            allow_nan=False,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the feature's name, version and configuration, as hexadecimal digits."""
        text = f"{self.feature}\n{self.version}\n{self.config_json}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def frame_bytes(self) -> int:
        """Bytes of one stored frame."""
        return np.dtype(self.dtype).itemsize * max(1, self.width)


@dataclass(frozen=True)
class Excluded:
    """A bad clip that was left out of a store: its id, reason code and content digest."""

    clip_id: str
    reason: str
    digest: str


@dataclass(frozen=True)
class Contents:
    """The clips of a store and their places. `start` follows from `length`: no gaps, this order.

    Attributes
    ----------
    clip_ids : tuple of str
    lengths : tuple of int
        Frames a clip.
    excluded : tuple of Excluded
    """

    clip_ids: tuple[str, ...]
    lengths: tuple[int, ...]
    excluded: tuple[Excluded, ...] = ()

    def key(self, spec: FeatureSpec) -> str:
        """A digest of everything that is known before decoding; a journal belongs to one."""
        clips = {
            "clip_ids": self.clip_ids, "lengths": self.lengths,
            "excluded": [asdict(e) for e in self.excluded],
        }
        text = json.dumps([spec.fingerprint, spec.units, clips], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ByteOffsets:
    """Byte offsets in a store's file.

    Attributes
    ----------
    path : Path
        The file that is being filled.
    frames : int
        Offset of the first frame (in bytes).
    tables : dict of str to int
        Offset of each table of :data:`TABLES` (in bytes).

    A file's name holds its contents' key while it is being filled, so a worker that outlives its
    run never writes into a file that was laid out differently.
    """

    path: Path
    frames: int
    tables: dict[str, int]


@dataclass(frozen=True)
class Row:
    """A clip's row of every table, as it is written."""

    crc32: int
    digest: str
    sound: tuple[int, int]
    moments: Moments

    def packed(self) -> dict[str, bytes]:
        """The bytes of each table's row."""
        data = {
            "crc32": struct.pack("<I", self.crc32),
            "digest": self.digest.encode(),
            "sound": struct.pack("<qq", *self.sound),
            "moments/count": struct.pack("<q", self.moments.count),
            "moments/mean": self.moments.mean.astype("<f8", copy=False).tobytes(),
            "moments/m2": self.moments.m2.astype("<f8", copy=False).tobytes(),
        }
        crc = zlib.crc32(b"".join(data.values()))
        return {**data, "row_crc32": struct.pack("<I", crc)}


def row_bytes(name: str, spec: FeatureSpec) -> int:
    """Bytes of one row of a table."""
    dtype, many = TABLES[name]
    values = 1 if many is None else many or max(1, spec.width)
    return np.dtype(dtype).itemsize * values


def check_room(path: Path, spec: FeatureSpec, contents: Contents) -> None:
    """Make a file of a store's size, so that HDF5 need not find out that there is no room for it.

    It would tell in a page of text, or crash. The frames are not written: their disk blocks are
    known to be missing only when workers write them.

    Raises
    ------
    OSError
        With the path: no space left, or over a quota or a limit on the size of files.
    """
    n = len(contents.clip_ids)
    names = [*contents.clip_ids, *(e.clip_id for e in contents.excluded)]
    by_hdf5 = _HEADERS + len(names) * (96 + max(len(name.encode()) for name in names))
    rows = n * sum(row_bytes(name, spec) for name in TABLES)
    try:
        with open(path, "wb") as file:
            file.write(bytes(by_hdf5))
            file.truncate(by_hdf5 + rows + sum(contents.lengths) * spec.frame_bytes)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


class ClipWriter:
    """Writes one clip into an allocated store, block by block, then its row.

    Every byte goes through ``os.pwrite`` at its own place, so any number of workers on any number
    of machines fill one file; memory maps would fight over pages on network file systems.
    """

    def __init__(
        self, places: ByteOffsets, spec: FeatureSpec, index: int, start: int, length: int
    ) -> None:
        self._places, self._spec, self._index = places, spec, index
        self._at = places.frames + start * spec.frame_bytes
        self._end = self._at + length * spec.frame_bytes
        self._crc = 0
        self._file = os.open(places.path, os.O_WRONLY)

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._file)

    def write(self, frames: np.ndarray) -> None:
        """Append frames, already of the stored dtype.

        Raises
        ------
        ValueError
            If there are more than the clip's place holds: the frame law was broken.
        """
        data = as_bytes(frames)
        if self._at + len(data) > self._end:
            raise ValueError(f"clip {self._index} has more frames than were laid out")
        self._crc = zlib.crc32(data, self._crc)
        with naming(self._places.path):
            pwrite_all(self._file, data, self._at)
        self._at += len(data)

    def finish(self, digest: str, sound: tuple[int, int], moments: Moments) -> None:
        """Write the clip's row; the clip is complete then."""
        if self._at != self._end:
            raise ValueError(f"clip {self._index} has fewer frames than were laid out")
        packed = Row(self._crc, digest, sound, moments).packed()
        for name, data in packed.items():
            offset = self._places.tables[name] + self._index * len(data)
            with naming(self._places.path):
                pwrite_all(self._file, data, offset)


def read_row(
    file: int, places: ByteOffsets, spec: FeatureSpec, index: int
) -> dict[str, bytes] | None:
    """The bytes of a clip's row of every table; None if the row's checksum does not hold."""
    data = {}
    for name in TABLES:
        size = row_bytes(name, spec)
        data[name] = os.pread(file, size, places.tables[name] + index * size)
    checked = b"".join(data[name] for name in list(TABLES)[:-1])
    holds = data["row_crc32"] == np.asarray(zlib.crc32(checked), "<u4").tobytes()
    return data if holds else None


def starts_of(lengths: Sequence[int]) -> np.ndarray:
    """First frame of each clip. [shape=(n_clips,), dtype=int64]"""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)[:-1]]).astype(np.int64)


def as_bytes(frames: np.ndarray) -> memoryview:
    """The bytes of an array, not copied when it is contiguous."""
    return np.ascontiguousarray(frames).reshape(-1).view(np.uint8).data


def pwrite_all(file: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`: a single ``pwrite`` may stop short of it."""
    while (written := os.pwrite(file, data, offset)) < len(data):
        data, offset = data[written:], offset + written
