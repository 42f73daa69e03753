"""The run behind ``pipeline.extract``: what is missing is extracted, the rest is taken over."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from pipeline.dataset.tables import Clip
from pipeline.extraction.extractors import Target
from pipeline.extraction.request import Request, Summary
from pipeline.extraction.reuse import (
    ReusableStores,
    SourceStates,
    as_finished,
    known_bad,
    look_at_sources,
    look_for_previous,
)
from pipeline.extraction.sources import Source, read_sources, write_sources
from pipeline.extraction.worker import ClipResult, ClipTask, Worker
from pipeline.runtime import problems as problem_list
from pipeline.runtime.errors import BadClipsError, PipelineError, UsageError
from pipeline.runtime.files import flushed_meanwhile
from pipeline.runtime.parallel import end_workers, imap, worker_count
from pipeline.runtime.problems import Problem
from pipeline.runtime.progress import ClipProgress, size
from pipeline.store.partial import JournalEntry, PartialStore, leftovers, store_path
from pipeline.store.schema import Contents, Excluded

# A task is about a second's work: small enough for the progress, large enough for its overhead.
_TASK_SECONDS = 300.0
_TASK_CLIPS = 64

PROBLEMS = "problems.csv"


def extract(request: Request) -> Summary:
    """Make the requested stores, or find that they are there.

    Raises
    ------
    BadClipsError
        If more clips are bad than allowed; all are listed, on stderr and in problems.csv, and
        what was extracted stays for the next run.
    UsageError
        If there is no clip to extract.
    PipelineError
        If there is not enough space.
    """
    out = request.out
    folders = [p for t in request.targets if (p := store_path(out, t.name)).is_dir()]
    if folders:
        raise UsageError(f"{folders[0]} is a folder, and in the way of the store")
    if request.force:
        for target in request.targets:
            for leftover in leftovers(out, target.name):
                leftover.unlink()
    previous = {
        t.name: ReusableStores(None, ()) if request.force else look_for_previous(out, t.spec)
        for t in request.targets
    }
    known = look_at_sources(
        request.root, request.clips, out, previous.values(),
        jobs=request.jobs, backend=request.backend,
    )
    bad = _accepted_before(request, previous, known)
    summary = Summary(problems=[*request.earlier, *known.problems])
    said = {p.where: p for p in problem_list.read_csv(out / PROBLEMS)}
    summary.problems += [
        said.get(e.clip_id)
        or Problem(e.clip_id, e.reason, "as in the last run", "Mend it, then prepare again")
        for e in bad.values()
    ]
    not_decoded = problem_list.of_clips([*request.accepted, *request.earlier, *known.problems])
    bad |= {p.where: Excluded(p.where, p.reason, "") for p in not_decoded}
    excluded = tuple(sorted(bad.values(), key=lambda e: e.clip_id))
    clips = [c for c in request.clips if c.clip_id not in bad]
    if not clips:
        _conclude(request, summary)
        raise UsageError("no clip to extract: every one of them is bad")

    contents = {t.name: contents_of(t, clips, excluded) for t in request.targets}
    targets = []
    for target in request.targets:
        if _is_current(previous[target.name], contents[target.name], known):
            summary.up_to_date.append(target.name)
        else:
            targets.append(target)
    remembered = read_sources(out)
    sources = {**remembered, **known.sources}
    if not targets:
        _conclude(request, summary)
        if sources != remembered:
            write_sources(out, sources.values())
        return summary
    check_space(out, targets, contents)

    began = time.monotonic()
    fillings = {t.name: PartialStore(out, t.spec, contents[t.name]) for t in targets}
    for target in targets:
        # Let go of: the tables of an earlier store take as much memory as those of the new one.
        _reuse(fillings[target.name], previous.pop(target.name), clips, known)
    with flushed_meanwhile(filling.partial for filling in fillings.values()):
        failed = _run(request, targets, fillings, clips, sources, summary)
    summary.wall_seconds = time.monotonic() - began
    summary.problems += [done.problem for done in failed if done.problem]
    _conclude(request, summary)

    for target in targets:
        filling = fillings[target.name]
        if failed:
            filling = _without(filling, target, failed, sources)
        summary.sealed[target.name] = filling.seal()
    write_sources(out, sources.values())
    return summary


def contents_of(target: Target, clips: Sequence[Clip], excluded: tuple[Excluded, ...]) -> Contents:
    """What a target's store holds of these clips: ids, lengths, and what was left out."""
    sr = target.extractor.sr
    n_frames = target.extractor.n_frames
    lengths = (n_frames(c.header.length_at(sr)) for c in clips)
    return Contents(tuple(c.clip_id for c in clips), tuple(lengths), excluded)


