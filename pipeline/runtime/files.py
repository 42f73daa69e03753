"""Write files atomically, lock folders, flush data to the disk, name the file in an error."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.runtime.errors import PipelineError, UsageError

_EVERY_SECONDS = 1.0
_MOST_BYTES = 10**9
# What locking gives on a file system that does not offer it.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Add `path` to an OSError of the block that names no file.

    The system names the file when a path is opened, not when a descriptor is written or flushed:
    "No space left on device" alone does not say which device.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def read_limited(path: Path) -> bytes:
    """Read a whole file of at most 1 GB, which no table or record of a data set comes near.

    Raises
    ------
    UsageError
        If it is larger: not the file that was meant, or one that is to fill the memory.
    """
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise UsageError(f"{path}: has {size / 1e9:,.1f} GB; at most {_MOST_BYTES / 1e9:.0f} GB "
                         "are read. Is it the right file?")
    with naming(path):
        return path.read_bytes()


@contextmanager
def atomic_write(path: Path, *, suffix: str = ".partial") -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` if the block succeeds, remove it otherwise.

    Creates the folder if necessary. A reader, a killed process or a machine without power sees the
    old file or the new one, never a part of it: the file is flushed to the disk before it is
    renamed. Of two processes that write `path`, one waits for the other.

    Parameters
    ----------
    path : Path
    suffix : str
        Of the temporary path, which exists already and is empty; appended to the whole name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + suffix)
    # The name is fixed, so that the next write clears what a killed one left.
    lock = _lock(partial, wait=True, needed=False)
    try:
        os.truncate(partial, 0)
        with naming(path):
            yield partial
            flush_file(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)
    flush_folder(path.parent)


@contextmanager
def locked(
    path: Path, *, flag: str = "--out", beside: bool = False, wait: bool = False
) -> Iterator[None]:
    """Hold the lock of a folder, or of a path that is to be replaced.

    The system releases it when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        A folder, created if need be.
    flag : str
        The flag that chooses it, for error messages.
    beside : bool
        Whether the lock lies beside `path`, which may be anything and need not exist.
    wait : bool
        Wait for another process instead of raising an error.

    Raises
    ------
    PipelineError
        If another process holds it; the message says which.
    UsageError
        If `path` is no folder, or its file system has no locks.
    """
    folder = path.parent if beside else path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{folder}: not a folder; {flag} needs one to write into") from None
    lock = path.with_name(f".{path.name}.lock") if beside else path / ".lock"
    try:
        file = _lock(lock, wait=wait, needed=True)
    except BlockingIOError:
        raise PipelineError(
            f"{path} is in use by {_holder(lock)}. Wait for it, or give another {flag}"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UsageError(
            f"{folder}: its file system has no locks ({error.strerror}), and without one two "
            f"processes could write the same files. Give a {flag} on another file system, or "
            "mount this one with locks"
        ) from None
    try:
        with naming(lock):
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        # Its text would make two folders of equal files different.
        lock.unlink(missing_ok=True)
        os.close(file)


def _lock(path: Path, *, wait: bool, needed: bool) -> int:
    """Open a file and lock it; closing the descriptor releases the lock.

    Its holder may rename or delete the file. Whoever waited for it then holds the lock of a file
    that is not there any more, and tries again.

    Raises
    ------
    BlockingIOError
        If another process holds the lock, unless `wait`.
    OSError
        If the file system has no locks, and one is `needed`.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with naming(path):
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_file_of(path, file):
                return file
        except OSError as error:
            if error.errno in _NO_LOCKS and not needed:
                return file
            os.close(file)
            raise
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _is_file_of(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(lock: Path) -> str:
    try:
        return lock.read_text(errors="replace")[:200].strip() or "another process"
    except FileNotFoundError:
        return "another process"


@contextmanager
def flushed_meanwhile(paths: Iterable[Path]) -> Iterator[None]:
    """Flush files to the disk every second while the block runs, in a thread.

    A store is flushed before it is renamed. Left to the end, that means waiting for gigabytes that
    the system kept in memory until then: 3 s after 9 s of work. Flushed from the start, the disk
    works while the processors do, and the last flush has little left to write.

    Raises
    ------
    OSError
        After the block, if it succeeded and the disk refused what was written: the system reports
        that only once, so it would be lost if it were not raised here.
    """
    done = threading.Event()
    refused: list[OSError] = []
    files = {path: os.open(path, os.O_RDONLY) for path in paths}

    def flush() -> None:
        try:
            while not done.wait(_EVERY_SECONDS):
                for path, file in files.items():
                    with naming(path):
                        os.fsync(file)
        except OSError as error:
            refused.append(error)
        finally:
            for file in files.values():
                os.close(file)

    thread = threading.Thread(target=flush, name="flush", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # A stopped run does not wait for the disk.
        done.set()
    thread.join()
    if refused:
        raise refused[0]


def flush_file(path: Path) -> None:
    """Flush a file, so that a power failure after a rename does not leave an empty one."""
    file = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(file)
    finally:
        os.close(file)


def flush_folder(folder: Path) -> None:
    """Flush a folder, so that renames in it survive a power failure."""
    try:
        flush_file(folder)
    except OSError as error:
        # Some network file systems cannot flush folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
