"""Ray clusters, which need the package ray."""

import os
import secrets
import signal
import subprocess
import sys

import pytest
from worker_tasks import DEATH, PID

from pipeline.runtime.errors import PipelineError, WorkerDied
from pipeline.runtime.parallel import imap

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow

N = 200  # four tasks
PATIENCE_SECONDS = 180

@pytest.fixture
def head():
    """The address of a cluster that runs already, and what its users need in their environment."""
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
         "--port", "46379", "--num-cpus", "2", "--include-dashboard", "false",
         "--disable-usage-stats"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, **access},
    )
    assert any("Ray runtime started" in line for line in process.stdout)
    yield "127.0.0.1:46379", access
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)


def test_tasks_run_elsewhere_and_errors_come_back():
    handler = signal.getsignal(signal.SIGTERM)
    assert os.getpid() not in set(imap(eval, [PID] * 30, jobs=2, backend="ray"))
    assert signal.getsignal(signal.SIGTERM) is handler, "a stopped run says so"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(imap(os.listdir, ["/nowhere"], jobs=1, backend="ray"))


def test_the_task_that_kills_its_workers_is_known():
    with pytest.raises(WorkerDied) as caught:
        list(imap(eval, [PID, DEATH], jobs=1, backend="ray", one_at_a_time=True))
    assert caught.value.tasks == (DEATH,)


def test_a_cluster_that_is_not_there_is_one_clear_line():
    with pytest.raises(PipelineError, match=r"no Ray cluster answers at 127.0.0.1:9"):
        list(imap(eval, [PID], jobs=1, backend="ray", cluster="127.0.0.1:9"))


@pytest.mark.parametrize("local", [True, False])
def test_the_bytes_are_the_same(
    data, run_stage, reference, stores_of, leftovers_in, tmp_path, request, local
):
    flags, access = ("--jobs", 2), {}
    if not local:
        address, access = request.getfixturevalue("head")
        flags = ("--address", address)
    ended = run_stage("extract", "--data", os.path.relpath(data.prepared, tmp_path), "--out", "s",
                      "--backend", "ray", *flags, timeout=PATIENCE_SECONDS, env=access)
    assert (ended.code, ended.extracted) == (0, N)
    assert "Traceback" not in ended.err
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []
