"""Compare a store's bytes with their checksums.

They are read, not mapped: where a mapped page cannot be read, the process is killed.
"""

from __future__ import annotations

import os
import shlex
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.runtime.errors import StoreError, listed
from pipeline.runtime.files import naming
from pipeline.store.file_objects import pread_into
from pipeline.store.schema import TABLES, read_row, row_bytes

if TYPE_CHECKING:
    from pipeline.store.reader import Store

_BLOCK = 1 << 23
_ROWS = 4096


def repair_advice(folder: Path) -> str:
    """Say how the damaged clips of the stores in a folder are extracted again."""
    return ("extract the damaged clips again with: python -m pipeline.extract --repair --out "
            f"{shlex.quote(str(folder))}")


def intact(store: Store, index: int) -> bool:
    """Check a clip's frames and row against their checksums."""
    return (
        0 <= index < len(store)
        and frames_intact(store, index)
        and read_row(store.file, store.offsets, store.spec, index) is not None
    )


def frames_intact(store: Store, index: int) -> bool:
    """Check a clip's frames against their checksum."""
    crc = 0
    for data in read_blocks(store, index):
        crc = zlib.crc32(data, crc)
    return crc == int(store.crc32[index])


def read_blocks(store: Store, index: int) -> Iterator[bytes]:
    """Read a clip's frames in blocks; fewer than it has if the file ends before."""
    offset = store.offsets.frames + int(store.start[index]) * store.spec.frame_bytes
    left = int(store.length[index]) * store.spec.frame_bytes
    while left:
        with naming(store.path):
            data = os.pread(store.file, min(_BLOCK, left), offset)
        if not data:
            return
        yield data
        offset, left = offset + len(data), left - len(data)


def require_intact(store: Store, indexes: Sequence[int], damaged_frames: Sequence[int]) -> None:
    """Raise a StoreError that names the clips whose bytes are not those that were written.

    Parameters
    ----------
    store : Store
    indexes : sequence of int
        The clips, by their rows; their tables are checked here.
    damaged_frames : sequence of int
        Those of them whose frames do not have their checksum.
    """
    damaged = {*damaged_frames, *set(indexes).intersection(damaged_rows(store))}
    if damaged:
        names = [store.contents.clip_ids[i] for i in sorted(damaged)]
        raise StoreError(
            f"{store.path}: damaged: {len(names)} clips do not have their checksums: "
            f"{listed(names)}; {repair_advice(store.path.parent)}"
        )


def damaged_clips(store: Store) -> list[str]:
    """List the clips whose frames or row do not have their checksums."""
    rows = set(damaged_rows(store))
    return [clip_id for i, clip_id in enumerate(store.contents.clip_ids)
            if i in rows or not frames_intact(store, i)]


def damaged_rows(store: Store) -> list[int]:
    """List the clips whose row of the tables does not have its checksum."""
    found: list[int] = []
    for first in range(0, len(store), _ROWS):
        n = min(_ROWS, len(store) - first)
        tables = []
        for name in TABLES:
            size = row_bytes(name, store.spec)
            table = np.empty((n, size), np.uint8)
            offset = store.offsets.tables[name] + first * size
            pread_into(store.file, table.reshape(-1).data, offset, store.path)
            tables.append(table)
        checksums = tables.pop().view("<u4").ravel().tolist()
        rows = np.concatenate(tables, axis=1)
        found += [first + i for i in range(n) if zlib.crc32(rows[i]) != checksums[i]]
    return found
