"""The one parallel layer: joblib, with its backend as a flag."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.errors import PipelineError, UsageError

T = TypeVar("T")
R = TypeVar("R")

BACKENDS = ("loky", "threading", "dask", "ray")


def imap(
    function: Callable[[T], R], tasks: Iterable[T], *, jobs: int, backend: str
) -> Iterator[R]:
    """Yield ``function(task)`` for each task, in the order of completion.

    Parameters
    ----------
    function : callable
        Sent to the workers with each task.
    tasks : iterable
        Consumed as workers become free: it may be long and lazy.
    jobs : int
        Workers; -1 is one a core. With Dask and Ray the cluster decides.
    backend : str
        One of :data:`BACKENDS`. Dask connects to the scheduler that Dask's own configuration
        names (``DASK_SCHEDULER_ADDRESS``), Ray to ``RAY_ADDRESS``; each starts a local cluster
        where none is named.

    Raises
    ------
    UsageError
        If the backend's package is not installed.
    PipelineError
        If a worker died, as it does when memory runs out.
    """
    with _configured(backend, jobs):
        parallel = joblib.Parallel(
            return_as="list" if backend == "ray" else "generator_unordered",
            batch_size=1, pre_dispatch="2 * n_jobs",
        )
        results = None
        try:
            results = parallel(joblib.delayed(function)(task) for task in tasks)
            yield from results
        except TerminatedWorkerError:
            raise PipelineError(
                "a worker was killed, most likely because memory ran out. "
                "Run the same command again, with fewer --jobs: it goes on where this run stopped"
            ) from None
        except BaseException:
            # Not waiting for the clips under way: a user who stops a run means now.
            if backend == "loky":
                get_reusable_executor().shutdown(wait=False, kill_workers=True)
            raise


def worker_count(jobs: int) -> int:
    """How many workers `jobs` means on this machine."""
    return joblib.effective_n_jobs(jobs)


def _configured(backend: str, jobs: int) -> AbstractContextManager[Any]:
    if backend == "dask":
        distributed = _optional("distributed", backend)
        local = {"n_workers": worker_count(jobs), "threads_per_worker": 1}
        distributed.Client(**({} if os.environ.get("DASK_SCHEDULER_ADDRESS") else local))
        return joblib.parallel_config(backend="dask")
    if backend == "ray":
        _optional("ray", backend)
        from ray.util.joblib import register_ray

        register_ray()
        return joblib.parallel_config(backend="ray", n_jobs=jobs)
    if backend == "threading":
        return joblib.parallel_config(backend="threading", n_jobs=jobs)
    # BLAS in one thread: the workers are the parallelism.
    return joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1)


def _optional(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"--backend {extra} needs the package {module}: pip install '.[{extra}]'"
        ) from None
