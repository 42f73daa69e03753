"""Run tasks on the workers of a Dask cluster.

With Dask's own client rather than joblib's Dask backend (1.6), which waits for ever for a task
whose worker died or whose scheduler was lost, and runs the tasks in the calling process when a
cluster has one thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.parallel import optional, other_code, starting_workers, worker_died

T = TypeVar("T")
R = TypeVar("R")

# How often to look whether the scheduler and the workers are still there, and how long to wait for
# them (in seconds). A nanny needs a few seconds to start a worker again.
_WATCH_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
_CLOSE_SECONDS = 10.0

_RESUME = "Run the same command again to resume"


def imap(
    function: Callable[[T], R], tasks: Iterable[T], *, workers: int, address: str | None,
    one_at_a_time: bool,
) -> Generator[R]:
    """Yield ``function(task)`` for each task, in the order of completion.

    Parameters
    ----------
    function, tasks, one_at_a_time
        See :func:`pipeline.runtime.parallel.imap`.
    workers : int
        Number of processes of a local cluster.
    address : str or None
        The scheduler's; None: the one that Dask's configuration names, else a local cluster.

    Raises
    ------
    UsageError
        If Dask is not installed.
    WorkerDied
        If a task's workers died, as often as Dask tries again
        (``distributed.scheduler.allowed-failures``, 3 times).
    PipelineError
        If the scheduler cannot be reached or is lost, or no worker is there.
    """
    distributed = optional("distributed", "dask")
    with _client(distributed, workers, address) as client:
        running: dict[Any, T] = {}
        waiting = iter(tasks)
        alive = _Watch(client)
        while True:
            slots = alive.slots()
            room = 1 if one_at_a_time else 2 * slots
            while len(running) < room and (task := next(waiting, alive)) is not alive:
                running[client.submit(function, task, pure=False)] = task  # type: ignore[assignment]
            if not running:
                return
            try:
                done = distributed.wait(
                    list(running), timeout=_WATCH_SECONDS, return_when="FIRST_COMPLETED"
                ).done
            except TimeoutError:
                continue
            except distributed.CancelledError:
                alive.lost()
            for future in done:
                task = running.pop(future)
                if future.status in ("cancelled", "lost"):
                    alive.lost()
                if (error := future.exception()) is None:
                    yield future.result()
                elif isinstance(error, distributed.scheduler.KilledWorker):
                    raise worker_died([task], "")
                else:
                    raise _explained(error)


class _Watch:
    """Tells whether the scheduler and its workers are there."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._address = client.scheduler.address
        self._seen = time.monotonic()

    def slots(self) -> int:
        """Tasks that the workers can run at a time; 1 while there are none, for a while.

        A task that waits makes a cluster that adapts to its load start a worker.
        """
        if self._client.status != "running":
            self.lost()
        try:
            slots = sum(self._client.nthreads().values())
        except OSError:
            self.lost()
        if slots:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > _PATIENCE_SECONDS:
            raise PipelineError(
                f"the Dask scheduler at {self._address} has had no workers for "
                f"{_PATIENCE_SECONDS:.0f} s. Start some, then run the same command again"
            )
        return max(1, slots)

    def lost(self) -> None:
        """Raise the error of a scheduler that is gone."""
        raise PipelineError(f"the Dask scheduler at {self._address} is lost. {_RESUME}")


@contextmanager
def _client(distributed: Any, workers: int, address: str | None) -> Iterator[Any]:
    """Connect; whatever was started here ends with the block."""
    # Dask reports the same troubles in its own words, in many lines, by several loggers.
    disabled_before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with _connected(distributed, workers, address) as client:
            yield client
    finally:
        logging.disable(disabled_before)


@contextmanager
def _connected(distributed: Any, workers: int, address: str | None) -> Iterator[Any]:
    import dask

    address = address or dask.config.get("scheduler-address", None)
    try:
        if address is not None:
            client = distributed.Client(address)
        else:
            with starting_workers():
                client = distributed.Client(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"no Dask scheduler answers at {address}: {error}" if address
            else f"a local Dask cluster does not start: {error}"
        ) from None
    try:
        yield client
    finally:
        with suppress(TimeoutError):  # of a scheduler that is gone
            client.close(timeout=_CLOSE_SECONDS)


def _explained(error: BaseException) -> BaseException:
    """The error of a task, or what an error of Dask's own means."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    if isinstance(first, ImportError) or "deserializ" in str(error):
        return other_code(str(first))
    return error
