"""Run tasks in parallel workers with joblib. No other module starts any."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any, TypeVar, get_args

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.runtime.choices import NO_JOBS, Backend
from pipeline.runtime.errors import PipelineError, UsageError

T = TypeVar("T")
R = TypeVar("R")

BACKENDS = get_args(Backend)

_WATCH_SECONDS = 0.5

# A warnings filter, matching the beginning of the message.
_QUIET = "ignore:resource_tracker"


def imap(
    function: Callable[[T], R], tasks: Iterable[T], *, jobs: int, backend: str
) -> Generator[R]:
    """Yield ``function(task)`` for each task, in the order of completion.

    Parameters
    ----------
    function : callable
        Sent to the workers with each task.
    tasks : iterable
        Consumed as workers become free: it may be long and lazy.
    jobs : int
        Number of workers; -1: one per CPU core. With Dask and Ray the cluster decides.
    backend : str
        One of :data:`BACKENDS`. Dask connects to the scheduler that Dask's own configuration
        names (``DASK_SCHEDULER_ADDRESS``), Ray to ``RAY_ADDRESS``; each starts a local cluster
        where none is named.

    Raises
    ------
    UsageError
        If the backend's package is not installed, or `jobs` is 0.
    PipelineError
        If a worker died, as it does when memory runs out.
    """
    if jobs == 0:
        raise UsageError(NO_JOBS)
    with _configured(backend, jobs):
        parallel = joblib.Parallel(
            return_as="list" if backend == "ray" else "generator_unordered",
            batch_size=1, pre_dispatch="2 * n_jobs",
        )
        results: Any = ()
        try:
            with _starting_workers() if backend == "loky" else nullcontext():
                results = parallel(joblib.delayed(function)(task) for task in tasks)
            # Not `yield from`, which would close them before the warning is switched off.
            for result in results:  # noqa: UP028
                yield result
        except TerminatedWorkerError:
            raise PipelineError(
                "a worker was killed, most likely because memory ran out. "
                "Run the same command again with fewer --jobs; it resumes where this run stopped"
            ) from None
        finally:
            if isinstance(results, Generator):
                # Kills the workers of a run that is stopped, with a warning.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results.close()


@contextmanager
def _starting_workers() -> Iterator[None]:
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


def start_ahead(*, jobs: int, backend: str) -> None:
    """Start loky's resource tracker in the background, before its workers.

    It imports nearly as much as a worker, and would compete with the workers for the cores if it
    started with them.
    """
    if backend == "loky" and worker_count(jobs) > 1:
        with _starting_workers():
            loky_tracker.ensure_running()


def end_workers(*, jobs: int, backend: str) -> None:
    """End the idle workers of :func:`imap` without waiting for them.

    They have nothing to clean up; otherwise this process would wait at exit until each interpreter
    has shut down.
    """
    if backend == "loky" and worker_count(jobs) > 1:
        get_reusable_executor(reuse=True).shutdown(wait=False, kill_workers=True)


def worker_count(jobs: int) -> int:
    """Return the number of workers that `jobs` means on this machine."""
    return joblib.effective_n_jobs(jobs)


def _configured(backend: str, jobs: int) -> AbstractContextManager[Any]:
    if backend == "dask":
        return _dask(_optional("distributed", backend), jobs)
    if backend == "ray":
        _optional("ray", backend)
        from ray.util.joblib import register_ray

        register_ray()
        return joblib.parallel_config(backend="ray", n_jobs=jobs)
    if backend == "threading":
        return joblib.parallel_config(backend="threading", n_jobs=jobs)
    # One BLAS thread per worker: there is a worker per core already.
    return joblib.parallel_config(
        backend="loky", n_jobs=jobs, inner_max_num_threads=1,
        initializer=_end_with, initargs=(os.getpid(),),
    )


@contextmanager
def _dask(distributed: Any, jobs: int) -> Iterator[None]:
    local = {"n_workers": worker_count(jobs), "threads_per_worker": 1}
    with _starting_workers():
        client = distributed.Client(**({} if os.environ.get("DASK_SCHEDULER_ADDRESS") else local))
    # Closed however the run ends, and the cluster with it if it was started here.
    with client, joblib.parallel_config(backend="dask"):
        yield


def _optional(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"--backend {extra} needs the package {module}: pip install '.[{extra}]'"
        ) from None
