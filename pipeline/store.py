"""The HDF5 store: allocate and read (the only import of h5py). docs/store.md has the format.

A store is one plain file a feature that anything with HDF5 reads. Here it is opened once for its
tables, then mapped: a random crop costs microseconds, and no HDF5 handle stays open.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike

from pipeline.errors import StoreError, UsageError
from pipeline.layout import (
    TABLES,
    Contents,
    Excluded,
    FeatureSpec,
    Places,
    as_bytes,
    read_row,
    starts_of,
)
from pipeline.moments import Moments, merge_arrays

SCHEMA = "audio-feature-store"
SCHEMA_VERSION = 1

# What h5py makes of bytes that HDF5 does not understand.
_DAMAGE = (AttributeError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def allocate(path: Path, spec: FeatureSpec, contents: Contents) -> Places:
    """Lay a store out: every dataset has its place, none its values; the file is closed again.

    Parameters
    ----------
    path : Path
        The file to make; one that is there is overwritten.
    spec : FeatureSpec
    contents : Contents

    Returns
    -------
    places : Places
        Where to write.
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
    return places_of(path)


def _created(path: Path) -> h5py.File:
    """A new file with its groups, in the format of HDF5 1.10 and without times.

    The headers of that format have checksums, so that damage to them is an error and not a crash;
    and unlike those of older formats they hold times, unless told not to.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    groups = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    for properties in (creation, groups):
        properties.set_obj_track_times(False)
    file = h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access)
    for name in (b"excluded", b"moments"):
        h5py.h5g.create(file, name, gcpl=groups)
    return h5py.File(file)


def _layout(spec: FeatureSpec, n: int, total: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """dtype and shape of every dataset of numbers (and of digests) of a store of `n` clips."""
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
    """Fixed-length UTF-8, which every reader of HDF5 knows; null-padded."""
    encoded = [v.encode("utf-8") for v in values]
    return np.array(encoded, f"S{max([1, *map(len, encoded)])}")


def _write(file: h5py.File, name: str, values: np.ndarray) -> None:
    if values.dtype.kind == "S":
        values = values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))
    file.create_dataset(name, data=values, track_times=False)


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], type_: DTypeLike) -> None:
    """A contiguous dataset whose bytes exist in the file and are left for workers to write."""
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


def places_of(path: Path) -> Places:
    """The byte offsets of a store's datasets."""
    with _opened(path) as file:
        offsets = {name: file[name].id.get_offset() or 0 for name in ("frames", *TABLES)}
    return Places(path, offsets.pop("frames"), offsets)


def open_store(path: str | Path) -> Store:
    """Open a sealed store.

    Raises
    ------
    UsageError
        If there is none; the message says how to make it.
    StoreError
        If the file is no store, is damaged, or is of a schema that this version does not read.
    """
    return Store(Path(path))


