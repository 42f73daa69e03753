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
    crops: str
    seconds_max: float | None
    overlap: float
    score_seconds: float | None
    curated: bool
    noisy_share: float | None
    balance: bool
    teacher: str | None
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
    validate_every: int
    precision: str
    seed: int

    @property
    def noisy_per_batch(self) -> int:
        """Noisy clips per batch, where their share is set; else 0."""
        return noisy_per_batch(self)

    def adds_to_average(self, epoch: int) -> bool:
        """Whether the weights at the end of an epoch, from 1, are among those that are averaged.

        Of ``swa`` those of all epochs after `start`, of ``snapshots`` those at the ends of the
        last cycles. ``ema`` has no such epochs: it averages after every step.
        """
        averaging = self.averaging
        if averaging["kind"] == "swa":
            return epoch > averaging["start"] * self.epochs
        if averaging["kind"] == "snapshots":
            length = self.epochs // self.schedule["cycles"]
            return epoch % length == 0 and epoch > self.epochs - averaging["last"] * length
        return False


def noisy_per_batch(settings: Any) -> int:
    """Noisy clips per batch of a run with such settings, where their share is set; else 0."""
    return round((settings.noisy_share or 0) * settings.batch_size)


def make_recipe(settings: Any, *, label_mode: str, default_model: str) -> Recipe:
    """Make the recipe of train's settings, with defaults in place of null.

    Parameters
    ----------
    settings : object
        Of the run, with the attributes of :class:`Recipe`; they have no
        :mod:`~pipeline.runs.contradictions`.
    label_mode : {"single", "multi"}
        As prepared.
    default_model : str
        The model where none is chosen.

    Returns
    -------
    recipe : Recipe
    """
    chosen = {
        "model": settings.model or default_model, "labels": settings.labels or label_mode,
    }
    return Recipe(**{f.name: chosen.get(f.name, getattr(settings, f.name))
                     for f in fields(Recipe)})
