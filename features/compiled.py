"""Loops compiled for the processor at hand, by Numba, which librosa brings along.

What the compiler makes is kept beside the sources (or in the user's cache where that folder cannot
be written), so only the first run after an installation waits for it. Numba notices an edit in the
file that a function stands in, not in those it calls: after one there, delete ``__pycache__``, as
``make clean`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, *, fastmath: bool | set[str] = False) -> F:
    """Compile a function on its first call; threads run it without the interpreter's lock.

    Parameters
    ----------
    function : callable
        Over arrays and numbers alone.
    fastmath : bool or set of str
        The liberties that LLVM may take with floating point, by its names for them.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither folder can be written: compile in every process.
        return numba.njit(**options)(function)
