"""Run tasks in parallel workers with joblib. No other module starts any."""

from __future__ import annotations

import importlib
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any, TypeVar, get_args

import joblib
from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from pipeline.runtime.choices import NO_JOBS, Backend
from pipeline.runtime.errors import PipelineError, UsageError, WorkerDied

T = TypeVar("T")
R = TypeVar("R")

BACKENDS = get_args(Backend)

# Those whose workers may be on other machines.
CLUSTERS = ("dask", "ray")

_WATCH_SECONDS = 0.5

# A warnings filter, matching the beginning of the message.
_QUIET = "ignore:resource_tracker"


def imap(
    function: Callable[[T], R], tasks: Iterable[T], *, jobs: int, backend: str,
    cluster: str | None = None, one_at_a_time: bool = False,
) -> Generator[R]:
    """Yield ``function(task)`` for each task, in the order of completion.

    Parameters
    ----------
    function : callable
        Sent to the workers with each task.
    tasks : iterable
        Consumed as workers become free: it may be long and lazy.
    jobs : int
        Number of workers; -1: one per CPU core. With Dask and Ray the cluster decides, and this is
        the number of workers of a local cluster.
    backend : str
        One of :data:`BACKENDS`. With "loky" and one job the tasks run in this process, unless
        `one_at_a_time` is set.
    cluster : str, optional
        Address of the Dask scheduler or of the Ray cluster. Without one, that of Dask's own
        configuration (``DASK_SCHEDULER_ADDRESS``) or of ``RAY_ADDRESS``; where none is named, a
        local cluster is started.
    one_at_a_time : bool
        Run each task alone, and with processes in a process other than this one: a task that
        crashes its worker is then known.

    Raises
    ------
    UsageError
        If the backend's package is not installed, or `jobs` is 0.
    WorkerDied
        If a worker died, as it does when memory runs out.
    PipelineError
        If the cluster cannot be reached, is lost, or has no workers.
    """
    if jobs == 0:
        raise UsageError(NO_JOBS)
    if backend in CLUSTERS:
        clustered = importlib.import_module(f"pipeline.runtime.{backend}_cluster").imap
        return clustered(function, tasks, workers=worker_count(jobs), address=cluster,
                         one_at_a_time=one_at_a_time)
    if backend == "loky" and one_at_a_time:
        return _apart(function, tasks)
    return _joblib(function, tasks, jobs=1 if one_at_a_time else jobs, backend=backend)


def cluster_address(backend: str, *, scheduler: str | None, address: str | None) -> str | None:
    """Return which of two settings is the address of a backend's cluster.

    Parameters
    ----------
    backend : str
    scheduler, address : str or None
        The settings for "dask" and for "ray".

    Raises
    ------
    UsageError
        If the setting of another backend is given.
    """
    settings = {"dask": ("--scheduler", scheduler), "ray": ("--address", address)}
    for name, (flag, value) in settings.items():
        if value is not None and name != backend:
            raise UsageError(f"{flag} {value} is for --backend {name}; the backend is {backend}")
    return settings[backend][1] if backend in settings else None


def _joblib(
    function: Callable[[T], R], tasks: Iterable[T], *, jobs: int, backend: str
) -> Generator[R]:
    with _configured(backend, jobs):
        parallel = joblib.Parallel(
            return_as="generator_unordered", batch_size=1, pre_dispatch="2 * n_jobs",
        )
        results: Any = ()
        running: dict[int, T] = {}
        try:
            with starting_workers() if backend == "loky" else nullcontext():
                results = parallel(
                    joblib.delayed(_numbered)(number, function, task)
                    for number, task in _remembered(tasks, running)
                )
            for number, result in results:
                del running[number]
                yield result
        except BrokenProcessPool as error:
            raise worker_died(running.values(), _ending(error)) from None
        finally:
            if isinstance(results, Generator):
                # Kills the workers of a run that is stopped, with a warning.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results.close()


