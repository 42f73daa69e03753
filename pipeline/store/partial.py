"""Allocate, fill, seal: a store while it is being made.

The file is named after the key of its contents, ``.mfcc-<key>.partial``, with a journal beside it
that gets a line for each finished clip. A run that finds both goes on where the last one stopped;
other partial files of the same fingerprint, and the sealed store, lend the clips that have not
changed. Every clip taken over is held against its checksum first.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.files import flush_folder
from pipeline.store.hdf5 import allocate
from pipeline.store.reader import Store, open_store
from pipeline.store.schema import (
    TABLES,
    Contents,
    FeatureSpec,
    check_room,
    pwrite_all,
    read_row,
    row_bytes,
    starts_of,
)

_COPY = 1 << 23


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line of the journal: a clip's row, and the state of the file that it was made from."""

    index: int
    size: int
    mtime_ns: int
    digest: str


class PartialStore:
    """A store that is not sealed yet.

    Parameters
    ----------
    folder : Path
        Where the stores are.
    spec : FeatureSpec
    contents : Contents

    Attributes
    ----------
    places : ByteOffsets
        Where workers write.
    done : dict of int to Finished
        The rows that are complete.
    """

    def __init__(self, folder: Path, spec: FeatureSpec, contents: Contents) -> None:
        self.folder, self.spec, self.contents = folder, spec, contents
        stem = f".{spec.feature}-{contents.key(spec)[:16]}"
        self.partial = folder / f"{stem}.partial"
        self.journal = folder / f"{stem}.journal"
        self.done: dict[int, JournalEntry] = {}
        self._starts = starts_of(contents.lengths)
        resumed = _open_partial(self.partial, self.journal)
        if resumed is not None and resumed.contents == contents:
            self.places = resumed.places
            self.done = {
                line.index: line for line in read_journal(self.journal)
                if intact(resumed, line.index) and resumed.digests[line.index] == line.digest
            }
            # A torn last line would swallow the next one.
            self._rewrite_journal()
        else:
            self._allocate()
        self._log = open(self.journal, "a", encoding="ascii", buffering=1)  # noqa: SIM115

    def _allocate(self) -> None:
        self.journal.unlink(missing_ok=True)
        # A new inode: a worker of a run that was killed may still write into the old one.
        self.partial.unlink(missing_ok=True)
        check_room(self.partial, self.spec, self.contents)
        self.places = allocate(self.partial, self.spec, self.contents)
        self.journal.touch()

    def _rewrite_journal(self) -> None:
        rewritten = self.journal.with_suffix(".rewritten")
        lines = [_line(finished) for finished in self.done.values()]
        rewritten.write_text("".join(lines), encoding="ascii")
        os.replace(rewritten, self.journal)

    def start(self, index: int) -> int:
        """A clip's first frame."""
        return int(self._starts[index])

    def record(self, finished: JournalEntry) -> None:
        """Note that a worker has written a clip."""
        self._log.write(_line(finished))
        self.done[finished.index] = finished

    def reuse(self, source: Store, wanted: dict[str, JournalEntry]) -> None:
        """Copy unchanged clips out of another store of the same fingerprint.

        A clip whose checksums do not hold there is not copied.

        Parameters
        ----------
        source : Store
            Sealed, or partial.
        wanted : dict of str to Finished
            The clips still missing that are unchanged, by id: what the journal will say of them.
        """
        file = os.open(source.path, os.O_RDONLY)
        target = os.open(self.partial, os.O_WRONLY)
        try:
            for clip_id, finished in wanted.items():
                if clip_id not in source:
                    continue
                i = source.index_of(clip_id)
                same = source.digests[i] == finished.digest
                same &= int(source.length[i]) == self.contents.lengths[finished.index]
                if same and self._copy(source, i, file, target, finished.index):
                    self.record(finished)
        finally:
            os.close(file)
            os.close(target)

    def _copy(self, source: Store, i: int, file: int, target: int, index: int) -> bool:
        row = read_row(file, source.places, self.spec, i)
        if row is None:
            return False
        to, crc = self.places.frames + self.start(index) * self.spec.frame_bytes, 0
        for data in _blocks(file, source, i):
            crc = zlib.crc32(data, crc)
            pwrite_all(target, memoryview(data), to)
            to += len(data)
        if crc != source.crc32[i]:
            return False
        for name in TABLES:
            offset = self.places.tables[name] + index * row_bytes(name, self.spec)
            pwrite_all(target, memoryview(row[name]), offset)
        return True

    def seal(self) -> Path:
        """Flush the file and give it its name; then drop what it was made out of.

        Raises
        ------
        StoreError
            If a clip is missing: nothing incomplete ever gets the name.
        """
        missing = len(self.contents.clip_ids) - len(self.done)
        if missing:
            raise StoreError(f"{self.partial}: {missing} clips are missing; it is not sealed")
        self.close()
        file = os.open(self.partial, os.O_RDWR)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        final = store_path(self.folder, self.spec.feature)
        os.replace(self.partial, final)
        flush_folder(self.folder)
        for leftover in leftovers(self.folder, self.spec.feature):
            leftover.unlink(missing_ok=True)
        return final

    def reopened(self) -> Store:
        """The partial file with the tables as they are by now."""
        return open_store(self.partial)

    def close(self) -> None:
        """Close the journal; partial file and journal stay for the next run."""
        self._log.close()


