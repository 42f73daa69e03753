"""Find the clips that can be reused without decoding, and copy them.

Like git and DVC: size and time of modification decide whether a source file is read again, its
digest decides whether it changed. ``sources.csv`` beside the stores remembers them. It is a cache:
no stage depends on it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from pipeline.audio import headers
from pipeline.dataset.tables import Clip
from pipeline.extraction.targets import Target
from pipeline.extraction.worker import digest_of
from pipeline.runtime import problems as problem_tables
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.parallel import imap
from pipeline.runtime.problems import Problem
from pipeline.runtime.rows import each_row, write_rows
from pipeline.store.checksums import damaged_clips
from pipeline.store.partial import (
    JournalEntry,
    PartialStore,
    partial_stores,
    read_journal,
    store_path,
)
from pipeline.store.reader import Store
from pipeline.store.schema import FeatureSpec

PROBLEMS, SOURCES = "problems.csv", "sources.csv"

_FILES_PER_TASK = 64


@dataclass(frozen=True, slots=True)
class Source:
    """The state of a source file, and its SHA-256 at that time."""

    clip_id: str
    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True)
class ReusableStores:
    """What earlier runs left of one feature, all of the fingerprint that is wanted now.

    Attributes
    ----------
    sealed : Store or None
    partial : tuple of (Store, set of int)
        Unsealed files, each with its complete rows.
    why_none : str
        Why the sealed store cannot be reused; empty if it can.
    damaged : frozenset of str
        Clips of the sealed store that are not intact, as far as it was checked.
    needs_repair : bool
        Whether the sealed store is damaged, in these clips or elsewhere.
    """

    sealed: Store | None = None
    partial: tuple[tuple[Store, set[int]], ...] = ()
    why_none: str = ""
    damaged: frozenset[str] = frozenset()
    needs_repair: bool = False

    def clip_ids(self) -> Iterator[str]:
        """Yield every clip that may be reused, and every one that was found bad."""
        if self.sealed is not None:
            yield from self.sealed.contents.clip_ids
            yield from (e.clip_id for e in self.sealed.contents.excluded)
        for store, rows in self.partial:
            yield from (store.contents.clip_ids[i] for i in rows if i < len(store))

    def holds(self, clip_id: str, digest: str, n_frames: int) -> bool:
        """Tell whether one of the stores has a clip of that digest and number of frames."""
        return (
            self.sealed is not None and clip_id not in self.damaged
            and self.sealed.holds(clip_id, digest, n_frames)
        ) or any(
            store.holds(clip_id, digest, n_frames) and store.index_of(clip_id) in rows
            for store, rows in self.partial
        )


@dataclass
class SourceStates:
    """The source files as they are now.

    Attributes
    ----------
    sources : dict of str to Source
        The clips whose digest is known without decoding, by id.
    problems : list of Problem
        The clips whose file is missing, or cannot be read as audio.
    remembered : dict of str to Source
        What sources.csv said.
    reported : dict of str to Problem
        What problems.csv said about bad clips.
    """

    sources: dict[str, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    remembered: dict[str, Source] = field(default_factory=dict)
    reported: dict[str, Problem] = field(default_factory=dict)


def find_reusable(
    out: Path, targets: Iterable[Target], *, force: bool = False, repair: bool = False
) -> dict[str, ReusableStores]:
    """Open what earlier runs left of each target, by its name.

    Parameters
    ----------
    out : Path
        The stores' folder.
    targets : iterable of Target
    force : bool
        Reuse nothing.
    repair : bool
        Read the sealed stores and find their damaged clips.

    Raises
    ------
    UsageError
        If there is a folder where a store has to be written.
    """
    targets = list(targets)
    folders = [path for t in targets if (path := store_path(out, t.name)).is_dir()]
    if folders:
        raise UsageError(f"{folders[0]} is a folder, where the store has to be written")
    return {
        t.name: ReusableStores(why_none="--force") if force
        else _stores_of(out, t.name, t.spec, repair=repair)
        for t in targets
    }


def _stores_of(out: Path, name: str, spec: FeatureSpec, *, repair: bool) -> ReusableStores:
    partial = tuple(partial_stores(out, name, spec))
    path = store_path(out, name)
    if not path.exists():
        return ReusableStores(None, partial, "no store yet")
    try:
        store = Store(path, damaged_rows=True)
    except StoreError:
        # It is replaced only by a complete one.
        return ReusableStores(None, partial, "the store is damaged, or of an old format")
    if store.spec.fingerprint != spec.fingerprint:
        return ReusableStores(None, partial, _difference(store.spec, spec))
    if not repair and not store.fault:
        return ReusableStores(store, partial)
    damaged = frozenset(damaged_clips(store))
    return ReusableStores(
        store, partial, damaged=damaged,
        needs_repair=bool(damaged or store.fault or store.bytes_beyond),
    )


def _difference(old: FeatureSpec, new: FeatureSpec) -> str:
    """Describe what changed: 'settings changed: n_mels 128, now 64'."""
    before, now = (
        {"feature": s.feature, "version": s.version, "dtype": s.dtype, **_flat(s.config)}
        for s in (old, new)
    )
    changes = [
        f"{key} {before.get(key, 'not set')}, now {now.get(key, 'not set')}"
        for key in dict.fromkeys([*now, *before]) if before.get(key) != now.get(key)
    ]
    return "settings changed: " + "; ".join(changes)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a feature, those of a feature inside by dotted keys: ``of.n_mfcc``."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def source_states(
    root: Path, clips: Iterable[Clip], out: Path, reusable: Iterable[ReusableStores], *,
    jobs: int, backend: str, cluster: str | None = None,
) -> SourceStates:
    """Find out which clips of earlier runs have unchanged source files.

    A file of the remembered size and time of modification counts as unchanged; any other one is
    read for its digest.

    Parameters
    ----------
    root : Path
        The folder that the clips' paths are relative to.
    clips : iterable of Clip
    out : Path
        The stores' folder.
    reusable : iterable of ReusableStores
    jobs, backend, cluster
        See :func:`pipeline.runtime.parallel.imap`.
    """
    states = SourceStates(
        remembered=read_sources(out),
        reported={p.where: p for p in problem_tables.read_csv(out / PROBLEMS)},
    )
    reusable = list(reusable)
    journals = {
        store.contents.clip_ids[entry.index]: entry
        for each in reusable for store, _ in each.partial
        for entry in read_journal(store.path.with_suffix(".journal")) if entry.index < len(store)
    }
    remembered = {**states.remembered, **{
        clip_id: Source(clip_id, entry.size, entry.mtime_ns, entry.digest)
        for clip_id, entry in journals.items()
    }}
    useful = {clip_id for each in reusable for clip_id in each.clip_ids()}
    to_read = []
    root = root.absolute()  # workers on other machines have working directories of their own
    for clip in clips:
        # Joined as text: making a Path takes longer than asking for the file's state.
        path = os.path.join(root, clip.path)
        state = _stat(path)
        if state is None:
            found = headers.check(Path(path), clip.clip_id)
            if isinstance(found, Problem):
                states.problems.append(found)
            continue
        if clip.clip_id not in useful:
            continue
        source = remembered.get(clip.clip_id)
        if source and (source.size, source.mtime_ns) == (state.st_size, state.st_mtime_ns):
            states.sources[clip.clip_id] = source
        else:
            to_read.append((clip.clip_id, Path(path), state.st_size, state.st_mtime_ns))
    tasks = [to_read[i:i + _FILES_PER_TASK] for i in range(0, len(to_read), _FILES_PER_TASK)]
    if tasks:
        for sources in imap(_digests, tasks, jobs=jobs, backend=backend, cluster=cluster):
            states.sources.update({source.clip_id: source for source in sources})
    return states


def _stat(path: str) -> os.stat_result | None:
    """The state of a file with bytes to read; a pipe is not opened because it would block."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    regular = stat.S_ISREG(state.st_mode) and state.st_size
    return state if regular and os.access(path, os.R_OK) else None


