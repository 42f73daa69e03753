"""Choices of flags whose own modules are too slow to import for ``--help``."""

from __future__ import annotations

from typing import Literal

Backend = Literal["loky", "threading", "dask", "ray"]
LabelMode = Literal["multi", "single"]
Pad = Literal["silence", "repeat"]
Normalization = Literal["standardize", "min-max"]
Monitor = Literal["loss", "lwlrap"]
TimeLineMode = Literal["auto", "always", "never"]
EnsembleMethod = Literal["geometric", "arithmetic", "rank", "stack"]
