"""Read a store's tables by offset, once its headers have been found to be true."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import StoreError
from pipeline.store.file_objects import pread_into
from pipeline.store.hdf5 import EXCLUDED, TEXTS, Headers, Place, byte_offsets, layout, read_headers
from pipeline.store.schema import ByteOffsets, Contents, Excluded, FeatureSpec

# Of all that is read when a store is opened, in bytes: the ids of 16 million clips.
_LARGEST_TABLE = 1 << 30

# Where a superblock of each version holds the file's end.
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}


@dataclass(frozen=True)
class Tables:
    """A store's description and tables, without its frames and moments.

    Attributes
    ----------
    spec : FeatureSpec
    contents : Contents
    contents_key : str
        The key of the contents at the time the file was laid out.
    offsets : ByteOffsets
    end : int
        Size of the file, by its headers (in bytes).
    start, length, count : np.ndarray [shape=(n_clips,), dtype=int64]
    sound : np.ndarray [shape=(n_clips, 2), dtype=int64]
    crc32 : np.ndarray [shape=(n_clips,), dtype=uint32]
    digests : tuple of str
    """

    spec: FeatureSpec
    contents: Contents
    contents_key: str
    offsets: ByteOffsets
    end: int
    start: np.ndarray
    length: np.ndarray
    count: np.ndarray
    sound: np.ndarray
    crc32: np.ndarray
    digests: tuple[str, ...]


def read_tables(file: int, path: Path) -> Tables:
    """Read a store's tables.

    Parameters and errors as :func:`pipeline.store.hdf5.read_headers`.
    """
    headers = read_headers(file, path)
    try:
        return _tables(file, path, headers)
    except (KeyError, MemoryError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: damaged: {error}") from None


def _tables(file: int, path: Path, headers: Headers) -> Tables:
    spec, places = headers.spec, headers.places
    n = math.prod(places["clip_id"].shape)
    total = (*places["frames"].shape, 0)[0]
    for name, (dtype, shape) in layout(spec, n, total).items():
        if (places[name].dtype, places[name].shape) != (np.dtype(dtype), shape):
            raise ValueError(f"{name} is not {dtype} of shape {shape}")
    for name in TEXTS:
        if places[name].dtype.kind != "S" or len(places[name].shape) != 1:
            raise ValueError(f"{name} is not a list of texts")

    def read(name: str) -> np.ndarray:
        return _read(file, path, name, places[name])

    start, length = read("start"), read("length")
    _check_bounds(start, length, total)
    excluded = zip(*(_strings(read(name)) for name in EXCLUDED), strict=True)
    contents = Contents(
        tuple(_strings(read("clip_id"))), tuple(length.tolist()),
        tuple(Excluded(*each) for each in excluded),
    )
    if len(set(contents.clip_ids)) < n:
        raise ValueError("a clip id appears twice")
    return Tables(
        spec, contents, headers.contents_key, byte_offsets(places, path), _end(file, path),
        start, length, count=read("moments/count"), sound=read("sound"), crc32=read("crc32"),
        digests=tuple(_strings(read("digest"), errors="replace")),
    )


def _read(file: int, path: Path, name: str, place: Place) -> np.ndarray:
    n_bytes = place.end - place.offset
    if n_bytes > _LARGEST_TABLE:
        # A file may have holes: what it claims takes no space on the disk.
        raise ValueError(f"{name} claims {n_bytes} bytes")
    values = np.empty(place.shape, place.dtype)
    if n_bytes:
        pread_into(file, values.reshape(-1).view(np.uint8).data, place.offset, path)
    return values


def _end(file: int, path: Path) -> int:
    """Read where the file ends by its superblock; HDF5 itself only refuses a shorter one."""
    head = bytearray(64)
    pread_into(file, memoryview(head), 0, path)
    at = _END_AT[head[8]]
    return int.from_bytes(head[at:at + 8], "little")


def _check_bounds(start: np.ndarray, length: np.ndarray, total: int) -> None:
    """Raise ValueError unless the clips follow each other, from 0 to `total` frames."""
    ends = start + length
    if not (
        (start >= 0).all() and (length >= 0).all() and (length <= total).all()
        and np.array_equal(np.append(start, total), np.append(np.int64(0), ends))
    ):
        raise ValueError("start and length do not fit together")


def _strings(values: np.ndarray, errors: str = "strict") -> list[str]:
    # Three stores of one data set have the same ids and digests.
    return [sys.intern(value.decode("utf-8", errors)) for value in values.tolist()]
