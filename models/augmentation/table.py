"""The augmentations by name, and layers from settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models.augmentation.base import Augmentation
from models.augmentation.geometry import TimeShift
from models.augmentation.levels import Equalizer, Gain
from models.augmentation.masking import Masks
from models.augmentation.mixing import (
    Concatenation,
    Extrapolation,
    Mixup,
    SamplePairing,
    SpecMix,
)
from models.settings import hint, resolve

# In the order of their application: level, place and extent, mixtures, and masks over all of it.
AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "gain": Gain,
    "equalizer": Equalizer,
    "time_shift": TimeShift,
    "extrapolation": Extrapolation,
    "concatenation": Concatenation,
    "sample_pairing": SamplePairing,
    "mixup": Mixup,
    "specmix": SpecMix,
    "masks": Masks,
}


def augmentation_layers(
    settings: Mapping[str, Mapping[str, Any]], *, unit: str, fill: ArrayLike, seed: int,
    bands: bool = True,
) -> list[Augmentation]:
    """Make the layers of some augmentations, in the order of :data:`AUGMENTATIONS`.

    Parameters
    ----------
    settings : mapping of str to mapping
        The settings of each augmentation by its name; ``{}`` has the defaults.
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
    errors = [f"augment.{name} is unknown; {hint(name, AUGMENTATIONS)}"
              for name in settings if name not in AUGMENTATIONS]
    for name, kind in AUGMENTATIONS.items():
        if name in settings:
            what = f"augment.{name}"
            values, wrong = resolve(what, settings[name], kind.declared())
            errors += wrong or kind.contradictions(what, values, unit=unit, bands=bands)
    if errors:
        raise ValueError("\n".join(errors))
    return [
        kind(name=name, unit=unit, fill=fill, seed=_seed(seed, name), **settings[name])
        for name, kind in AUGMENTATIONS.items() if name in settings
    ]


def _seed(seed: int, name: str) -> int:
    # 31 bits: the generator keeps it as a signed integer.
    return int(np.random.SeedSequence([seed, *name.encode()]).generate_state(1)[0] >> 1)
