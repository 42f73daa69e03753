"""Carry out a plan: lay out the stores, copy unchanged clips, decode the others, seal."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.extraction.decoding import decode
from pipeline.extraction.plan import Plan, StorePlan
from pipeline.extraction.reuse import (
    PROBLEMS,
    ReusableStores,
    Source,
    SourceStates,
    reuse_clips,
    write_sources,
)
from pipeline.extraction.seal import report, seal
from pipeline.extraction.shared_folder import check_is_seen, shared_token
from pipeline.extraction.worker import ClipResult, Worker
from pipeline.runtime.errors import PipelineError, UsageError
from pipeline.runtime.files import flushed_meanwhile
from pipeline.runtime.parallel import CLUSTERS, end_workers, worker_count
from pipeline.runtime.problems import Problem
from pipeline.runtime.progress import ClipProgress, hours, size
from pipeline.store.partial import JournalEntry, PartialStore, leftovers, store_path, tidy

# A task takes about a second: short enough for the progress bar, long enough for its overhead.
_TASK_SECONDS = 300.0
_TASK_CLIPS = 64


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    up_to_date : list of str
        Features whose store needed nothing.
    sealed : dict of str to Path
        The stores that were made, by feature.
    extracted, reused : int
        Clips that were decoded, and clips that earlier runs had for every feature.
    audio_seconds, wall_seconds : float
        Duration of the decoded audio, and the time it took.
    clipped_clips, clipped_samples : int
        Where int16 could not hold a sample.
    problems : list of Problem
        The bad clips that were accepted.
    """

    up_to_date: list[str] = field(default_factory=list)
    sealed: dict[str, Path] = field(default_factory=dict)
    extracted: int = 0
    reused: int = 0
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0
    clipped_clips: int = 0
    clipped_samples: int = 0
    problems: list[Problem] = field(default_factory=list)


def extract(
    plan: Plan, out: Path, reusable: dict[str, ReusableStores], states: SourceStates, *,
    jobs: int, backend: str, allow_failures: int, trim_db: float, cluster: str | None = None,
    force: bool = False,
) -> Summary:
    """Make the stores of a plan.

    Parameters
    ----------
    plan : Plan
    out : Path
        The stores' folder; the caller holds its lock.
    reusable : dict of str to ReusableStores
        What earlier runs left, by feature. It is emptied: their tables take as much memory as
        those of the new stores.
    states : SourceStates
        The source files as they are now.
    jobs, backend, cluster
        See :func:`pipeline.runtime.parallel.imap`.
    allow_failures : int
        Bad clips to accept.
    trim_db : float
        How far below a clip's loudest frame silence begins (in dB).
    force : bool
        Delete what unfinished runs left.

    Raises
    ------
    BadClipsError
        If more clips are bad than allowed; all are listed in the error and in problems.csv, and
        what was extracted stays for the next run.
    UsageError
        If there is no clip to extract.
    PipelineError
        If there is not enough space.
    """
    if force:
        for store in plan.stores:
            for leftover in leftovers(out, store.name):
                leftover.unlink()
    for store in plan.stores:
        if store.up_to_date:
            tidy(out, store.name, store.target.spec, store.contents)
    summary = Summary(
        up_to_date=[s.name for s in plan.stores if s.up_to_date], problems=list(plan.problems)
    )
    sources = {**states.remembered, **states.sources}
    if not plan.to_make:
        report(out, summary.problems, allow_failures=allow_failures)
        if not plan.clips:
            raise UsageError("no clips to extract: every one of them is bad")
        if sources != states.remembered:
            write_sources(out, sources.values())
        return summary
    _check_space(out, plan.to_make)
    if backend in CLUSTERS:
        # Workers have working directories of their own.
        out, plan = out.absolute(), replace(plan, root=plan.root.absolute())

    began = time.monotonic()
    partials = {}
    for store in plan.to_make:
        partials[store.name] = PartialStore(out, store.name, store.target.spec, store.contents)
        reuse_clips(partials[store.name], reusable.pop(store.name), states.sources)
    with (
        shared_token(out) if backend in CLUSTERS else nullcontext() as token,
        flushed_meanwhile(partial.partial for partial in partials.values()),
    ):
        worker = Worker(
            tuple(store.target for store in plan.to_make),
            {name: partial.offsets for name, partial in partials.items()}, trim_db, out, token,
        )
        failed = _decode(plan, worker, partials, sources, summary, jobs=jobs, backend=backend,
                         cluster=cluster)
    summary.wall_seconds = time.monotonic() - began
    summary.problems += [result.problem for result in failed if result.problem]
    report(out, summary.problems, allow_failures=allow_failures)
    summary.sealed = seal(partials.values(), failed, sources)
    write_sources(out, sources.values())
    return summary


