"""Compile loops with Numba, which librosa depends on, and cache the machine code.

The cache is Numba's own (``cache=True``), in the user's cache folder or in ``NUMBA_CACHE_DIR`` if
that is set, under a digest of this package's sources and the number of lanes: Numba itself would
notice a change of the file that a function is in, but not of the functions that it calls. A cache
that is damaged, full or not writable costs compile time, never an error.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.errors import NumbaError

from features.kernels.simd import LANES


def subroutine(function: Callable[..., Any], *, inline: bool = True) -> Any:
    """Compile a function that only compiled code calls.

    Parameters
    ----------
    function : callable
        Takes arrays, numbers and tuples of them only.
    inline : bool
        Whether it becomes part of its callers, whatever its size. Without that, the compiler
        passes the points of large butterflies in memory, which halves the speed.
    """
    with _settings(None):
        return numba.njit(error_model="numpy", forceinline=inline)(function)


class compiled:
    """Compile a function on its first call; threads run it without the interpreter's lock.

    Parameters
    ----------
    function : callable
        Takes arrays, numbers and tuples of them only.
    fastmath : bool or set of str
        Which of LLVM's fast-math flags to set.

    Attributes
    ----------
    dispatcher : numba.core.dispatcher.Dispatcher
        The compiled function itself.
    """

    def __init__(
        self, function: Callable[..., Any], *, fastmath: bool | set[str] = False
    ) -> None:
        self.__doc__ = function.__doc__
        self._function, self._fastmath = function, fastmath
        self.dispatcher = self._jit(_cache_folder())

    def __call__(self, *args: Any) -> Any:
        """Call the compiled function."""
        if self.dispatcher.signatures:
            return self.dispatcher(*args)
        with _turn():
            return self._first_call(args)

    def _first_call(self, args: tuple[Any, ...]) -> Any:
        """Call the function as a process does first: out of the cache, or compiled into it."""
        try:
            return self.dispatcher(*args)
        except NumbaError:
            raise
        except Exception:
            # Compiled loops raise nothing, so this is the cache: unpickling a damaged file may
            # raise anything. Whatever else it is will be raised again below.
            if not self.dispatcher.signatures:  # loading failed, not saving: start again
                self._delete_cached()
                self.dispatcher = self._jit(_cache_folder())
        with contextlib.suppress(OSError):  # nor can the new cache be written
            return self.dispatcher(*args)
        return self.dispatcher(*args)

    def _delete_cached(self) -> None:
        """Delete what is cached of this function; other functions and processes keep theirs."""
        code = self._function.__code__
        for path in _cache_path().rglob(f"*{code.co_name}-{code.co_firstlineno}.*"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _jit(self, folder: Path | None) -> Any:
        with _settings(folder):
            return numba.njit(
                nogil=True, error_model="numpy", fastmath=self._fastmath, cache=folder is not None
            )(self._function)


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Hold a lock, so that workers that start together compile once and not each for itself."""
    try:
        file = os.open(_cache_path() / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:  # there is no cache to wait for
        yield
        return
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def _settings(folder: Path | None) -> Iterator[None]:
    """Set Numba's global settings for the time of a decoration, when it reads them."""
    config: Any = numba.config
    ours: dict[str, Any] = {
        "CACHE_DIR": str(folder or ""),
        # In no other folder, where the digest of the sources would be missing.
        "CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator" if folder else "",
        # NUMBA_DISABLE_JIT is for debugging, but vectors exist in compiled code only.
        "DISABLE_JIT": 0,
    }
    before = {name: getattr(config, name, None) for name in ours}
    try:
        for name, value in ours.items():
            setattr(config, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


def _cache_folder() -> Path | None:
    """Create the cache folder; None if it cannot be written, so that each process compiles."""
    path = _cache_path()
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return None
    return path


@cache
def _cache_path() -> Path:
    config: Any = numba.config
    root = Path(config.CACHE_DIR) if config.CACHE_DIR else _user_cache()
    return root.absolute() / "audio-tagging-pipeline" / f"kernels-{_digest()}"


def _user_cache() -> Path:
    """Find the platform's folder for a user's caches."""
    if sys.platform == "win32":
        default = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        default = Path.home() / "Library" / "Caches"
    else:
        default = Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or default)


def _digest() -> str:
    """Compute a digest of the number of lanes and of all sources of compiled loops."""
    digest = hashlib.sha256(str(LANES).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
