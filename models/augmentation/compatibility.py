"""Which features an augmentation can change, without Keras.

Features differ in their unit, and in what the values of a frame are: frequency bands in ascending
order, coefficients (MFCC), several images one after the other (deltas), or, of waves, one sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.options import Problem

DECIBELS = "dB"
FULL_SCALE = "full scale"

_ORDERED = "frequency bands, not coefficients or deltas"


@dataclass(frozen=True)
class Needs:
    """What an augmentation needs features to be.

    Attributes
    ----------
    units : tuple of str
        Units that it can work on; empty: any.
    frames : bool
        Whether a frame has to have several values, unlike that of a wave.
    bands : bool
        Whether the values of a frame have to be frequency bands in ascending order. Without
        `frames`, waves are fine too.
    """

    units: tuple[str, ...] = ()
    frames: bool = False
    bands: bool = False


_FRAMES, _BANDS = Needs(frames=True), Needs(frames=True, bands=True)

# Of coefficients in dB, only the first one is a level. Methods that are not here take any feature.
NEEDS = {
    "gain": Needs((DECIBELS, FULL_SCALE), bands=True),
    "equalizer": Needs((DECIBELS,), frames=True, bands=True),
    "resized_crop": _BANDS,
    "mel_warp": _BANDS,
    "band_shift": _BANDS,
    "specmix": _FRAMES,
    "masks": _FRAMES,
    "erasing": _FRAMES,
}


def feature_problems(
    name: str, values: Mapping[str, Any], *, unit: str, bands: bool
) -> list[Problem]:
    """List why an augmentation cannot change some features.

    Parameters
    ----------
    name : str
        A key of :data:`models.augmentation_options.AUGMENTATIONS`.
    values : mapping
        Its settings, each of them valid by itself.
    unit : str
        Of the features, as :attr:`features.base.Feature.units` has it.
    bands : bool
        Whether the values of a frame are frequency bands in ascending order.

    Returns
    -------
    list of models.options.Problem
        With paths within the settings.

    Examples
    --------
    >>> feature_problems("mixup", {"domain": "power"}, unit="PCEN", bands=True)[0].line("mixup")
    'mixup.domain is power: needs features in dB, not in PCEN'
    """
    needs = NEEDS.get(name, Needs())
    if needs.units and unit not in needs.units:
        problems = [Problem((), f"needs features in {' or '.join(needs.units)}, not in {unit}")]
    elif needs.frames and unit == FULL_SCALE:
        problems = [Problem((), "needs frames of several values, not waves")]
    elif needs.bands and unit != FULL_SCALE and not bands:
        problems = [Problem((), f"needs {_ORDERED}")]
    else:
        problems = []
    if values.get("domain") == "power":
        if unit != DECIBELS:
            problems.append(
                Problem(("domain",), f"is power: needs features in {DECIBELS}, not in {unit}"))
        elif not bands:
            problems.append(Problem(("domain",), f"is power: needs {_ORDERED}"))
    elif values.get("levels") and unit != FULL_SCALE:
        problems.append(Problem(("levels",), "is true: needs domain: power, or waves"))
    return problems
