"""Run tasks on the workers of a Ray cluster.

With Ray's own calls rather than its joblib backend, which returns all results at the end: there
would be no progress, and nothing to resume from.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.parallel import optional, other_code, starting_workers, worker_died

T = TypeVar("T")
R = TypeVar("R")

_WATCH_SECONDS = 1.0
_ANSWER_SECONDS = 10.0


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
        The cluster's; None: ``RAY_ADDRESS``, else a local cluster.

    Raises
    ------
    UsageError
        If Ray is not installed.
    WorkerDied
        If a task's workers died, as often as Ray tries again (3 times).
    PipelineError
        If the cluster cannot be reached or is lost.
    """
    ray = optional("ray", "ray")
    with _cluster(ray, workers, address):
        try:
            yield from _each(ray, ray.remote(function_of(function)), tasks, one_at_a_time)
        except (ConnectionError, ray.exceptions.RaySystemError) as error:
            first = str(error).partition("\n")[0]  # of a worker's traceback
            if "No module named" in first or "import name" in first:
                raise other_code(first.removeprefix("System error: ")) from None
            raise PipelineError(
                f"the Ray cluster is lost: {first}. Run the same command again to resume"
            ) from None


def function_of(function: Callable[[T], R]) -> Callable[[T], R]:
    """Wrap any callable as a function: Ray takes no others."""
    def call(task: T) -> R:
        return function(task)

    return call


def _each(ray: Any, remote: Any, tasks: Iterable[T], one_at_a_time: bool) -> Generator[Any]:
    running: dict[Any, T] = {}
    waiting, end = iter(tasks), object()
    while True:
        slots = int(ray.cluster_resources().get("CPU", 1))
        room = 1 if one_at_a_time else 2 * max(1, slots)
        while len(running) < room and (task := next(waiting, end)) is not end:
            running[remote.remote(task)] = task  # type: ignore[assignment]
        if not running:
            return
        done, _ = ray.wait(list(running), timeout=_WATCH_SECONDS)
        for reference in done:
            task = running.pop(reference)
            try:
                result = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except (
                ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError,
                ray.exceptions.NodeDiedError,
            ):
                raise worker_died([task], "") from None
            yield result


def _check_answers(address: str) -> None:
    """Raise a PipelineError if nothing listens at an address; Ray itself tries for ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return  # such as "auto", which Ray looks up on this machine
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise PipelineError(f"no Ray cluster answers at {address}: {error}") from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces by its own when it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _cluster(ray: Any, workers: int, address: str | None) -> Iterator[None]:
    """Connect, or start a local cluster; it ends with the block."""
    address = address or os.environ.get("RAY_ADDRESS")
    options = {} if address else {"num_cpus": workers, "include_dashboard": False}
    if address:
        _check_answers(address)
    try:
        with starting_workers(), _own_signals():
            # Without an address Ray takes the last cluster that was started on this machine.
            ray.init(
                address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL,
                **options,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise PipelineError(
            f"no Ray cluster answers{f' at {address}' if address else ''}: {error}"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