def _digests(files: list[tuple[str, Path, int, int]]) -> list[Source]:
    sources = []
    for clip_id, path, size, mtime_ns in files:
        try:
            sources.append(Source(clip_id, size, mtime_ns, digest_of(path)))
        except OSError:
            # Without a digest the clip is extracted, and the worker reports what is wrong with it.
            continue
    return sources


def reuse_clips(
    partial: PartialStore, reusable: ReusableStores, sources: dict[str, Source]
) -> None:
    """Copy the unchanged clips of earlier runs into a store.

    Clips that the store resumed with are dropped from it if their source files have changed.
    """
    clip_ids = partial.contents.clip_ids
    for i in list(partial.done):
        source = sources.get(clip_ids[i])
        if source is None or source.digest != partial.done[i].digest:
            del partial.done[i]
    stores = [store for store, _ in reusable.partial if store.path != partial.partial]
    if reusable.sealed is not None:
        stores.append(reusable.sealed)
    for store in stores:
        partial.reuse(store, journal_entries(
            partial, (i for i, clip_id in enumerate(clip_ids) if clip_id in store), sources
        ))


def journal_entries(
    partial: PartialStore, rows: Iterable[int], sources: dict[str, Source]
) -> dict[str, JournalEntry]:
    """Build the journal entries of those rows that a store lacks and whose digest is known."""
    clip_ids: Sequence[str] = partial.contents.clip_ids
    return {
        source.clip_id: JournalEntry(i, source.size, source.mtime_ns, source.digest)
        for i in rows if i not in partial.done and (source := sources.get(clip_ids[i]))
    }


def read_sources(folder: Path) -> dict[str, Source]:
    """Read the remembered states, by clip id; none if the table is missing or not valid."""
    try:
        rows = each_row(folder / SOURCES)
        next(rows)
        sources = (
            Source(sys.intern(cells[0]), int(cells[1]), int(cells[2]), sys.intern(cells[3]))
            for _, cells in rows
        )
        return {source.clip_id: source for source in sources}
    except (OSError, UsageError, ValueError, IndexError):
        # Without this cache every file is read once more.
        return {}


def write_sources(folder: Path, sources: Iterable[Source]) -> None:
    """Write the states atomically, sorted by clip id."""
    rows = (astuple(s) for s in sorted(sources, key=lambda s: s.clip_id))
    write_rows(folder / SOURCES, [f.name for f in fields(Source)], rows)