def check_space(out: Path, targets: Sequence[Target], contents: dict[str, Contents]) -> None:
    """Raise a PipelineError if the stores cannot fit; a full disk is known before, not after."""
    needed = sum(sum(contents[t.name].lengths) * t.spec.frame_bytes for t in targets)
    there = sum(
        p.stat().st_blocks * 512 for t in targets for p in leftovers(out, t.name)
    )
    free = shutil.disk_usage(out).free
    if needed > free + there:
        raise PipelineError(
            f"no space left for the stores in {out}: they need {size(needed)}, "
            f"{size(free)} is free. --feature-dtype float16 takes half, or give another --out"
        )


def _accepted_before(
    request: Request, previous: dict[str, ReusableStores], known: SourceStates
) -> dict[str, Excluded]:
    """Bad clips that need not be tried again; none if they are more than allowed now."""
    found: dict[str, Excluded] = {}
    for each in previous.values():
        found.update(known_bad(each, known))
    wanted = sorted(c.clip_id for c in request.clips if c.clip_id in found)
    found = {clip_id: found[clip_id] for clip_id in wanted}
    n = len(found) + len(known.problems) + len(request.earlier)
    return found if n <= request.allow_failures else {}


def _is_current(previous: ReusableStores, contents: Contents, known: SourceStates) -> bool:
    store = previous.sealed
    return (
        store is not None
        and store.contents == contents
        and all(
            clip_id in known.sources and known.sources[clip_id].digest == digest
            for clip_id, digest in zip(contents.clip_ids, store.digests, strict=True)
        )
    )


def _reuse(
    filling: PartialStore, previous: ReusableStores, clips: Sequence[Clip], known: SourceStates
) -> None:
    """Drop resumed clips whose file has changed, then copy what earlier files have."""
    for i in list(filling.done):
        source = known.sources.get(clips[i].clip_id)
        if source is None or source.digest != filling.done[i].digest:
            del filling.done[i]
    stores = [store for store, _ in previous.partial if store.path != filling.partial]
    if previous.sealed is not None:
        stores.append(previous.sealed)
    for store in stores:
        filling.reuse(store, {
            clip.clip_id: as_finished(known.sources[clip.clip_id], i)
            for i, clip in enumerate(clips)
            if i not in filling.done and clip.clip_id in store and clip.clip_id in known.sources
        })


