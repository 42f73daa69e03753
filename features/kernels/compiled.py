"""Loops compiled for the processor at hand, by Numba, which librosa brings along.

What the compiler makes is kept beside the sources, or in the user's cache folder where they cannot
be written (``NUMBA_CACHE_DIR`` names another), so only the first run after an installation waits
for it. Numba by itself would notice an edit in the file that a function stands in and not in those
it calls, and would end with an error over a cache that is damaged or has no room. Here a compiled
loop is used only with the very sources of this package that it was made from, and a cache that
cannot be used costs the time to compile, no more.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config
from numba.core.caching import FunctionCache

from features.kernels.simd import LANES

F = TypeVar("F", bound=Callable[..., Any])

# What unpickling makes of a file that was cut short or overwritten.
_DAMAGE = (
    AttributeError, EOFError, ImportError, IndexError, KeyError, MemoryError, OSError, TypeError,
    ValueError, pickle.UnpicklingError,
)


def compiled(function: F, *, fastmath: bool | set[str] = False) -> F:
    """Compile a function on its first call; threads run it without the interpreter's lock.

    Parameters
    ----------
    function : callable
        Over arrays and numbers alone.
    fastmath : bool or set of str
        The liberties that LLVM may take with floating point, by its names for them.
    """
    jit: Any = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)
    # NUMBA_DISABLE_JIT is for debugging, and vectors of the processor exist in compiled code alone.
    disabled, config.DISABLE_JIT = config.DISABLE_JIT, 0  # type: ignore[attr-defined]
    try:
        dispatcher = jit(function)
    finally:
        config.DISABLE_JIT = disabled  # type: ignore[attr-defined]
    # A RuntimeError says that no folder can be written: each process compiles for itself then.
    with suppress(RuntimeError):
        dispatcher._cache = _Cache(function)
    return dispatcher


class _Cache(FunctionCache):
    """Numba's cache of a function, for these sources and lanes alone, and never in the way."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _sources(), LANES)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except _DAMAGE:
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(*_DAMAGE):
            super().save_overload(sig, data)


@cache
def _sources() -> str:
    """A digest of all modules that compiled loops are made of."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
