import importlib.util
import math
import os
import time
from pathlib import Path

import pytest
from worker_tasks import DEATH, PID

from pipeline.runtime.errors import UsageError, WorkerDied
from pipeline.runtime.parallel import BACKENDS, end_workers, imap, worker_count

N = 70  # two tasks


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_every_result_comes_once(backend, jobs):
    results = imap(math.sqrt, iter(range(50)), jobs=jobs, backend=backend)
    assert sorted(results) == [math.sqrt(x) for x in range(50)]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_tasks_are_taken_as_workers_become_free(backend):
    """A hundred thousand clips are not queued at once."""
    taken = []
    results = imap(eval, (taken.append(1) or PID for _ in range(100)), jobs=2, backend=backend)
    next(results)
    assert len(taken) < 20
    results.close()


def test_no_task_is_no_work():
    assert list(imap(abs, [], jobs=2, backend="threading")) == []


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_of_the_machine_come_through(backend, jobs):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(imap(os.listdir, ["/", "/nowhere", "/"], jobs=jobs, backend=backend))


def test_loky_uses_other_processes():
    pids = set(imap(eval, [PID] * 20, jobs=2, backend="loky"))
    assert os.getpid() not in pids
    assert len(pids) == 2


def test_a_run_that_is_given_up_warns_of_nothing(recwarn):
    results = imap(eval, [PID] * 50, jobs=2, backend="loky")
    next(results)
    results.close()
    assert not recwarn.list
    # The workers are killed, and new ones are there for the next run.
    assert len(list(imap(eval, [PID] * 4, jobs=2, backend="loky"))) == 4


def test_workers_can_be_ended_before_this_process():
    pids = set(imap(eval, [PID] * 20, jobs=2, backend="loky"))
    end_workers()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    again = set(imap(eval, [PID] * 4, jobs=2, backend="loky"))
    assert again
    assert not again & pids


def test_a_worker_that_dies_is_an_error_with_advice():
    """Its tasks are those that were running."""
    with pytest.raises(WorkerDied, match=r"a worker was killed.*fewer --jobs") as caught:
        list(imap(eval, ["1", DEATH, "2"], jobs=2, backend="loky"))
    assert DEATH in caught.value.tasks
    assert caught.value.cause == "SIGKILL"


def test_one_at_a_time_leaves_no_doubt_which_task_it_was():
    results = imap(eval, [PID, PID, DEATH, PID], jobs=2, backend="loky", one_at_a_time=True)
    pids = {next(results), next(results)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    with pytest.raises(WorkerDied) as caught:
        next(results)
    assert caught.value.tasks == (DEATH,)
    # New ones are there for the next run.
    assert len(list(imap(eval, [PID] * 4, jobs=2, backend="loky"))) == 4


def test_jobs_are_counted_from_the_machine():
    assert worker_count(3) == 3
    assert worker_count(-1) >= 1


def test_the_environment_is_left_as_it_was():
    before = dict(os.environ)
    list(imap(abs, range(3), jobs=2, backend="loky"))
    assert dict(os.environ) == before


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_a_backend_that_is_not_installed_says_how_to_get_it(data, run_stage, tmp_path):
    ended = run_stage("extract", "--data", data.prepared, "--out", "s", "--backend", "ray")
    assert ended.code == 2
    assert "--backend ray needs the package ray: pip install '.[ray]'" in ended.err
    assert "Traceback" not in ended.err
    with pytest.raises(UsageError, match="pip install"):
        next(imap(abs, [1], jobs=1, backend="ray"))


def test_an_unknown_backend_is_told_the_known_ones(data, run_stage):
    ended = run_stage("extract", "--data", data.prepared, "--out", "s", "--backend", "spark")
    assert ended.code == 2
    for name in BACKENDS:
        assert name in ended.err


def test_threads_make_the_same_bytes(data, extract, reference, stores_of, tmp_path):
    ended = extract(data, tmp_path / "s", "--backend", "threading", "--jobs", 2)
    assert (ended.code, ended.extracted, ended.err) == (0, N, "")
    assert stores_of(tmp_path / "s") == reference
