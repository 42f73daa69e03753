"""Allocate a store's HDF5 file and read its tables (the only import of h5py).

docs/store.md describes the format. No file stays open here: a store is written by offset and read
through maps.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike

from pipeline.runtime.errors import StoreError, UsageError
from pipeline.store.schema import TABLES, ByteOffsets, Contents, Excluded, FeatureSpec, starts_of

SCHEMA = "audio-feature-store"
SCHEMA_VERSION = 1

# Exceptions that h5py raises for a corrupt file.
_DAMAGE = (AttributeError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


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
    start, length, count : np.ndarray [shape=(n_clips,), dtype=int64]
    sound : np.ndarray [shape=(n_clips, 2), dtype=int64]
    crc32 : np.ndarray [shape=(n_clips,), dtype=uint32]
    digests : tuple of str
    """

    spec: FeatureSpec
    contents: Contents
    contents_key: str
    offsets: ByteOffsets
    start: np.ndarray
    length: np.ndarray
    count: np.ndarray
    sound: np.ndarray
    crc32: np.ndarray
    digests: tuple[str, ...]


def allocate(path: Path, spec: FeatureSpec, contents: Contents) -> ByteOffsets:
    """Lay out a store: every dataset gets its bytes in the file, to be written by offset later.

    Parameters
    ----------
    path : Path
        The file to make; an existing one is overwritten.
    spec : FeatureSpec
    contents : Contents

    Returns
    -------
    offsets : ByteOffsets
        Where to write each dataset.
    """
    n = len(contents.clip_ids)
    total = sum(contents.lengths)
    with _created(path) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["feature"] = spec.feature
        file.attrs["feature_version"] = spec.version
        file.attrs["units"] = spec.units
        file.attrs["scale"] = spec.scale
        file.attrs["config"] = spec.config_json
        file.attrs["fingerprint"] = spec.fingerprint
        file.attrs["contents_key"] = contents.key(spec)
        _write(file, "clip_id", _text(contents.clip_ids))
        _write(file, "start", starts_of(contents.lengths))
        _write(file, "length", np.array(contents.lengths, "<i8"))
        for name in ("clip_id", "reason", "digest"):
            values = [getattr(e, name) for e in contents.excluded]
            _write(file, f"excluded/{name}", _text(values))
        for name, (dtype, shape) in _layout(spec, n, total).items():
            if name not in file:
                _reserve(file, name, shape, dtype)
        return _places(file, path)


