import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.extraction import worker
from pipeline.store.partial import PartialStore, read_journal
from pipeline.store.reader import Store

# Four tasks of 64 clips at most, so that the journals grow during a run.
N = 200
JOBS = 2
PATIENCE_SECONDS = 30

# Every write takes a little longer, in the workers too: there is time to kill them.
SLOWER = """
import os, time
_pwrite = os.pwrite
def pwrite(file, data, offset):
    time.sleep(0.0002)
    return _pwrite(file, data, offset)
os.pwrite = pwrite
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")


@pytest.fixture(scope="module")
def data(make_data_set):
    return make_data_set().fill(N, seconds=0.05).prepare()


@pytest.fixture(scope="module")
def reference(data, extract, stores_of):
    """The bytes of an uninterrupted run."""
    assert extract(data, data.root / "reference").extracted == N
    return stores_of(data.root / "reference")


@pytest.fixture
def start(data, stage_command, tmp_path):
    """Start an extraction into tmp_path / "s" as the leader of a group of processes."""
    (tmp_path / "slower").mkdir()
    (tmp_path / "slower" / "sitecustomize.py").write_text(SLOWER)
    path = os.pathsep.join((str(tmp_path / "slower"), stage_command.environment["PYTHONPATH"]))
    started = []

    def run(*flags, jobs=JOBS):
        started.append(subprocess.Popen(
            stage_command("extract", "--data", data.prepared, "--out", "s", "--jobs", jobs,
                          *flags),
            cwd=tmp_path, env={**stage_command.environment, "PYTHONPATH": path}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        ))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def finish(data, extract, tmp_path):
    """Run the same command to its end."""
    return lambda: extract(data, tmp_path / "s")


def wait_for(condition, what):
    began = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - began < PATIENCE_SECONDS, f"waited in vain for {what}"
        time.sleep(0.005)
    return found


def lines(out):
    """Clips in the journal that has the fewest."""
    journals = list(out.glob(".*.journal"))
    return min((len(read_journal(j)) for j in journals), default=0) if len(journals) == 3 else 0


def wait_for_progress(process, out):
    wait_for(lambda: lines(out) or process.poll() is not None, "a journal to grow")
    assert process.poll() is None, "the run was over before it could be killed"


def group_is_gone(process):
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def workers_of(process):
    """The ids of a run's worker processes."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children
            if "popen_loky" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_a_run_killed_at_any_moment_resumes(
    start, finish, reference, stores_of, leftovers_in, tmp_path
):
    """kill -9 of the parent alone, several times in a row, at moments that a seed decides."""
    out = tmp_path / "s"
    began = time.monotonic()
    start().communicate()
    whole = time.monotonic() - began
    assert stores_of(out) == reference
    rng = np.random.default_rng(0)
    for kills in (1, 1, 3):
        for path in out.iterdir():
            path.unlink()
        for fraction in rng.uniform(0.3, 1, kills):
            process = start()
            time.sleep(fraction * whole)
            process.kill()
            process.wait()
            for name, content in stores_of(out).items():
                assert content == reference[name], "a name without the whole store"
        ended = finish()
        assert ended.code == 0
        assert stores_of(out) == reference
        assert leftovers_in(out) == []


def test_workers_end_with_a_killed_parent(start, tmp_path):
    """Else they would hold pipes open, wait for five minutes, and write into a resumed store."""
    process = start()
    wait_for_progress(process, tmp_path / "s")
    assert len(workers_of(process)) == JOBS
    process.kill()
    process.wait()
    wait_for(lambda: group_is_gone(process), "the workers to end")


def test_what_is_in_the_journal_is_not_decoded_again(
    start, finish, reference, stores_of, tmp_path, leftovers_in
):
    """A kill of all processes at once; the lock is free then."""
    process = start()
    wait_for_progress(process, tmp_path / "s")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    n = lines(tmp_path / "s")
    assert stores_of(tmp_path / "s") == {}
    ended = finish()
    assert n > 0
    assert (ended.reused, ended.extracted) == (n, N - n)
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []


class Killed(BaseException):
    """Nothing catches it."""


@pytest.fixture
def killed(data, extract, tmp_path, monkeypatch):
    """What a run leaves that ends in the middle of its journals; the clips it has in all three."""
    real, n = PartialStore.record, 0

    def record(self, finished):
        nonlocal n
        n += 1
        if n > 200:
            raise Killed
        real(self, finished)

    with monkeypatch.context() as patch:
        patch.setattr(PartialStore, "record", record)
        with pytest.raises(Killed):
            extract(data, tmp_path / "s")
    assert lines(tmp_path / "s") == 66
    return 66


def test_a_run_may_end_between_two_seals(
    data, extract, finish, reference, stores_of, tmp_path, monkeypatch, leftovers_in
):
    """One store has its name, the others have not, and the memory of the sources is not written."""
    real = PartialStore.seal

    def seal(self):
        if self.spec.feature != "waveform":
            raise Killed
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(PartialStore, "seal", seal)
        with pytest.raises(Killed):
            extract(data, tmp_path / "s")
    assert stores_of(tmp_path / "s") == {"waveform.h5": reference["waveform.h5"]}
    monkeypatch.setattr(worker, "opened", lambda path: pytest.fail(f"{path} was decoded"))
    ended = finish()
    assert (ended.code, ended.extracted, ended.reused) == (0, 0, N)
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []


