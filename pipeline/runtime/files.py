"""Write files atomically, lock folders, flush data to the disk, name the file in an error."""

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


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` if the block succeeds, remove it otherwise.

    Creates the folder if necessary. A reader or a killed process sees the old file or the new one,
    never a part of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with naming(path):
            yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, *, flag: str = "--out") -> Iterator[None]:
    """Hold a folder's lock; the system releases it when the process ends, however it ends.

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
        with naming(folder / ".lock"):
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


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


def flush_folder(folder: Path) -> None:
    """Flush a folder, so that renames in it survive a power failure."""
    file = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(file)
    finally:
        os.close(file)
