"""Which clips need not be decoded again: what is known of every source file before a run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.audio import headers
from pipeline.dataset.tables import Clip
from pipeline.extraction.sources import Source, read_sources
from pipeline.extraction.worker import digest_of
from pipeline.runtime.errors import StoreError
from pipeline.runtime.parallel import imap
from pipeline.runtime.problems import Problem
from pipeline.store.partial import JournalEntry, partial_stores, read_journal, store_path
from pipeline.store.reader import Store, open_store
from pipeline.store.schema import Excluded, FeatureSpec

_FILES_A_TASK = 64


@dataclass(frozen=True)
class ReusableStores:
    """What earlier runs left for one feature, all of the same fingerprint as is wanted now.

    Attributes
    ----------
    sealed : Store or None
    partial : tuple of (Store, set of int)
        Unsealed files, each with the rows that are complete.
    """

    sealed: Store | None
    partial: tuple[tuple[Store, set[int]], ...]

    def clip_ids(self) -> Iterator[str]:
        """Every clip that could be taken over, or that was found bad."""
        if self.sealed is not None:
            yield from self.sealed.contents.clip_ids
            yield from (e.clip_id for e in self.sealed.contents.excluded)
        for store, rows in self.partial:
            yield from (store.contents.clip_ids[i] for i in rows if i < len(store))


@dataclass
class SourceStates:
    """The source files as they are now.

    Attributes
    ----------
    sources : dict of str to Source
        The clips whose digest is known without decoding, by id.
    problems : list of Problem
        The clips whose file is gone, or is nothing that can be read.
    """

    sources: dict[str, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def look_for_previous(out: Path, spec: FeatureSpec) -> ReusableStores:
    """The stores and partial files that have the fingerprint that is wanted."""
    sealed = None
    path = store_path(out, spec.feature)
    if path.exists():
        try:
            store = open_store(path)
        except StoreError:
            # Damaged, or of an old schema: it is made anew, and replaced only by a whole one.
            store = None
        if store is not None and store.spec.fingerprint == spec.fingerprint:
            sealed = store
    return ReusableStores(sealed, tuple(partial_stores(out, spec)))


def look_at_sources(
    root: Path, clips: Iterable[Clip], out: Path, previous: Iterable[ReusableStores], *,
    jobs: int, backend: str,
) -> SourceStates:
    """Find out which of the clips that earlier runs have are the same now.

    A file whose size and time of modification are remembered is taken to be the same; another one
    is read, and its digest decides.
    """
    remembered = read_sources(out)
    previous = list(previous)
    for each in previous:
        for store, _ in each.partial:
            journal = read_journal(store.path.with_suffix(".journal"))
            for line in journal:
                if line.index < len(store):
                    clip_id = store.contents.clip_ids[line.index]
                    remembered[clip_id] = Source(clip_id, line.size, line.mtime_ns, line.digest)
    useful = {clip_id for each in previous for clip_id in each.clip_ids()}
    known = SourceStates()
    look_again = []
    for clip in clips:
        # Joined as text: making a Path takes longer than looking at the file.
        path = os.path.join(root, clip.path)
        state = _stat(path)
        if state is None:
            found = headers.check(Path(path), clip.clip_id)
            if isinstance(found, Problem):
                known.problems.append(found)
            continue
        if clip.clip_id not in useful:
            continue
        source = remembered.get(clip.clip_id)
        if source and (source.size, source.mtime_ns) == (state.st_size, state.st_mtime_ns):
            known.sources[clip.clip_id] = source
        else:
            look_again.append((clip.clip_id, Path(path), state.st_size, state.st_mtime_ns))
    tasks = [
        look_again[i:i + _FILES_A_TASK] for i in range(0, len(look_again), _FILES_A_TASK)
    ]
    if tasks:
        for sources in imap(_digests, tasks, jobs=jobs, backend=backend):
            known.sources.update({source.clip_id: source for source in sources})
    return known


def _stat(path: str) -> os.stat_result | None:
    """The state of a file with bytes to read; a pipe is not opened, for it would wait."""
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
            # Unknown, so the clip is extracted, and the worker reports what is wrong with it.
            continue
    return sources


def known_bad(previous: ReusableStores, known: SourceStates) -> dict[str, Excluded]:
    """The clips that the sealed store left out and that have not changed since, by id."""
    if previous.sealed is None:
        return {}
    return {
        e.clip_id: e for e in previous.sealed.contents.excluded
        if e.clip_id in known.sources and known.sources[e.clip_id].digest == e.digest
    }


def as_finished(source: Source, index: int) -> JournalEntry:
    """A journal line for a clip that is taken over."""
    return JournalEntry(index, source.size, source.mtime_ns, source.digest)
