"""Choices of flags whose own modules are too slow to import for ``--help``."""

from __future__ import annotations

from typing import Literal

Backend = Literal["loky", "threading", "dask", "ray"]
LabelMode = Literal["multi", "single"]
Pad = Literal["silence", "repeat"]
Normalization = Literal["standardize", "min-max"]
CropPlace = Literal["clip", "sound"]
Monitor = Literal["loss", "lwlrap"]
Keep = Literal["best", "last"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
TimeLineMode = Literal["auto", "always", "never"]
EnsembleMethod = Literal["geometric", "arithmetic", "rank", "blend", "stack", "boost"]

PseudoLabelMethod = Literal["agreement", "pseudo", "mix"]

# What is wrong with 0 workers. Bounds of the setting cannot say it, because -1 has a meaning.
NO_JOBS = "--jobs is 0; it needs 1 or more, or -1 for one per CPU core"
