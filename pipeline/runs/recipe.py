"""What a training is asked for: the settings that decide its scores, and one fold's task."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.dataset.tables import Label


@dataclass(frozen=True)
class Recipe:
    """Settings that decide a training's scores; :mod:`pipeline.train` says what each means."""

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


def make_recipe(settings: Any, label_mode: str) -> Recipe:
    """The recipe of train's settings, with what null stands for in its place.

    Parameters
    ----------
    settings : pipeline.train.Settings
    label_mode : {"single", "multi"}
        What prepare said.
    """
    chosen = {
        "model": settings.model or ("conv1d" if settings.features == "waveform" else "conv2d"),
        "labels": settings.labels or label_mode,
    }
    return Recipe(**{f.name: chosen.get(f.name, getattr(settings, f.name))
                     for f in fields(Recipe)})


@dataclass(frozen=True)
class FoldTask:
    """All that a process needs to train a fold.

    Attributes
    ----------
    recipe : Recipe
    identity : dict
        What the fold is recorded under, see :mod:`pipeline.runs.records`.
    fold : int
    folder : Path
        RUNS/NAME/folds/K.
    store : Path
    classes : tuple of str
    training, validation : tuple of Label
    side_by_side : int
        Folds that are trained at a time, and share the memory.
    """

    recipe: Recipe
    identity: dict[str, Any]
    fold: int
    folder: Path
    store: Path
    classes: tuple[str, ...]
    training: tuple[Label, ...]
    validation: tuple[Label, ...]
    side_by_side: int
