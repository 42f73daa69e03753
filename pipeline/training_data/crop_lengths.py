"""Lengths of crops, as a recipe and a feature decide them: to train on, to score, to build for."""

from __future__ import annotations

import numpy as np

from pipeline.batching.crops import Ints, crop_frames
from pipeline.batching.tiles import Tiling
from pipeline.runs.recipe import Recipe
from pipeline.store.schema import FeatureSpec

# A clip that is scored as a whole is cut nevertheless where it is longer: an hour at once would
# take gigabytes in a network's first layers.
WHOLE_SECONDS = 60.0

# Lengths of training crops, where they differ: few, so that the network is compiled for few.
N_LENGTHS = 8


def training_frames(recipe: Recipe, spec: FeatureSpec) -> Ints:
    """Lengths that the crops of a batch may have, in frames and ascending; each once."""
    first = crop_frames(spec, recipe.seconds)
    last = first if recipe.seconds_max is None else crop_frames(spec, recipe.seconds_max)
    return np.unique(np.rint(np.linspace(first, last, N_LENGTHS)).astype(np.int64))


def tiling_of(recipe: Recipe, spec: FeatureSpec) -> Tiling:
    """How a recipe covers a clip to score it."""
    least = most = crop_frames(spec, recipe.score_seconds or recipe.seconds)
    if recipe.score_seconds == 0:
        most = max(least, crop_frames(spec, WHOLE_SECONDS))
    return Tiling(least, most, recipe.overlap, recipe.crops == "sound")


def network_shape(recipe: Recipe, spec: FeatureSpec) -> tuple[int | None, ...]:
    """What a recipe's network takes: (frames, width) or (samples,); None for any length."""
    lengths, tiling = training_frames(recipe, spec), tiling_of(recipe, spec)
    is_one_length = {*lengths.tolist(), tiling.least, tiling.most} == {int(lengths[0])}
    length = int(lengths[0]) if is_one_length else None
    return (length, spec.width) if spec.width else (length,)


def lengths_text(recipe: Recipe, spec: FeatureSpec) -> str:
    """How long the crops are that a network takes, and which settings make them differ."""
    if None not in network_shape(recipe, spec):
        return f"{recipe.seconds:g} s"
    flags = {"--seconds-max": recipe.seconds_max, "--score-seconds": recipe.score_seconds}
    asked = ", ".join(f"{flag} {value:g}" for flag, value in flags.items() if value is not None)
    return f"{recipe.seconds:g} s and other lengths ({asked})"
