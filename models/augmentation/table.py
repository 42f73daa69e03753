"""The augmentations by name, and layers from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models import augmentation_options
from models.augmentation.base import Augmentation
from models.augmentation.compatibility import feature_problems
from models.augmentation.geometry import (
    BandShift,
    MelWarp,
    ResizedCrop,
    Stretch,
    TimeShift,
)
from models.augmentation.levels import Equalizer, Gain
from models.augmentation.masking import Erasing, Masks
from models.augmentation.mixing import (
    Concatenation,
    Extrapolation,
    Mixup,
    SamplePairing,
    SpecMix,
)

# In the order of models.augmentation_options.AUGMENTATIONS.
AUGMENTATIONS: dict[str, type[Augmentation]] = {
    kind.NAME: kind for kind in (
        Gain, Equalizer, TimeShift, Stretch, ResizedCrop, MelWarp, BandShift, Extrapolation,
        Concatenation, SamplePairing, Mixup, SpecMix, Masks, Erasing,
    )
}


def augmentation_layers(
    settings: Mapping[str, Mapping[str, Any]], *, unit: str, fill: ArrayLike, seed: int,
    bands: bool = True,
) -> list[Augmentation]:
    """Make the layers of some augmentations, in the order of :data:`AUGMENTATIONS`.

    Parameters
    ----------
    settings : mapping of str to mapping
        The settings of each augmentation by its name, see
        :data:`models.augmentation_options.AUGMENTATIONS`; ``{}`` has the defaults.
    unit : str
        Of the features, as :attr:`features.base.Feature.units` has it.
    fill : array-like [shape=(width,)] or a number
        What replaces removed or missing frames and bands, in `unit`.
    seed : int
        Each augmentation draws its own numbers, whichever others there are.
    bands : bool
        Whether the values of a frame are frequency bands in ascending order. Coefficients (MFCC)
        and several images in one frame (deltas) are not, and what shifts, warps or weighs bands
        does not fit them.

    Returns
    -------
    list of Augmentation
        To be called one after the other.

    Raises
    ------
    ValueError
        With everything that is wrong with all settings.

    Examples
    --------
    >>> layers = augmentation_layers({"masks": {"n_time": 1}, "gain": {}}, unit="dB", fill=-60.0,
    ...                              seed=0)
    >>> [layer.name for layer in layers]
    ['gain', 'masks']
    """
    values, problems = augmentation_options.AUGMENTATIONS.check(settings)
    errors = [problem.line("augment") for problem in problems]
    wrong = {problem.path[:1] for problem in problems}
    for name, own in values.items():
        if (name,) not in wrong:
            errors += [problem.line(f"augment.{name}")
                       for problem in feature_problems(name, own, unit=unit, bands=bands)]
    if errors:
        raise ValueError("\n".join(errors))
    return [
        AUGMENTATIONS[name](name=name, unit=unit, fill=fill, seed=_seed(seed, name), **own)
        for name, own in values.items()
    ]


def _seed(seed: int, name: str) -> int:
    # 31 bits: the generator keeps it as a signed integer.
    return int(np.random.SeedSequence([seed, *name.encode()]).generate_state(1)[0] >> 1)