def _run(
    request: Request, targets: Sequence[Target], fillings: dict[str, PartialStore],
    clips: Sequence[Clip], sources: dict[str, Source], summary: Summary,
) -> list[ClipResult]:
    """Extract what is missing; the clips that failed."""
    def missing(i: int) -> list[str]:
        return [t.name for t in targets if i not in fillings[t.name].done]

    todo = [i for i in range(len(clips)) if missing(i)]
    summary.reused = len(clips) - len(todo)
    if not todo:
        return []
    # Long clips first, so that no worker is left alone with one at the end.
    todo.sort(key=lambda i: (-_seconds(clips[i]), i))
    worker = Worker(
        tuple(targets), {name: f.places for name, f in fillings.items()},
        request.trim_db, request.out,
    )

    def work(i: int) -> ClipTask:
        starts = {name: fillings[name].start(i) for name in missing(i)}
        clip = clips[i]
        return ClipTask(i, clip.clip_id, request.root / clip.path, clip.header, starts)

    failed = []
    total = sum(_seconds(clips[i]) for i in todo)
    batches = list(_batches(todo, clips))
    tasks = ([work(i) for i in batch] for batch in batches)
    # More workers than tasks would only be started.
    jobs = min(worker_count(request.jobs), max(1, len(batches)))
    results = imap(worker, tasks, jobs=jobs, backend=request.backend)
    # Closed at once when the run is stopped, for that ends the workers.
    with ClipProgress(len(todo), total) as progress, closing(results):
        for done in _shown(results, progress):
            clip_id = clips[done.index].clip_id
            sources[clip_id] = Source(clip_id, done.size, done.mtime_ns, done.digest)
            if done.problem:
                failed.append(done)
                continue
            finished = JournalEntry(done.index, done.size, done.mtime_ns, done.digest)
            for name in missing(done.index):
                fillings[name].record(finished)
            summary.extracted += 1
            summary.audio_seconds += done.seconds
            summary.clipped_clips += done.clipped > 0
            summary.clipped_samples += done.clipped
    end_workers(jobs=jobs, backend=request.backend)
    for filling in fillings.values():
        filling.close()
    return sorted(failed, key=lambda done: done.index)


def _shown(batches: Iterable[list[ClipResult]], progress: ClipProgress) -> Iterator[ClipResult]:
    for batch in batches:
        bad = sum(done.problem is not None for done in batch)
        progress.update(len(batch), sum(done.seconds for done in batch), bad=bad)
        yield from batch


def _seconds(clip: Clip) -> float:
    return clip.header.frames / clip.header.sr


def _batches(order: Sequence[int], clips: Sequence[Clip]) -> Iterator[list[int]]:
    batch: list[int] = []
    seconds = 0.0
    for i in order:
        batch.append(i)
        seconds += _seconds(clips[i])
        if seconds >= _TASK_SECONDS or len(batch) == _TASK_CLIPS:
            yield batch
            batch, seconds = [], 0.0
    if batch:
        yield batch


def _conclude(request: Request, summary: Summary) -> None:
    """Record the bad clips; stop if they are too many."""
    path = request.out / PROBLEMS
    problem_list.write_csv(path, summary.problems)
    n = len(summary.problems)
    if n > request.allow_failures:
        print(f"{n} bad clips:", file=sys.stderr)
        problem_list.print_problems(summary.problems, path)
        raise BadClipsError(
            f"{n} bad clips, {request.allow_failures} allowed; they are listed in {path}. "
            f"Nothing was sealed. Mend them, or leave them out with --allow-failures {n}; "
            "the clips that are done will not be decoded again"
        )


def _without(
    filling: PartialStore, target: Target, failed: Sequence[ClipResult], sources: dict[str, Source]
) -> PartialStore:
    """The same store laid out without the bad clips, its frames copied out of the first one."""
    old = filling.contents
    out = {done.index for done in failed}
    kept = [i for i in range(len(old.clip_ids)) if i not in out]
    if not kept:
        raise UsageError("no clip to extract: every one of them is bad")
    excluded = [
        *old.excluded,
        *(Excluded(old.clip_ids[d.index], d.problem.reason, d.digest)
          for d in failed if d.problem),
    ]
    contents = Contents(
        tuple(old.clip_ids[i] for i in kept), tuple(old.lengths[i] for i in kept),
        tuple(sorted(excluded, key=lambda e: e.clip_id)),
    )
    smaller = PartialStore(filling.folder, target.spec, contents)
    smaller.reuse(filling.reopened(), {
        old.clip_ids[i]: as_finished(sources[old.clip_ids[i]], j)
        for j, i in enumerate(kept) if j not in smaller.done
    })
    return smaller
