"""A real Dask scheduler and real worker processes, as they would be on several machines."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from worker_tasks import DEATH, PID

from pipeline.runtime import dask_cluster
from pipeline.runtime.errors import PipelineError, UsageError, WorkerDied
from pipeline.runtime.parallel import cluster_address, imap

distributed = pytest.importorskip("distributed")

N = 200  # four tasks
PATIENCE_SECONDS = 120
ERROR_SECONDS = 60

# Each process that decodes says so, and takes its time.
WATCHED = """
import os, time, soundfile
_real = soundfile.SoundFile.__init__
def init(self, *args, **options):
    open(os.path.join(os.environ["DECODERS"], str(os.getpid())), "a").close()
    time.sleep(float(os.environ.get("SECONDS_PER_CLIP", 0)))
    _real(self, *args, **options)
soundfile.SoundFile.__init__ = init
"""

class Cluster:
    """A scheduler and its workers, each in a process of its own and in a folder of its own."""

    def __init__(self, folder, environment):
        self.folder, self.processes = folder, []
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(WATCHED)
        (folder / "decoders").mkdir()
        path = os.pathsep.join((str(folder / "site"), environment["PYTHONPATH"]))
        self.environment = {**environment, "PYTHONPATH": path,
                            "DECODERS": str(folder / "decoders")}
        self.file = folder / "scheduler.json"

    def start_scheduler(self):
        scheduler = self._start("dask_scheduler", "--port", "0")
        while not self.file.exists():
            assert scheduler.poll() is None
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]
        return scheduler

    def start_worker(self, *flags, before=(), **environment):
        return self._start("dask_worker", "--nthreads", "1", *flags, before=before, **environment)

    def _start(self, command, *flags, before=(), **environment):
        folder = self.folder / f"process-{len(self.processes)}"
        folder.mkdir()
        self.processes.append(subprocess.Popen(
            [*before, sys.executable, "-m", f"distributed.cli.{command}",
             "--scheduler-file", str(self.file), "--no-dashboard", *flags],
            cwd=folder, env={**self.environment, **environment}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ))
        return self.processes[-1]

    def pids(self):
        """The worker processes, by address."""
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
            return client.run(os.getpid)

    def decoders(self):
        return {int(path.name) for path in (self.folder / "decoders").iterdir()}

    def close(self):
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def make_cluster(tmp_path, stage_command):
    """Start a scheduler and some workers; they end with the test."""
    clusters = []

    def make(workers, **options):
        folder = tmp_path / f"cluster-{len(clusters)}"
        folder.mkdir()
        cluster = Cluster(folder, stage_command.environment)
        clusters.append(cluster)
        cluster.scheduler = cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker(**options)
        while workers and len(cluster.pids()) < workers:
            time.sleep(0.1)
        return cluster

    yield make
    for cluster in clusters:
        cluster.close()


@pytest.fixture
def flags(data):
    """Those of an extraction; both folders are relative to where the command runs."""
    return lambda cluster, root: (
        "--data", os.path.relpath(data.prepared, root), "--out", "s", "--backend", "dask",
        "--scheduler", cluster.address,
    )


def test_the_address_is_that_of_the_backend():
    assert cluster_address("dask", scheduler="tcp://h:1", address=None) == "tcp://h:1"
    assert cluster_address("ray", scheduler=None, address="h:1") == "h:1"
    assert cluster_address("loky", scheduler=None, address=None) is None
    with pytest.raises(UsageError, match=r"--scheduler tcp://h:1 is for --backend dask"):
        cluster_address("loky", scheduler="tcp://h:1", address=None)
    with pytest.raises(UsageError, match=r"--address auto is for --backend ray"):
        cluster_address("dask", scheduler=None, address="auto")


def test_a_scheduler_that_is_not_there_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    import dask

    with (dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
          pytest.raises(PipelineError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9")):
        list(imap(eval, [PID], jobs=1, backend="dask", cluster="tcp://127.0.0.1:9"))


@pytest.mark.slow
def test_tasks_run_on_the_workers_and_errors_come_back(make_cluster):
    cluster = make_cluster(2)
    pids = set(cluster.pids().values())
    taken = []
    tasks = (taken.append(1) or PID for _ in range(100))
    results = imap(eval, tasks, jobs=-1, backend="dask", cluster=cluster.address)
    assert next(results) in pids
    assert len(taken) < 10, "a hundred thousand clips are not sent at once"
    assert set(results) == pids
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(imap(os.listdir, ["/nowhere"], jobs=1, backend="dask", cluster=cluster.address))


@pytest.mark.slow
def test_workers_without_the_code_are_told_what_they_need(make_cluster, tmp_path, monkeypatch):
    (tmp_path / "of_this_machine.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import of_this_machine

    cluster = make_cluster(1)
    with pytest.raises(PipelineError, match=r"cannot run.*of_this_machine.*same version"):
        list(imap(of_this_machine.double, [1], jobs=1, backend="dask", cluster=cluster.address))


@pytest.mark.slow
def test_one_worker_of_one_thread_is_a_cluster_too(make_cluster, monkeypatch):
    cluster = make_cluster(1)
    [pid] = cluster.pids().values()
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)
    import dask

    dask.config.refresh()
    assert set(imap(eval, [PID] * 3, jobs=-1, backend="dask")) == {pid}


@pytest.mark.slow
def test_the_task_that_kills_its_workers_is_known(make_cluster):
    cluster = make_cluster(2)
    with pytest.raises(WorkerDied) as caught:
        list(imap(eval, [PID, DEATH, PID], jobs=-1, backend="dask", cluster=cluster.address))
    assert caught.value.tasks == (DEATH,)


@pytest.mark.slow
def test_a_cluster_without_workers_is_an_error_after_a_while(make_cluster, monkeypatch):
    monkeypatch.setattr(dask_cluster, "_PATIENCE_SECONDS", 2)
    cluster = make_cluster(0)
    with pytest.raises(PipelineError, match=r"has had no workers for 2 s"):
        list(imap(eval, [PID], jobs=-1, backend="dask", cluster=cluster.address))


@pytest.mark.slow
def test_a_local_cluster_makes_the_same_bytes(
    data, run_stage, reference, stores_of, leftovers_in, tmp_path
):
    ended = run_stage("extract", "--data", data.prepared, "--out", "s", "--backend", "dask",
                      "--jobs", 2)
    assert (ended.code, ended.extracted) == (0, N)
    assert "Traceback" not in ended.err
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []


@pytest.mark.slow
def test_workers_elsewhere_make_the_same_bytes(
    make_cluster, run_stage, flags, reference, stores_of, leftovers_in, tmp_path
):
    cluster = make_cluster(2)
    pids = set(cluster.pids().values())
    ended = run_stage("extract", *flags(cluster, tmp_path), timeout=PATIENCE_SECONDS)
    assert (ended.code, ended.extracted) == (0, N)
    assert "Traceback" not in ended.err
    assert cluster.decoders() == pids
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []


def clips_done(process):
    """Wait for the first line of progress, and return the clips it counts."""
    for line in process.stderr:
        if found := re.search(r"^  (\d+)/\d+ clips", line):
            return int(found[1])
    raise AssertionError("no progress")


@pytest.fixture
def start(stage_command, flags, tmp_path):
    """Start an extraction on a cluster."""
    started = []

    def run(cluster):
        started.append(subprocess.Popen(
            stage_command("extract", *flags(cluster, tmp_path)), cwd=tmp_path, text=True,
            env={**stage_command.environment,
                 "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        ))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(
    make_cluster, start, reference, stores_of, leftovers_in, tmp_path
):
    cluster = make_cluster(2, SECONDS_PER_CLIP="0.1")
    process = start(cluster)
    assert 0 < clips_done(process) < N
    os.kill(next(iter(cluster.decoders())), signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []


@pytest.mark.slow
def test_a_lost_scheduler_is_one_clear_line_and_the_run_resumes(
    make_cluster, start, data, extract, reference, stores_of, leftovers_in, tmp_path
):
    cluster = make_cluster(2, SECONDS_PER_CLIP="0.1")
    process = start(cluster)
    assert 0 < clips_done(process) < N
    os.killpg(cluster.scheduler.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=ERROR_SECONDS)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(
        f"extract: the Dask scheduler at {cluster.address} is lost. ")
    assert "Traceback" not in err
    cluster.close()
    ended = extract(data, tmp_path / "s")
    assert ended.code == 0
    assert ended.reused >= 64
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []


def hiding(folder):
    """A command's beginning that hides a folder from it, as on a machine without the mount."""
    command = ["unshare", "--mount", "sh", "-c",
               f"mount -t tmpfs none '{folder}' && exec \"$@\"", "sh"]
    try:
        done = subprocess.run([*command, "true"], capture_output=True)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode:
        pytest.skip("needs the right to mount")
    return command


@pytest.mark.slow
@pytest.mark.parametrize("hidden", ["stores", "audio"])
def test_a_worker_that_does_not_see_a_folder_ends_the_run(
    make_cluster, run_stage, flags, data, tmp_path, hidden
):
    (tmp_path / "s").mkdir()
    folder = {"stores": tmp_path / "s", "audio": data.audio}[hidden]
    cluster = make_cluster(1, before=hiding(folder))
    ended = run_stage("extract", *flags(cluster, tmp_path), "--allow-failures", N)
    assert ended.code == 1
    assert "a worker on " in ended.err
    assert str(folder.resolve()) in ended.err
    assert "from a file system that they share" in ended.err.replace("\n", " ")
    assert not list((tmp_path / "s").glob("*.h5"))