def _created(path: Path) -> h5py.File:
    """Create a file with its groups, in the format of HDF5 1.10 and without times.

    The headers of that format have checksums, so that damage to them is an error and not a crash.
    Unlike those of older formats they hold times, unless told not to.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    # Nothing else opens it before it is laid out, and whoever writes it atomically has it locked.
    access.set_file_locking(False, True)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    groups = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    for properties in (creation, groups):
        properties.set_obj_track_times(False)
    file = h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access)
    for name in (b"excluded", b"moments"):
        h5py.h5g.create(file, name, gcpl=groups)
    return h5py.File(file)


def _layout(spec: FeatureSpec, n: int, total: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """List dtype and shape of the datasets of numbers and digests of a store of `n` clips."""
    rows = {
        name: () if many is None else (many or max(1, spec.width),)
        for name, (_, many) in TABLES.items()
    }
    return {
        "start": ("<i8", (n,)),
        "length": ("<i8", (n,)),
        **{name: (dtype, (n, *rows[name])) for name, (dtype, _) in TABLES.items()},
        "frames": (
            np.dtype(spec.dtype).newbyteorder("<").str,
            (total, spec.width) if spec.width else (total,),
        ),
    }


def _text(values: Iterable[str]) -> np.ndarray:
    """Encode as null-padded fixed-length UTF-8, which every reader of HDF5 knows."""
    encoded = [v.encode("utf-8") for v in values]
    return np.array(encoded, f"S{max([1, *map(len, encoded)])}")


def _write(file: h5py.File, name: str, values: np.ndarray) -> None:
    if values.dtype.kind == "S":
        values = values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))
    file.create_dataset(name, data=values, track_times=False)


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], type_: DTypeLike) -> None:
    """Create a contiguous dataset whose bytes exist in the file, for workers to write."""
    dtype = np.dtype(type_)
    kind = h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    h5py.h5d.create(
        file.id, name.encode(), h5py.h5t.py_create(kind, logical=True),
        h5py.h5s.create_simple(shape), dcpl=properties,
    )


def read_tables(path: Path) -> Tables:
    """Read a store's tables.

    Raises
    ------
    UsageError
        If there is no such file; the message says how to make it.
    StoreError
        If the file is not a store, is damaged, or is of a schema that this version does not read.
    """
    with _opened(path) as file:
        try:
            return _tables(file, path)
        except _DAMAGE as error:
            raise StoreError(f"{path}: damaged: {error}") from None


def _tables(file: h5py.File, path: Path) -> Tables:
    spec = _read_spec(file, path)
    excluded = zip(
        *(_strings(file[f"excluded/{name}"]) for name in ("clip_id", "reason", "digest")),
        strict=True,
    )
    length = file["length"][:]
    contents = Contents(
        tuple(_strings(file["clip_id"])),
        tuple(length.tolist()),
        tuple(Excluded(*each) for each in excluded),
    )
    n, total = len(contents.clip_ids), int(length.sum())
    for name, (dtype, shape) in _layout(spec, n, total).items():
        if (file[name].dtype, file[name].shape) != (np.dtype(dtype), shape):
            raise ValueError(f"{name} is not {dtype} of shape {shape}")
    start = file["start"][:]
    if not np.array_equal(start, starts_of(contents.lengths)[:n]):
        raise ValueError("start and length do not fit together")
    return Tables(
        spec, contents, file.attrs["contents_key"], _places(file, path), start, length,
        count=file["moments/count"][:], sound=file["sound"][:], crc32=file["crc32"][:],
        digests=tuple(_strings(file["digest"])),
    )


def _places(file: h5py.File, path: Path) -> ByteOffsets:
    offsets = {name: file[name].id.get_offset() or 0 for name in ("frames", *TABLES)}
    return ByteOffsets(path, offsets.pop("frames"), offsets)


def _opened(path: Path) -> h5py.File:
    if not path.exists():
        raise UsageError(f"{path}: no such store. Make it with: python -m pipeline.extract")
    if not path.is_file():
        # A pipe would wait for ever.
        raise UsageError(f"{path}: not a file; name a store, such as stores/mfcc.h5")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise StoreError(f"{path}: not a readable HDF5 file: {error}") from None


def _read_spec(file: h5py.File, path: Path) -> FeatureSpec:
    attrs = file.attrs
    if attrs.get("schema") != SCHEMA:
        raise StoreError(f"{path}: HDF5, but not a store of this pipeline")
    if attrs["schema_version"] != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema version {attrs['schema_version']}; this version reads "
            f"{SCHEMA_VERSION}. Extract again."
        )
    config = json.loads(attrs["config"])
    width = file["frames"].shape[1] if file["frames"].ndim == 2 else 0
    spec = FeatureSpec(
        feature=attrs["feature"], version=int(attrs["feature_version"]),
        dtype=config.pop("dtype"), width=width, units=attrs["units"], config=config,
    )
    if spec.scale != attrs["scale"]:
        raise StoreError(f"{path}: damaged: the scale does not fit the type of the frames")
    if spec.fingerprint != attrs["fingerprint"]:
        raise StoreError(f"{path}: damaged: the fingerprint does not fit the configuration")
    return spec


def _strings(dataset: h5py.Dataset) -> list[str]:
    # Three stores of one data set have the same ids and digests.
    return [sys.intern(value.decode("utf-8")) for value in dataset[:]]