class Store:
    """A sealed store, read-only.

    Attributes
    ----------
    spec : FeatureSpec
        The feature, its configuration and its fingerprint.
    contents : Contents
        Clip ids, lengths (in frames), and the bad clips that were left out.
    frames : np.ndarray [shape=(n_frames, width) or (n_samples,), dtype=spec.dtype]
        All frames as they are stored, mapped from the file.
    start, length : np.ndarray [shape=(n_clips,), dtype=int64]
        A clip's first frame and number of frames.
    sound : np.ndarray [shape=(n_clips, 2), dtype=int64]
        First frame and one past the last frame that is not leading or trailing silence.
    crc32 : np.ndarray [shape=(n_clips,), dtype=uint32]
        Checksum of a clip's frames as they are stored.
    digests : tuple of str
        SHA-256 of each clip's source file.
    count, mean, m2 : np.ndarray
        Moments a clip ``[shape=(n_clips,) and (n_clips, n_values)]``, of the scaled values.

    Examples
    --------
    >>> store = open_store("stores/mfcc.h5")                          # doctest: +SKIP
    >>> store["0006ae4e.wav"].shape                                   # doctest: +SKIP
    (617, 40)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as file:
            try:
                self.spec = _read_spec(file, path)
                self._read_tables(file)
            except _DAMAGE as error:
                raise StoreError(f"{path}: damaged: {error}") from None
        self._index = {clip_id: i for i, clip_id in enumerate(self.contents.clip_ids)}
        shape = (self.length.sum(), self.spec.width) if self.spec.width else (self.length.sum(),)
        dtype = np.dtype(self.spec.dtype).newbyteorder("<")
        needed = int(np.prod(shape)) * dtype.itemsize
        if path.stat().st_size < self.places.frames + needed:
            raise StoreError(f"{path}: damaged: the file ends before its frames do")
        self.frames = (
            np.memmap(path, dtype, "r", self.places.frames, shape)
            if needed else np.empty(shape, dtype)
        )

    def _read_tables(self, file: h5py.File) -> None:
        self.start = file["start"][:]
        self.length = file["length"][:]
        self.sound = file["sound"][:]
        self.crc32 = file["crc32"][:]
        self.digests = tuple(_strings(file["digest"]))
        self.count = file["moments/count"][:]
        self._key = file.attrs["contents_key"]
        excluded = zip(
            *(_strings(file[f"excluded/{name}"]) for name in ("clip_id", "reason", "digest")),
            strict=True,
        )
        self.contents = Contents(
            tuple(_strings(file["clip_id"])),
            tuple(self.length.tolist()),
            tuple(Excluded(*each) for each in excluded),
        )
        offsets = {name: file[name].id.get_offset() or 0 for name in ("frames", *TABLES)}
        self.places = Places(self.path, offsets.pop("frames"), offsets)
        n, total = len(self.contents.clip_ids), int(self.length.sum())
        for name, (dtype, shape) in _layout(self.spec, n, total).items():
            if (file[name].dtype, file[name].shape) != (np.dtype(dtype), shape):
                raise ValueError(f"{name} is not {dtype} of shape {shape}")
        if not np.array_equal(self.start, starts_of(self.contents.lengths)[:n]):
            raise ValueError("start and length do not fit together")

    @cached_property
    def mean(self) -> np.ndarray:
        return self._moments_table("moments/mean")

    @cached_property
    def m2(self) -> np.ndarray:
        return self._moments_table("moments/m2")

    def _moments_table(self, name: str) -> np.ndarray:
        # 50 MB for 25,000 clips of 128 bands: read when asked for, not when opened.
        shape = (len(self), max(1, self.spec.width))
        if not len(self):
            return np.empty(shape)
        return np.array(np.memmap(self.path, "<f8", "r", self.places.tables[name], shape))

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._index

    def index_of(self, clip_id: str) -> int:
        """A clip's row in every table.

        Raises
        ------
        KeyError
            If the store has no such clip; the message names a few that it has.
        """
        try:
            return self._index[clip_id]
        except KeyError:
            some = ", ".join(self.contents.clip_ids[:3])
            raise KeyError(
                f"{self.path} has no clip {clip_id!r}; it has {len(self)}, such as {some}"
            ) from None

    def __getitem__(self, clip_id: str) -> np.ndarray:
        """A clip's frames, scaled. [shape=(n_frames, width) or (n_samples,), dtype=float32]"""
        return self.crop(clip_id)

    def crop(self, clip_id: str, first: int = 0, n_frames: int | None = None) -> np.ndarray:
        """Some of a clip's frames.

        Parameters
        ----------
        clip_id : str
        first : int
            The first frame, from 0.
        n_frames : int, optional
            How many; all from `first` on when not given.

        Returns
        -------
        frames : np.ndarray [shape=(n_frames, width) or (n_frames,), dtype=float32]
            In the units of ``spec.units``. A copy.

        Raises
        ------
        KeyError
            If the store has no such clip.
        ValueError
            If the crop does not lie within the clip: nothing is padded here.
        """
        i = self.index_of(clip_id)
        length = int(self.length[i])
        last = length if n_frames is None else first + n_frames
        if not 0 <= first <= last <= length:
            raise ValueError(
                f"frames {first} to {last} of {clip_id!r}; it has {length}, from 0 to {length}"
            )
        stored = self.frames[self.start[i] + first:self.start[i] + last]
        frames = np.array(stored, np.float32)
        if self.spec.scale != 1:
            frames *= np.float32(self.spec.scale)
        return frames

    def moments(self, clip_ids: Iterable[str] | None = None) -> Moments:
        """Exact moments over some clips' frames (all, when none are named), none read again.

        Raises
        ------
        ValueError
            If there is no clip to take them over.
        """
        rows = slice(None) if clip_ids is None else [self.index_of(c) for c in clip_ids]
        if not len(self.count[rows]):
            raise ValueError(f"{self.path}: moments over no clip at all")
        return merge_arrays(self.count[rows], self.mean[rows], self.m2[rows])

    def mean_std(self, clip_ids: Iterable[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and population standard deviation of each value of a frame, over some clips.

        Returns
        -------
        mean, std : np.ndarray [shape=(n_values,), dtype=float64]
            Of the scaled values; a waveform has one value.
        """
        moments = self.moments(clip_ids)
        return moments.mean, moments.std

    def verify(self) -> Iterator[str]:
        """Check everything that can be checked, and yield a sentence for each mismatch.

        The clips' ids, lengths and places against the key of the contents; each clip's frames
        against their checksum; each row of the tables against its own.
        """
        if self.contents.key(self.spec) != self._key:
            yield f"{self.path}: the clip ids or lengths are not those that were written"
        file = os.open(self.path, os.O_RDONLY)
        try:
            for i, clip_id in enumerate(self.contents.clip_ids):
                stored = self.frames[self.start[i]:self.start[i] + self.length[i]]
                if zlib.crc32(as_bytes(stored)) != self.crc32[i]:
                    yield f"{self.path}: {clip_id}: the frames do not have their checksum"
                if read_row(file, self.places, self.spec, i) is None:
                    yield f"{self.path}: {clip_id}: the row of the tables is damaged"
        finally:
            os.close(file)


def _opened(path: Path) -> h5py.File:
    if not path.exists():
        raise UsageError(f"{path}: no such store. Make it with: python -m pipeline.extract")
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
    if spec.fingerprint != attrs["fingerprint"]:
        raise StoreError(f"{path}: damaged: the fingerprint does not fit the configuration")
    return spec


def _strings(dataset: h5py.Dataset) -> list[str]:
    return [value.decode("utf-8") for value in dataset[:]]
