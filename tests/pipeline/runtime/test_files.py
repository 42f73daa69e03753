"""Files flushed while they are filled, written atomically, named in errors."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from pipeline.runtime import files as flushing
from pipeline.runtime.errors import PipelineError, UsageError
from pipeline.runtime.files import atomic_write, flushed_meanwhile, locked, naming, read_limited


@pytest.fixture
def flushes(monkeypatch):
    """The inodes that were flushed; an event for when there are some."""
    seen, some, fsync = [], threading.Event(), os.fsync

    def recorded(file):
        fsync(file)
        seen.append(os.fstat(file).st_ino)
        if len(seen) >= 4:
            some.set()

    monkeypatch.setattr(flushing, "_EVERY_SECONDS", 0.001)
    monkeypatch.setattr(flushing.os, "fsync", recorded)
    return seen, some


def flushers():
    return [thread for thread in threading.enumerate() if thread.name == "flush"]


def test_each_file_is_flushed_again_and_again_until_the_block_ends(tmp_path, flushes):
    seen, some = flushes
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(b"1")
    with flushed_meanwhile(paths):
        assert some.wait(60)
    assert not flushers()
    inodes = [path.stat().st_ino for path in paths]
    assert seen[:4] == inodes * 2


def test_a_disk_that_refuses_is_said_after_the_block(tmp_path, monkeypatch, flushes):
    refused = threading.Event()

    def refuse(file):
        refused.set()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(flushing.os, "fsync", refuse)
    (tmp_path / "a").touch()

    def fill():
        with flushed_meanwhile([tmp_path / "a"]):
            assert refused.wait(60)

    with pytest.raises(OSError, match="Input/output error") as error:
        fill()
    assert error.value.filename == str(tmp_path / "a")


def test_whoever_is_stopped_does_not_wait_for_the_disk(tmp_path, monkeypatch, flushes):
    begun, free = threading.Event(), threading.Event()

    def slow(file):
        begun.set()
        free.wait(60)

    monkeypatch.setattr(flushing.os, "fsync", slow)
    (tmp_path / "a").touch()

    def stopped():
        with flushed_meanwhile([tmp_path / "a"]):
            assert begun.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert flushers()  # still at it
    free.set()
    for thread in flushers():
        thread.join(60)


# ---- names of files in errors


def test_a_full_disk_names_the_file():
    def fill():
        with open("/dev/full", "wb", buffering=0) as file, naming("/dev/full"):
            file.write(b"1")

    with pytest.raises(OSError, match="No space left") as error:
        fill()
    assert error.value.filename == "/dev/full"
    sent = pickle.loads(pickle.dumps(error.value))  # as a worker's error comes to the parent
    assert (sent.filename, sent.errno) == ("/dev/full", errno.ENOSPC)


def test_a_file_that_is_named_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error, naming("other"):
        os.stat(tmp_path / "missing")
    assert error.value.filename == str(tmp_path / "missing")


def test_an_atomic_write_that_fails_names_its_file_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "a" / "b.txt"
    with atomic_write(path) as partial:
        partial.write_text("old")

    def fill():
        with atomic_write(path) as partial:
            partial.write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"b\.txt") as error:
        fill()
    assert error.value.filename == str(path)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


# ---- atomic writes against power failures and other processes


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """After a power failure there is the old file or the new one, never an empty one."""
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append(os.fstat(file).st_ino), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("renamed"), replace(*paths)))
    with atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    inodes = [path.stat().st_ino for path in (tmp_path / "a.txt", tmp_path)]
    assert done == [inodes[0], "renamed", inodes[1]]


WRITER = """
import json, sys
from pathlib import Path
from pipeline.runtime.files import atomic_write
print("ready", flush=True)
sys.stdin.readline()
for i in range(40):
    with atomic_write(Path(sys.argv[1])) as partial:
        partial.write_text(json.dumps({"by": sys.argv[2], "padding": "x" * 20_000}))
"""


def test_processes_that_write_one_file_do_not_mix_their_bytes(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("{}")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, name], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True) for name in "ab"]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    n_read = 0
    while any(writer.poll() is None for writer in writers):
        json.loads(path.read_text())
        n_read += 1
    for writer in writers:
        writer.communicate()
    assert n_read
    assert [writer.returncode for writer in writers] == [0, 0]
    assert json.loads(path.read_text())["by"] in "ab"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_what_a_killed_write_left_is_cleared_by_the_next_one(tmp_path):
    (tmp_path / "a.txt.partial").write_text("longer than what comes now")
    with atomic_write(tmp_path / "a.txt") as partial:
        assert partial.read_bytes() == b""
        partial.write_text("new")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "new"}


# ---- locks


def test_a_lock_whose_file_was_deleted_holds_nobody_back(tmp_path):
    """Its holder deletes it; whoever had opened it before must not believe to hold it."""
    order = []

    def second():
        with locked(tmp_path, wait=True):
            order.append("second")

    waiting = threading.Thread(target=second)
    with locked(tmp_path):
        waiting.start()
        while not _is_waited_for(tmp_path / ".lock"):
            time.sleep(0.001)
        order.append("first")
    waiting.join(60)
    with locked(tmp_path), \
            pytest.raises(PipelineError, match=f"in use by process {os.getpid()} on"), \
            locked(tmp_path):
        pass
    assert order == ["first", "second"]
    assert not list(tmp_path.iterdir())


def _is_waited_for(lock):
    """Whether somebody beside the holder has the lock's file open."""
    fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(fd) == str(lock) for fd in fds) > 1


def test_the_lock_of_a_file_lies_beside_it(tmp_path):
    with locked(tmp_path / "exports" / "a.onnx", beside=True):
        with locked(tmp_path / "exports" / "b.onnx", beside=True):
            pass
        with pytest.raises(PipelineError, match=r"a\.onnx is in use by"), \
                locked(tmp_path / "exports" / "a.onnx", beside=True):
            pass
    assert not list((tmp_path / "exports").iterdir())


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code):
    def refuse(file, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UsageError, match=r"has no locks \(.*--out on another file system"), \
            locked(tmp_path / "s"):
        pass
    # A single file is replaced at once with or without.
    with atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


# ---- files that are larger than any table


def test_a_file_that_would_fill_the_memory_is_refused_by_its_size(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"fname,labels\n")
    assert read_limited(tmp_path / "a.csv") == b"fname,labels\n"
    os.truncate(tmp_path / "a.csv", 10**12)  # sparse
    with pytest.raises(UsageError, match=r"a\.csv: has 1,000\.0 GB; at most 1 GB are read"):
        read_limited(tmp_path / "a.csv")
