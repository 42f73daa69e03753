"""Recipe of a training: the settings that decide its scores."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Settings that decide a training's scores; :mod:`pipeline.train` says what each one means."""

    features: str
    model: str
    network: dict[str, Any]
    start_from: str | None
    labels: str
    noisy: bool
    seconds: float
    pad: str
    normalization: str
    batch_size: int
    augment: dict[str, dict[str, Any]]
    loss: dict[str, Any]
    noisy_loss: dict[str, Any] | None
    noisy_head: bool
    optimizer: dict[str, Any]
    learning_rate: float
    schedule: dict[str, Any]
    averaging: dict[str, Any]
    epochs: int
    patience: int
    monitor: str
    keep: str
    precision: str
    seed: int


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
