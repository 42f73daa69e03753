"""Hand clips to the workers, and find those that kill a worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

from pipeline.extraction.worker import ClipResult, ClipTask, Worker, digest_of
from pipeline.runtime.errors import PipelineError, WorkerDied, listed
from pipeline.runtime.parallel import imap
from pipeline.runtime.problems import Problem

# After so many clips in a row that kill a worker which has nothing else to do, it is not the clips.
_MOST_DEATHS = 20


def decode(
    worker: Worker, batches: Sequence[Sequence[int]], make_task: Callable[[int], ClipTask], *,
    jobs: int, **workers: Any,
) -> Generator[list[ClipResult]]:
    """Extract batches of clips, in the order of completion.

    When a worker dies, the clips that it may have had are extracted again, one at a time and alone
    on the machine: the clip that kills its worker again is a problem, the others were bystanders,
    or had too little memory beside each other.

    Parameters
    ----------
    worker : Worker
    batches : sequence of sequence of int
        Rows of the clips.
    make_task : callable
        Makes the task of one row.
    jobs, **workers
        See :func:`pipeline.runtime.parallel.imap`.

    Raises
    ------
    PipelineError
        If workers die again and again.
    """
    done = set[int]()
    while batches:
        tasks = ([make_task(i) for i in batch] for batch in batches)
        try:
            with closing(
                imap(worker, tasks, jobs=jobs, one_at_a_time=jobs == 1, **workers)
            ) as results:
                for batch in results:
                    done.update(result.index for result in batch)
                    yield batch
            return
        except WorkerDied as error:
            suspects = [task for batch in error.tasks for task in batch]
            if not suspects:
                raise
        for result in _one_by_one(worker, suspects, jobs=jobs, **workers):
            done.add(result.index)
            yield [result]
        batches = [batch for batch in batches if batch[0] not in done]


def _one_by_one(worker: Worker, tasks: Sequence[ClipTask], **workers: Any) -> Iterator[ClipResult]:
    deadly = list[str]()
    while tasks:
        n = 0
        try:
            with closing(
                imap(worker, ([task] for task in tasks), one_at_a_time=True, **workers)
            ) as results:
                for [result] in results:
                    n += 1
                    deadly.clear()
                    yield result
            return
        except WorkerDied as error:
            deadly.append(tasks[n].clip_id)
            if len(deadly) == _MOST_DEATHS:
                raise PipelineError(
                    f"{len(deadly)} workers in a row were killed, each while it decoded one clip "
                    f"alone: {listed(deadly)}. Is there memory left on the machine? Run the same "
                    "command again to resume"
                ) from None
            yield _killer(tasks[n], error.cause)
        tasks = tasks[n + 1:]


def _killer(task: ClipTask, cause: str) -> ClipResult:
    """The result of a clip that kills its worker, as the worker would have reported it."""
    digest, size, mtime_ns = "", -1, -1
    try:
        stat = os.stat(task.path)
        digest, size, mtime_ns = digest_of(task.path), stat.st_size, stat.st_mtime_ns
    except OSError:
        # It is tried again by the next run.
        pass
    problem = Problem(
        task.clip_id, "crash",
        f"decoding it, alone, killed the worker{f' ({cause})' if cause else ''}",
        "Convert it again from its source, or give the worker more memory if the clip is very long",
    )
    return ClipResult(task.index, digest, size, mtime_ns, task.seconds, problem)
