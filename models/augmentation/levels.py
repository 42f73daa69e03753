"""Augmentations of the level: of a whole crop, and over its bands."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from models.augmentation.base import Transform
from models.augmentation.compatibility import FULL_SCALE


@keras.saving.register_keras_serializable(package="audio_tagging")
class Gain(Transform):
    """Make each crop louder or softer by a random number of decibels.

    It is added to features in dB, and waves are multiplied by 10**(gain / 20).

    Setting: `db` (0 or more), the largest gain in either direction; uniform from -db to db.
    """

    NAME = "gain"

    def transform(self, x: Any) -> Any:
        """Change the level of every crop."""
        limit = float(self.settings["db"])
        gain = self.uniform((ops.shape(x)[0], 1, 1), -limit, limit)
        return x * ops.exp(math.log(10) / 20 * gain) if self.unit == FULL_SCALE else x + gain


@keras.saving.register_keras_serializable(package="audio_tagging")
class Equalizer(Transform):
    """Add a random smooth curve over the bands, like another microphone or room.

    The curve (in dB) is a straight line from -t to t over the bands, t uniform from -tilt_db to
    tilt_db, plus one through random values at evenly spaced bands, which half periods of a cosine
    join.

    Settings: `tilt_db` and `curve_db` (0 or more), the largest tilt and the largest value of the
    curve; `knots` (2 or more), the number of its random values.
    """

    NAME = "equalizer"

    def transform(self, x: Any) -> Any:
        """Change the level of every band."""
        n_crops, width = ops.shape(x)[0], x.shape[2]
        tilt, curve = float(self.settings["tilt_db"]), float(self.settings["curve_db"])
        line = self.uniform((n_crops, 1), -tilt, tilt) * np.linspace(-1, 1, width, dtype=np.float32)
        values = self.uniform((n_crops, self.settings["knots"], 1), -curve, curve)
        curves = ops.sum(values * cosine_interpolation(self.settings["knots"], width), axis=1)
        return x + ops.expand_dims(line + curves, 1)


def cosine_interpolation(n_knots: int, width: int) -> NDArray[np.float32]:
    """Weights of evenly spaced knots in every band [shape=(n_knots, width)].

    Each column sums to 1; the first knot is the first band, the last one the last.

    Examples
    --------
    >>> cosine_interpolation(2, 3).round(2)
    array([[1. , 0.5, 0. ],
           [0. , 0.5, 1. ]], dtype=float32)
    """
    position = np.linspace(0, n_knots - 1, width)
    distance = np.abs(position - np.arange(n_knots)[:, None])
    weights = np.where(distance < 1, (1 + np.cos(np.pi * distance)) / 2, 0)
    return weights.astype(np.float32)
