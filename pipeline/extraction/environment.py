"""Set the environment of the workers, before NumPy is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# One thread each because a BLAS with more may round sums differently. Freed memory stays with glibc
# because blocks of half a megabyte are needed again and again, and getting them from the system
# each time takes a tenth of the run.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


def set_environment() -> None:
    """Set the variables in this process, from which the workers inherit them."""
    os.environ.update(ENVIRONMENT)


@contextmanager
def environment_set() -> Iterator[None]:
    """Set the variables for the workers that are started in the block, then restore them."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    set_environment()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
