"""Byte layout of a store, so that workers can write without HDF5.

A store's file is laid out before anything is decoded because the lengths are known. A worker then
needs no more than each dataset's byte offset, dtype and shape: with these, :mod:`.writer` writes a
clip's frames and its row of every table with plain ``pwrite``.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.signal.moments import Moments
from pipeline.runtime.errors import StoreError
from pipeline.runtime.problems import Problem

if TYPE_CHECKING:
    from features.base import Feature

# Of the frames.
DTYPES = ("int16", "float16", "float32")

# Per-clip tables: name -> (dtype, values per row; None: one scalar, 0: the feature's width).
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


@dataclass(frozen=True)
class FeatureSpec:
    """What a store holds, told apart by everything that changes a value in it.

    Attributes
    ----------
    feature : str
        The kind of feature, a key of :data:`features.FEATURES`.
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

    @cached_property
    def declaration(self) -> Feature:
        """The feature that made the frames, with its settings: units, axis, silence, frame times.

        Raises
        ------
        StoreError
            If this version knows no such kind of feature, or not these settings.
        """
        from features import make_feature
        from features.base import settings_of

        settings = {k: v for k, v in self.config.items() if k != "trim_db"}
        try:
            return make_feature(self.feature, dtype=self.dtype, **settings_of(settings))
        except ValueError as error:
            raise StoreError(f"a store of another version or configuration: {error}") from None

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


def spec_of(feature: Feature, trim_db: float) -> FeatureSpec:
    """Describe a feature as its store does.

    Parameters
    ----------
    feature : Feature
    trim_db : float
        How far below a clip's loudest frame silence begins (in dB).
    """
    return FeatureSpec(
        feature=feature.kind, version=feature.version, dtype=feature.dtype, width=feature.width,
        units=feature.units, config={**feature.config, "trim_db": trim_db},
    )


@dataclass(frozen=True)
class Excluded:
    """A bad clip that was left out of a store: its id, reason code and the digest of its file."""

    clip_id: str
    reason: str
    digest: str

    @classmethod
    def of(cls, problem: Problem, digest: str = "") -> Excluded:
        """The row of a clip's problem; the digest is empty if the file could not be read."""
        return cls(problem.where, problem.reason, digest)


@dataclass(frozen=True)
class Contents:
    """The clips of a store, in its order. Frames follow each other without gaps.

    Attributes
    ----------
    clip_ids : tuple of str
    lengths : tuple of int
        Number of frames of each clip.
    excluded : tuple of Excluded
        The bad clips that were left out.
    """

    clip_ids: tuple[str, ...]
    lengths: tuple[int, ...]
    excluded: tuple[Excluded, ...] = ()

    def n_bytes(self, spec: FeatureSpec) -> int:
        """Bytes of the frames and of the per-clip tables, HDF5's own headers aside."""
        row = sum(row_bytes(name, spec) for name in TABLES)
        return len(self.clip_ids) * row + sum(self.lengths) * spec.frame_bytes

    def key(self, spec: FeatureSpec) -> str:
        """Digest everything that is known before decoding; a journal belongs to one key."""
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

    While a file is being filled its name holds the key of its contents, so a worker that outlives
    its run never writes into a file that was laid out differently.
    """

    path: Path
    frames: int
    tables: dict[str, int]


@dataclass(frozen=True)
class ClipRow:
    """A clip's row of every table."""

    crc32: int
    digest: str
    sound: tuple[int, int]
    moments: Moments

    def packed(self) -> dict[str, bytes]:
        """Pack the row of each table."""
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
    """Count the bytes of one row of a table."""
    dtype, many = TABLES[name]
    values = 1 if many is None else many or max(1, spec.width)
    return np.dtype(dtype).itemsize * values


def read_row(
    file: int, offsets: ByteOffsets, spec: FeatureSpec, index: int
) -> dict[str, bytes] | None:
    """Read a clip's row of every table; None if the row does not match its checksum."""
    data = {}
    for name in TABLES:
        size = row_bytes(name, spec)
        data[name] = os.pread(file, size, offsets.tables[name] + index * size)
    checked = b"".join(data[name] for name in list(TABLES)[:-1])
    holds = data["row_crc32"] == np.asarray(zlib.crc32(checked), "<u4").tobytes()
    return data if holds else None


def starts_of(lengths: Sequence[int]) -> np.ndarray:
    """Compute the first frame of each clip. [shape=(n_clips,), dtype=int64]"""
    return np.append(np.int64(0), np.cumsum(lengths, dtype=np.int64))[:-1]


def as_bytes(frames: np.ndarray) -> memoryview:
    """View the bytes of an array; it is copied only if it is not contiguous."""
    return np.ascontiguousarray(frames).reshape(-1).view(np.uint8).data
