"""Files that are written atomically, folders that are locked, data that reaches the disk."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.errors import PipelineError, UsageError

_EVERY_SECONDS = 1.0


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` when the block ends well and removed when it does not.

    The folder is made if need be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, *, flag: str = "--out") -> Iterator[None]:
    """Hold a folder's lock; the system drops it with the process, however that ends.

    Parameters
    ----------
    folder : Path
        Created if need be.
    flag : str
        The flag that chooses the folder, for error messages.

    Raises
    ------
    PipelineError
        If another process holds it; the message says which.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{folder}: not a folder; {flag} needs one to write into") from None
    file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
            raise PipelineError(
                f"{folder} is in use by {holder}. Wait for it, or give another {flag}"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


@contextmanager
def flushed_meanwhile(paths: Iterable[Path]) -> Iterator[None]:
    """Flush files to the disk again and again while the block runs, in a thread.

    A store is flushed before it gets its name. Left to the end, that is a wait for gigabytes which
    the system had kept in memory until then: 3 s after 9 s of work. Begun early, the disk works
    while the processors do, and the last flush finds little to do.

    Raises
    ------
    OSError
        After the block, if that ended well and the disk refused what was written: the system says
        so only once, so it would be lost if it were not said here.
    """
    done = threading.Event()
    refused: list[OSError] = []
    files = [os.open(path, os.O_RDONLY) for path in paths]

    def flush() -> None:
        try:
            while not done.wait(_EVERY_SECONDS):
                for file in files:
                    os.fsync(file)
        except OSError as error:
            refused.append(error)
        finally:
            for file in files:
                os.close(file)

    thread = threading.Thread(target=flush, name="flush", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Whoever is stopped does not wait for the disk.
        done.set()
    thread.join()
    if refused:
        raise refused[0]


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a loss of power."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
