"""Files flushed while they are filled, written atomically, named in errors."""

from __future__ import annotations

import errno
import os
import pickle
import threading

import pytest

from pipeline.runtime import files as flushing
from pipeline.runtime.files import atomic_write, flushed_meanwhile, naming


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