def store_path(folder: Path, feature: str) -> Path:
    """Where a feature's sealed store is."""
    return folder / f"{feature}.h5"


def leftovers(folder: Path, feature: str) -> list[Path]:
    """Partial files and journals of runs that did not get to the end."""
    return sorted(p for p in folder.glob(f".{feature}-*.*"))


def partial_stores(folder: Path, spec: FeatureSpec) -> list[tuple[Store, set[int]]]:
    """Partial files of the same fingerprint, each with the rows that its journal names."""
    found = []
    for partial in sorted(folder.glob(f".{spec.feature}-*.partial")):
        journal = partial.with_suffix(".journal")
        if (store := _open_partial(partial, journal)) is None:
            continue
        if store.spec.fingerprint == spec.fingerprint:
            found.append((store, {line.index for line in read_journal(journal)}))
    return found


def read_journal(path: Path) -> list[JournalEntry]:
    """The complete lines of a journal; a kill may have torn the last one."""
    lines = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True):
        fields = line.split()
        if line.endswith("\n") and len(fields) == 4 and all(f.isdigit() for f in fields[:3]):
            lines.append(JournalEntry(int(fields[0]), int(fields[1]), int(fields[2]), fields[3]))
    return lines


def intact(store: Store, index: int) -> bool:
    """Whether a clip's frames and row have their checksums."""
    if not 0 <= index < len(store):
        return False
    file = os.open(store.path, os.O_RDONLY)
    try:
        crc = 0
        for data in _blocks(file, store, index):
            crc = zlib.crc32(data, crc)
        row = read_row(file, store.places, store.spec, index)
        return crc == store.crc32[index] and row is not None
    finally:
        os.close(file)


def _blocks(file: int, store: Store, index: int) -> Iterator[bytes]:
    """The bytes of a clip's frames. Read, not mapped: mapped pages would count as memory in use."""
    at = store.places.frames + int(store.start[index]) * store.spec.frame_bytes
    left = int(store.length[index]) * store.spec.frame_bytes
    while left:
        data = os.pread(file, min(_COPY, left), at)
        if not data:
            return
        yield data
        at, left = at + len(data), left - len(data)


def _line(f: JournalEntry) -> str:
    return f"{f.index} {f.size} {f.mtime_ns} {f.digest}\n"


def _open_partial(partial: Path, journal: Path) -> Store | None:
    """A partial file that can be read; a kill may have hit before it was laid out."""
    if not (partial.exists() and journal.exists()):
        return None
    try:
        return open_store(partial)
    except (StoreError, UsageError):
        return None
