"""Extract missing clips into the stores and reuse the others: plan, run, seal.

May import: runtime, audio, store, dataset, features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.extraction.from_folder import extract_folder

__all__ = ["extract_folder"]


def __getattr__(name: str) -> object:
    # On first use: the stage and its workers import this package for much less.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.extraction.from_folder import extract_folder

    return extract_folder