def _numbered(number: int, function: Callable[[T], R], task: T) -> tuple[int, R]:
    return number, function(task)


def _remembered(tasks: Iterable[T], running: dict[int, T]) -> Iterator[tuple[int, T]]:
    for number, task in enumerate(tasks):
        running[number] = task
        yield number, task


def _apart(function: Callable[[T], R], tasks: Iterable[T]) -> Generator[R]:
    """Run one task after the other in one other process; joblib would run them in this one."""
    with starting_workers():  # its semaphores start the resource tracker
        executor = ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(),))
    try:
        for task in tasks:
            with starting_workers():
                future = executor.submit(function, task)
            try:
                result = future.result()
            except BrokenProcessPool as error:
                raise worker_died([task], _ending(error)) from None
            yield result
    finally:
        executor.shutdown(wait=False, kill_workers=True)


def worker_died(tasks: Iterable[Any], cause: str) -> WorkerDied:
    """Make the error of a worker that died, for tasks that cannot be told apart."""
    return WorkerDied(
        f"a worker was killed{f' ({cause})' if cause else ''}, most likely because memory ran out. "
        "Run the same command again with fewer --jobs; it resumes where this run stopped",
        tasks, cause,
    )


def other_code(found: str) -> PipelineError:
    """Make the error of a cluster that has other code than this machine, or none."""
    return PipelineError(
        f"the cluster cannot run this pipeline ({found}). It and all its workers need the same "
        "version of the pipeline and of its packages as this machine"
    )


def _ending(error: BrokenProcessPool) -> str:
    """What loky's message says of how the workers ended: "SIGSEGV", without those it ended."""
    found = re.findall(r"\b(SIG[A-Z0-9]+|EXIT)\((-?\d+)\)", str(error))
    return ", ".join(sorted({
        name if name != "EXIT" else f"exit code {code}" for name, code in found
    }))


@contextmanager
def starting_workers() -> Iterator[None]:
    """Let processes that are started in the block ignore Ctrl-C and hide some warnings.

    So a stopped run ends in one line. Ctrl-C reaches the whole group of processes, and the parent
    ends the workers. The resource trackers of loky and of multiprocessing clean up after a killed
    run without a message.
    """
    warnings_before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (warnings_before, _QUIET)))
    # Before the signal is blocked: starting it would unblock the signal.
    resource_tracker.ensure_running()
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if warnings_before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = warnings_before
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)


def _end_with(parent: int) -> None:
    """End this process when its parent ends: idle workers would wait for five minutes.

    Until then they would hold the terminal's pipes, and write into the stores of a killed run.
    """
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def start_ahead() -> None:
    """Start loky's resource tracker in the background, before its workers.

    It imports nearly as much as a worker, and would compete with the workers for the cores if it
    started with them.
    """
    with starting_workers():
        loky_tracker.ensure_running()


def end_workers() -> None:
    """End loky's idle workers without waiting for them.

    They have nothing to clean up; otherwise this process would wait at exit until each interpreter
    has shut down.
    """
    get_reusable_executor(reuse=True).shutdown(wait=False, kill_workers=True)


def worker_count(jobs: int) -> int:
    """Return the number of workers that `jobs` means on this machine."""
    return joblib.effective_n_jobs(jobs)


def _configured(backend: str, jobs: int) -> AbstractContextManager[Any]:
    if backend == "threading":
        return joblib.parallel_config(backend="threading", n_jobs=jobs)
    # One BLAS thread per worker: there is a worker per core already.
    return joblib.parallel_config(
        backend="loky", n_jobs=jobs, inner_max_num_threads=1,
        initializer=_end_with, initargs=(os.getpid(),),
    )


def optional(module: str, extra: str) -> Any:
    """Import a backend's package, which is that of an extra of setup.cfg."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"--backend {extra} needs the package {module}: pip install '.[{extra}]'"
        ) from None
