"""Allocate, fill and seal a store.

The file is named after the key of its contents, ``.mfcc-<key>.partial``, with a journal beside it
that gets a line for each finished clip. A run that finds both resumes the last one. Clips that have
not changed are copied from other partial files of the same fingerprint and from the sealed store,
each after its checksum was verified.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.files import atomic_write, flush_folder, naming
from pipeline.store.checksums import intact, read_blocks
from pipeline.store.hdf5 import allocate
from pipeline.store.reader import Store
from pipeline.store.schema import (
    TABLES,
    Contents,
    FeatureSpec,
    read_row,
    row_bytes,
    starts_of,
)
from pipeline.store.writer import pwrite_all

# Digits of the contents' key in the names of unfinished files.
_KEY = 16


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line of the journal: a clip's row, and the state of its source file."""

    index: int
    size: int
    mtime_ns: int
    digest: str


class PartialStore:
    """A store that is not sealed yet.

    Parameters
    ----------
    folder : Path
        The folder of the stores.
    name : str
        The store's name, which is the feature's in params.yaml.
    spec : FeatureSpec
    contents : Contents

    Attributes
    ----------
    offsets : ByteOffsets
        Where workers write.
    done : dict of int to JournalEntry
        The rows that are complete.
    """

    def __init__(
        self, folder: Path, name: str, spec: FeatureSpec, contents: Contents
    ) -> None:
        self.folder, self.name, self.spec, self.contents = folder, name, spec, contents
        stem = _stem(name, spec, contents)
        self.partial = folder / f"{stem}.partial"
        self.journal = folder / f"{stem}.journal"
        self.done: dict[int, JournalEntry] = {}
        self._starts = starts_of(contents.lengths)
        resumed = _open_partial(self.partial, self.journal)
        if resumed is not None and resumed.contents == contents:
            self.offsets = resumed.offsets
            self.done = {
                entry.index: entry for entry in read_journal(self.journal)
                if intact(resumed, entry.index) and resumed.digests[entry.index] == entry.digest
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
        self.offsets = allocate(self.partial, self.spec, self.contents)
        self.journal.touch()

    def _rewrite_journal(self) -> None:
        with atomic_write(self.journal) as rewritten:
            rewritten.write_text("".join(map(_line, self.done.values())), encoding="ascii")

    def start(self, index: int) -> int:
        """Look up a clip's first frame."""
        return int(self._starts[index])

    def record(self, entry: JournalEntry) -> None:
        """Note that a clip was written."""
        with naming(self.journal):
            self._log.write(_line(entry))
        self.done[entry.index] = entry

    def reuse(self, source: Store, wanted: dict[str, JournalEntry]) -> None:
        """Copy unchanged clips out of another store of the same fingerprint.

        A clip that does not match its checksums there is not copied.

        Parameters
        ----------
        source : Store
            Sealed, or partial.
        wanted : dict of str to JournalEntry
            The missing clips whose files are unchanged, by id, each with its line for the journal.
        """
        target = os.open(self.partial, os.O_WRONLY)
        try:
            for clip_id, entry in wanted.items():
                n_frames = self.contents.lengths[entry.index]
                if not source.holds(clip_id, entry.digest, n_frames):
                    continue
                if self._copy(source, source.index_of(clip_id), target, entry.index):
                    self.record(entry)
        finally:
            os.close(target)

    def _copy(self, source: Store, i: int, target: int, index: int) -> bool:
        row = read_row(source.file, source.offsets, self.spec, i)
        if row is None:
            return False
        offset, crc = self.offsets.frames + self.start(index) * self.spec.frame_bytes, 0
        for data in read_blocks(source, i):
            crc = zlib.crc32(data, crc)
            pwrite_all(target, memoryview(data), offset, self.partial)
            offset += len(data)
        if crc != source.crc32[i]:
            return False
        for name in TABLES:
            offset = self.offsets.tables[name] + index * row_bytes(name, self.spec)
            pwrite_all(target, memoryview(row[name]), offset, self.partial)
        return True

    def seal(self) -> Path:
        """Flush the file, rename it, and delete what it was made of.

        Returns
        -------
        path : Path
            The sealed store.

        Raises
        ------
        StoreError
            If a clip is missing: nothing incomplete ever gets the name.
        OSError
            With the file's path, if the disk cannot hold what was written.
        """
        missing = len(self.contents.clip_ids) - len(self.done)
        if missing:
            raise StoreError(f"{self.partial}: {missing} clips are missing; it is not sealed")
        self.close()
        file = os.open(self.partial, os.O_RDWR)
        try:
            with naming(self.partial):
                os.fsync(file)
        finally:
            os.close(file)
        final = store_path(self.folder, self.name)
        os.replace(self.partial, final)
        flush_folder(self.folder)
        for leftover in leftovers(self.folder, self.name):
            leftover.unlink(missing_ok=True)
        return final

    def reopened(self) -> Store:
        """Open the partial file, with its tables as they are now."""
        return Store(self.partial, damaged_rows=True)

    def close(self) -> None:
        """Close the journal; the partial file and the journal stay for the next run."""
        self._log.close()


def store_path(folder: Path, name: str) -> Path:
    """Build the path of a sealed store."""
    return folder / f"{name}.h5"


def leftovers(folder: Path, name: str) -> list[Path]:
    """List the partial files and journals of unfinished runs."""
    # With the key's length: the files of mfcc are not those of mfcc-deltas.
    return sorted(folder.glob(f".{name}-{'[0-9a-f]' * _KEY}.*"))


def tidy(folder: Path, name: str, spec: FeatureSpec, contents: Contents) -> None:
    """Delete what is of no use beside a sealed store of these contents.

    A run that was stopped between renaming and tidying left it: its own files, and those of other
    runs that lack the partial file or the journal.
    """
    sealed = _stem(name, spec, contents)
    found = leftovers(folder, name)
    for leftover in found:
        both = {leftover.with_suffix(".partial"), leftover.with_suffix(".journal")}
        if leftover.stem == sealed or not both.issubset(found):
            leftover.unlink(missing_ok=True)


def _stem(name: str, spec: FeatureSpec, contents: Contents) -> str:
    return f".{name}-{contents.key(spec)[:_KEY]}"


def partial_stores(folder: Path, name: str, spec: FeatureSpec) -> list[tuple[Store, set[int]]]:
    """Open the partial files of the same fingerprint, each with the rows in its journal."""
    found = []
    for partial in (p for p in leftovers(folder, name) if p.suffix == ".partial"):
        journal = partial.with_suffix(".journal")
        if (store := _open_partial(partial, journal)) is None:
            continue
        if store.spec.fingerprint == spec.fingerprint:
            found.append((store, {entry.index for entry in read_journal(journal)}))
    return found


def read_journal(path: Path) -> list[JournalEntry]:
    """Read the complete lines of a journal; a kill may have torn the last one."""
    entries = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True):
        fields = line.split()
        if line.endswith("\n") and len(fields) == 4 and all(f.isdigit() for f in fields[:3]):
            index, size, mtime_ns = map(int, fields[:3])
            entries.append(JournalEntry(index, size, mtime_ns, fields[3]))
    return entries


def _line(entry: JournalEntry) -> str:
    return f"{entry.index} {entry.size} {entry.mtime_ns} {entry.digest}\n"


def _open_partial(partial: Path, journal: Path) -> Store | None:
    """Open a partial file, or return None: a kill may have come before it was laid out."""
    if not (partial.exists() and journal.exists()):
        return None
    try:
        # Rows of clips that are not finished are of any bytes.
        return Store(partial, damaged_rows=True)
    except (StoreError, UsageError):
        return None
