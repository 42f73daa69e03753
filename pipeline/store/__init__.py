"""The HDF5 file of one feature: layout, writer, reader. The only importer of h5py.

May import: runtime, features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.store.from_arrays import write_store
    from pipeline.store.reader import Store, open_store

__all__ = ["Store", "open_store", "write_store"]


def __getattr__(name: str) -> object:
    # On first use: workers import this package for its layout alone, and h5py takes 0.1 s.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.store import from_arrays, reader

    return getattr(from_arrays if name == "write_store" else reader, name)
