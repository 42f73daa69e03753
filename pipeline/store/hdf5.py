"""Lay out a store's HDF5 file and read its headers (the only import of h5py).

docs/store.md describes the format. HDF5 never touches the disk: it lays a file out in memory, and
of a file that is read it sees the headers, which are checked before any table is read.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from pipeline.runtime.errors import StoreError
from pipeline.runtime.files import naming
from pipeline.store.file_objects import HeaderReader, SparseImage
from pipeline.store.schema import (
    DTYPES,
    TABLES,
    ByteOffsets,
    Contents,
    FeatureSpec,
    starts_of,
)
from pipeline.store.writer import pwrite_all

SCHEMA = "audio-feature-store"
SCHEMA_VERSION = 1

_GROUPS = ("excluded", "moments")
EXCLUDED = ("excluded/clip_id", "excluded/reason", "excluded/digest")
TEXTS = ("clip_id", *EXCLUDED)
_NUMBERS = ("start", "frames", *TABLES)

# Exceptions that h5py raises for a corrupt file.
_DAMAGE = (AttributeError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


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

    Raises
    ------
    OSError
        With the path: no space left, or over a quota or a limit on the size of files. The frames
        are not written: only when workers write them does the system look for their disk blocks.
    """
    image = SparseImage()
    places = _lay_out(image, spec, contents)
    with naming(path), open(path, "wb") as file:
        for offset, data in image.pieces:
            pwrite_all(file.fileno(), data, offset, path)
        file.truncate(image.size)
    return byte_offsets(places, path)


def _lay_out(image: SparseImage, spec: FeatureSpec, contents: Contents) -> dict[str, Place]:
    n = len(contents.clip_ids)
    total = sum(contents.lengths)
    with _created(image) as file:
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
        for name in EXCLUDED:
            values = [getattr(e, name.partition("/")[2]) for e in contents.excluded]
            _write(file, name, _text(values))
        for name, (dtype, shape) in layout(spec, n, total).items():
            if name not in file:
                _reserve(file, name, shape, dtype)
        # The image gets its size when it is closed.
        return {name: _place(file, name, sys.maxsize) for name in ("frames", *TABLES)}


@contextmanager
def _created(image: SparseImage) -> Iterator[h5py.File]:
    """Create a file with its groups, in the format of HDF5 1.10 and without times.

    The headers of that format have checksums, so that damage to them is an error and not a crash.
    Unlike those of older formats they hold times, unless told not to.
    """
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    groups = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    for properties in (creation, groups):
        properties.set_obj_track_times(False)
    with _driver(image) as access:
        access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
        file = h5py.h5f.create(b"store", h5py.h5f.ACC_TRUNC, creation, access)
    for name in _GROUPS:
        h5py.h5g.create(file, name.encode(), gcpl=groups)
    with h5py.File(file) as opened:
        yield opened


