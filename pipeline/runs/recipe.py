"""Recipe of a training: the settings that decide its scores."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Settings that decide a training's scores; :mod:`pipeline.train` says what each one means."""

    features: str
    model: str
    labels: str
    noisy: bool
    seconds: float
    pad: str
    normalization: str
    batch_size: int
    epochs: int
    learning_rate: float
    patience: int
    monitor: str
    seed: int
    mixed_precision: bool


def make_recipe(settings: Any, *, label_mode: str, default_model: str) -> Recipe:
    """Make the recipe of train's settings, with defaults in place of null.

    Parameters
    ----------
    settings : object
        Of the run, with the attributes of :class:`Recipe`.
    label_mode : {"single", "multi"}
        As prepared.
    default_model : str
        The model where none is chosen.
    """
    chosen = {
        "model": settings.model or default_model, "labels": settings.labels or label_mode,
    }
    return Recipe(**{f.name: chosen.get(f.name, getattr(settings, f.name))
                     for f in fields(Recipe)})
