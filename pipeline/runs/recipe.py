"""Recipe of a training: the settings that decide its scores."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from pipeline.runtime.errors import UsageError


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
        return round((self.noisy_share or 0) * self.batch_size)

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

    Returns
    -------
    recipe : Recipe

    Raises
    ------
    UsageError
        If settings contradict each other; all contradictions are listed.
    """
    chosen = {
        "model": settings.model or default_model, "labels": settings.labels or label_mode,
    }
    recipe = Recipe(**{f.name: chosen.get(f.name, getattr(settings, f.name))
                       for f in fields(Recipe)})
    if errors := _contradictions(recipe):
        raise UsageError("\n".join(errors))
    return recipe


def _contradictions(recipe: Recipe) -> list[str]:
    errors = []
    if recipe.seconds_max is not None and recipe.seconds_max < recipe.seconds:
        errors.append(f"--seconds-max is {recipe.seconds_max:g}; it needs at least --seconds "
                      f"{recipe.seconds:g}")
    if not (recipe.curated or recipe.noisy):
        errors.append("--no-curated and --no-noisy leave no clips to train on")
    if recipe.noisy_share is not None:
        if not (recipe.curated and recipe.noisy):
            errors.append(f"--noisy-share is {recipe.noisy_share:g}; it needs both --curated and "
                          "--noisy")
        if not 0 < recipe.noisy_per_batch < recipe.batch_size:
            errors.append(
                f"--noisy-share {recipe.noisy_share:g} of --batch-size {recipe.batch_size} is "
                f"{recipe.noisy_per_batch} clips; it needs 1 to {recipe.batch_size - 1}"
            )
    if recipe.validate_every > 1 and (
        recipe.keep == "best" or recipe.schedule["kind"] == "plateau"
    ):
        errors.append(f"--validate-every is {recipe.validate_every}; --keep best and a plateau "
                      "need a validation after every epoch")
    if recipe.averaging["kind"] == "snapshots":
        errors += _snapshot_contradictions(recipe)
    if not recipe.noisy:
        errors += [f"--{name.replace('_', '-')} is for noisy clips; it needs --noisy"
                   for name in ("noisy_loss", "noisy_head") if getattr(recipe, name)]
    if recipe.noisy_head and not recipe.curated:
        errors.append("--noisy-head and --no-curated contradict each other: nothing would train "
                      "the output layer that is kept")
    if recipe.teacher is not None and not recipe.noisy:
        errors.append(f"--teacher is {recipe.teacher}, whose labels are of noisy clips; it needs "
                      "--noisy")
    return errors


def _snapshot_contradictions(recipe: Recipe) -> list[str]:
    schedule, last = recipe.schedule, recipe.averaging["last"]
    errors = []
    if recipe.keep != "last":
        errors.append(f"--averaging.kind snapshots is of the last cycles; it needs --keep last, "
                      f"not {recipe.keep}")
    if schedule["kind"] != "cosine":
        errors.append(f"--averaging.kind snapshots needs --schedule.kind cosine, "
                      f"not {schedule['kind']}")
    elif schedule["cycles"] < last:
        errors.append(f"--averaging.last is {last}; it needs as many --schedule.cycles, not "
                      f"{schedule['cycles']}")
    return errors