def test_bytes_that_were_lost_are_made_again(killed, finish, reference, stores_of, tmp_path):
    """As after a loss of power: the journal was written, some of the clips' pages were not."""
    [partial] = (tmp_path / "s").glob(".mfcc-*.partial")
    store = Store(partial, damaged_rows=True)
    rows = [line.index for line in read_journal(partial.with_suffix(".journal"))][:2]
    with open(partial, "r+b") as file:
        at = store.offsets.frames + int(store.start[rows[0]]) * store.spec.frame_bytes
        os.pwrite(file.fileno(), bytes(store.spec.frame_bytes), at)
        os.pwrite(file.fileno(), bytes(64), store.offsets.tables["digest"] + 64 * rows[1])
    ended = finish()
    assert (ended.reused, ended.extracted) == (killed - 2, N - killed + 2)
    assert stores_of(tmp_path / "s") == reference


def test_a_torn_journal_costs_a_clip(killed, finish, reference, stores_of, tmp_path):
    [journal] = (tmp_path / "s").glob(".logmel-*.journal")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert finish().reused == killed - 1
    assert stores_of(tmp_path / "s") == reference


def test_a_clip_that_changed_meanwhile_is_extracted_again(
    killed, finish, data, extract, reference, stores_of, tmp_path
):
    [journal] = (tmp_path / "s").glob(".logmel-*.journal")
    path = data.audio / f"{read_journal(journal)[0].index:04d}.wav"
    original = path.read_bytes()
    soundfile.write(path, -soundfile.read(path)[0], 44100, subtype="PCM_16")
    try:
        ended = finish()
        assert (ended.code, ended.reused) == (0, killed - 1)
        assert extract(data, tmp_path / "scratch").code == 0
        assert stores_of(tmp_path / "s") == stores_of(tmp_path / "scratch") != reference
    finally:
        path.write_bytes(original)


def test_clips_that_come_and_go_meanwhile(killed, data, extract, tmp_path, stores_of):
    """Another layout: the clips are copied out of the partial files."""
    assert extract(data, tmp_path / "s", "--limit", 150).reused >= killed - 50
    assert extract(data, tmp_path / "t", "--limit", 150).code == 0
    assert stores_of(tmp_path / "s") == stores_of(tmp_path / "t")


def test_another_setting_does_not_resume(killed, data, extract, tmp_path, stores_of, leftovers_in):
    flags = ("--n-mels", 40, "--sr", 22050)
    ended = extract(data, tmp_path / "s", *flags)
    assert (ended.extracted, ended.reused) == (N, 0)
    assert extract(data, tmp_path / "t", *flags).code == 0
    assert stores_of(tmp_path / "s") == stores_of(tmp_path / "t")
    assert leftovers_in(tmp_path / "s") == []


def test_force_does_not_resume(killed, data, extract, tmp_path, stores_of, reference):
    ended = extract(data, tmp_path / "s", "--force")
    assert (ended.extracted, ended.reused) == (N, 0)
    assert stores_of(tmp_path / "s") == reference


@pytest.mark.parametrize(("jobs", "backend", "signum", "code", "kill"), [
    (2, "loky", signal.SIGINT, 130, os.killpg),
    (2, "loky", signal.SIGTERM, 143, os.kill),
    (1, "loky", signal.SIGINT, 130, os.killpg),
    (2, "threading", signal.SIGTERM, 143, os.killpg),
])
def test_a_stopped_run_says_so_and_leaves_nothing_running(
    start, finish, reference, stores_of, tmp_path, jobs, backend, signum, code, kill
):
    """Ctrl-C goes to the whole group of processes, `kill` to one; a second one may follow."""
    process = start("--backend", backend, jobs=jobs)
    wait_for_progress(process, tmp_path / "s")
    kill(process.pid, signum)
    with contextlib.suppress(ProcessLookupError):
        kill(process.pid, signum)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, err) == (code, f"extract: stopped by {signum.name}\n")
    assert out == ""
    wait_for(lambda: group_is_gone(process), "the workers to end")
    assert stores_of(tmp_path / "s") == {}
    ended = finish()
    assert ended.reused > 0
    assert stores_of(tmp_path / "s") == reference


def test_a_killed_worker_costs_nothing_but_time(
    start, reference, stores_of, leftovers_in, tmp_path
):
    """As the kernel does it when memory runs out: its clips are extracted again."""
    process = start()
    wait_for_progress(process, tmp_path / "s")
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "killed" not in err
    assert stores_of(tmp_path / "s") == reference
    assert leftovers_in(tmp_path / "s") == []


def test_a_second_run_is_told_who_is_there(start, run_stage, data, tmp_path):
    process = start()
    wait_for_progress(process, tmp_path / "s")
    process.send_signal(signal.SIGSTOP)  # else it may be done before the second one has started
    try:
        ended = run_stage("extract", "--data", data.prepared, "--out", "s", "--jobs", 1)
    finally:
        process.send_signal(signal.SIGCONT)
    assert ended.code == 1
    assert f"s is in use by process {process.pid} on " in ended.err
    assert ended.err.count("\n") == 1
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