def summary_of(out: Path, summary: Summary) -> str:
    """Format what a run did; the last line counts the clips."""
    lines = [
        f"{path}: up to date, {size(path.stat().st_size)}"
        for path in (store_path(out, name) for name in summary.up_to_date)
    ]
    lines += [f"{path}: {size(path.stat().st_size)}" for path in summary.sealed.values()]
    if summary.clipped_clips:
        lines.append(
            f"{summary.clipped_samples} samples of {summary.clipped_clips} clips are beyond full "
            "scale and were clipped to int16; a dtype of float32 keeps them"
        )
    if summary.problems:
        lines.append(f"{len(summary.problems)} bad clips left out: {out / PROBLEMS}")
    if not summary.sealed:
        lines.append("extract: nothing to do")
    elif not summary.extracted:
        lines.append(f"extract: no clips decoded, {summary.reused} reused")
    else:
        speed = summary.audio_seconds / max(summary.wall_seconds, 1e-9)
        reused = f", {summary.reused} reused" if summary.reused else ""
        lines.append(
            f"extract: {summary.extracted} clips ({hours(summary.audio_seconds)}) in "
            f"{summary.wall_seconds:.1f} s, {speed:.0f} x real time{reused}"
        )
    return "\n".join(lines)


def _check_space(out: Path, stores: Sequence[StorePlan]) -> None:
    """Raise a PipelineError if the frames cannot fit, before anything is decoded."""
    needed = sum(sum(s.contents.lengths) * s.target.spec.frame_bytes for s in stores)
    reclaimed = sum(p.stat().st_blocks * 512 for s in stores for p in leftovers(out, s.name))
    free = shutil.disk_usage(out).free
    if needed > free + reclaimed:
        raise PipelineError(
            f"no space left for the stores in {out}: they need {size(needed)}, "
            f"{size(free)} is free. A dtype of float16 takes half, or give another --out"
        )


def _decode(
    plan: Plan, worker: Worker, partials: dict[str, PartialStore], sources: dict[str, Source],
    summary: Summary, *, jobs: int, backend: str, cluster: str | None,
) -> list[ClipResult]:
    """Extract the clips that a store lacks; return those that failed."""
    stores = plan.to_make

    def lacking(i: int) -> list[StorePlan]:
        return [store for store in stores if i not in partials[store.name].done]

    todo = [i for i in range(len(plan.clips)) if lacking(i)]
    summary.reused = len(plan.clips) - len(todo)
    if not todo:
        return []
    # Long clips first, so that no worker is left alone with one at the end.
    todo.sort(key=lambda i: (-plan.seconds(i), i))
    failed = []
    batches = list(_batches(todo, plan))
    # More workers than tasks would only be started.
    jobs = min(worker_count(jobs), max(1, len(batches)))
    results = decode(
        worker, batches, lambda i: plan.task(i, lacking(i)), jobs=jobs, backend=backend,
        cluster=cluster,
    )
    # Closed at once when the run is stopped, which ends the workers.
    with ClipProgress(len(todo), sum(map(plan.seconds, todo))) as progress, closing(results):
        for result in _with_progress(results, progress):
            i = result.index
            clip_id = plan.clips[i].clip_id
            sources[clip_id] = Source(clip_id, result.size, result.mtime_ns, result.digest)
            if result.problem:
                if worker.token is not None:
                    check_is_seen(result, plan.root / plan.clips[i].path)
                failed.append(result)
                continue
            entry = JournalEntry(i, result.size, result.mtime_ns, result.digest)
            for store in lacking(i):
                partials[store.name].record(entry)
            summary.extracted += 1
            summary.audio_seconds += result.seconds
            summary.clipped_clips += result.clipped > 0
            summary.clipped_samples += result.clipped
    if backend == "loky" and jobs > 1:
        end_workers()
    for partial in partials.values():
        partial.close()
    return sorted(failed, key=lambda result: result.index)


def _with_progress(
    batches: Iterable[list[ClipResult]], progress: ClipProgress
) -> Iterator[ClipResult]:
    for batch in batches:
        bad = sum(result.problem is not None for result in batch)
        progress.update(len(batch), sum(result.seconds for result in batch), bad=bad)
        yield from batch


def _batches(rows: Sequence[int], plan: Plan) -> Iterator[list[int]]:
    batch: list[int] = []
    seconds = 0.0
    for i in rows:
        batch.append(i)
        seconds += plan.seconds(i)
        if seconds >= _TASK_SECONDS or len(batch) == _TASK_CLIPS:
            yield batch
            batch, seconds = [], 0.0
    if batch:
        yield batch