@contextmanager
def _driver(file: SparseImage | HeaderReader) -> Iterator[Any]:
    """Make HDF5 use a file object."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    try:
        access.set_fileobj_driver(h5py.h5fd.fileobj_driver, file)
        yield access
    finally:
        # If an error kept it until the interpreter ends, HDF5 would crash then.
        h5py.h5i.dec_ref(access)


def layout(spec: FeatureSpec, n: int, total: int) -> dict[str, tuple[str, tuple[int, ...]]]:
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


@dataclass(frozen=True)
class Headers:
    """What the headers of a store's file say.

    Attributes
    ----------
    spec : FeatureSpec
    places : dict of str to Place
        Of every dataset; they lie in the file, in one piece each and apart from each other.
    contents_key : str
        The key of the contents at the time the file was laid out.
    """

    spec: FeatureSpec
    places: dict[str, Place]
    contents_key: str


def read_headers(file: int, path: Path) -> Headers:
    """Read a store's headers.

    Parameters
    ----------
    file : int
        Descriptor of the file.
    path : Path
        Its name, for errors.

    Raises
    ------
    StoreError
        If the file is not a store, is damaged, or is of a schema that this version does not read.
    OSError
        With the path, if the system cannot read it.
    """
    headers = HeaderReader(file)
    try:
        with _opened(headers) as opened:
            spec, places = _read_spec(opened, path), _places(opened, headers.size)
            return Headers(spec, places, _text_attribute(opened, "contents_key"))
    except _DAMAGE as error:
        if headers.error is not None:
            with naming(path):
                raise headers.error from None
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise StoreError(f"{path}: damaged: {error}") from None


@contextmanager
def _opened(headers: HeaderReader) -> Iterator[h5py.File]:
    try:
        with _driver(headers) as access:
            opened = h5py.File(h5py.h5f.open(b"store", h5py.h5f.ACC_RDONLY, access))
    except OSError as error:
        raise ValueError(f"not a readable HDF5 file: {error}") from None
    with opened:
        yield opened


@dataclass(frozen=True)
class Place:
    """A dataset's bytes in the file."""

    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def _places(file: h5py.File, size: int) -> dict[str, Place]:
    """Find every dataset, without reading any.

    Raises ValueError unless each lies in the file, in one piece and apart from the others: other
    layouts would be read as frames that they are not, and links lead to other files.
    """
    for name in _GROUPS:
        _hard(file, name)
    places = {name: _place(file, name, size) for name in (*TEXTS, "length", *_NUMBERS)}
    taken = sorted((p.offset, p.end, name) for name, p in places.items() if p.offset < p.end)
    for (_, end, name), (offset, _, other) in itertools.pairwise(taken):
        if offset < end:
            raise ValueError(f"{name} and {other} overlap")
    return places


def _hard(file: h5py.File, name: str) -> Any:
    """Open an object of the file itself."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link")
    return file[name]


def _place(file: h5py.File, name: str, size: int) -> Place:
    dataset = _hard(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{name} is no table")
    properties = dataset.id.get_create_plist()
    if properties.get_layout() != h5py.h5d.CONTIGUOUS or properties.get_external_count():
        raise ValueError(
            f"{name} does not lie in the file in one piece (h5repack -l CONTI makes it so)"
        )
    place = Place(dataset.id.get_offset() or 0, dataset.dtype, dataset.shape)
    if place.dtype.hasobject or place.end > size or (place.end and not place.offset):
        raise ValueError(f"{name} does not lie in the file")
    return place


def byte_offsets(places: dict[str, Place], path: Path) -> ByteOffsets:
    return ByteOffsets(path, places["frames"].offset, {n: places[n].offset for n in TABLES})


def _read_spec(file: h5py.File, path: Path) -> FeatureSpec:
    if "schema" not in file.attrs or _text_attribute(file, "schema") != SCHEMA:
        raise StoreError(f"{path}: HDF5, but not a store of this pipeline")
    version = int(_attribute(file, "schema_version"))
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema version {version}; this version reads {SCHEMA_VERSION}. Extract again."
        )
    config = json.loads(_text_attribute(file, "config"))
    frames = _place(file, "frames", sys.maxsize)
    spec = FeatureSpec(
        feature=_text_attribute(file, "feature"), version=int(_attribute(file, "feature_version")),
        dtype=config.pop("dtype"), width=frames.shape[1] if len(frames.shape) == 2 else 0,
        units=_text_attribute(file, "units"), config=config,
    )
    if spec.dtype not in DTYPES:
        raise ValueError(f"dtype is {spec.dtype!r}; known: {', '.join(DTYPES)}")
    if spec.scale != _attribute(file, "scale"):
        raise StoreError(f"{path}: damaged: the scale does not fit the type of the frames")
    if spec.fingerprint != _text_attribute(file, "fingerprint"):
        raise StoreError(f"{path}: damaged: the fingerprint does not fit the configuration")
    return spec


def _attribute(file: h5py.File, name: str) -> Any:
    """Read an attribute of one value."""
    if file.attrs.get_id(name).shape != ():
        raise ValueError(f"attribute {name} is not one value")
    return file.attrs[name]


def _text_attribute(file: h5py.File, name: str) -> str:
    value = _attribute(file, name)
    if not isinstance(value, str):
        raise ValueError(f"attribute {name} is not a text")
    return value
