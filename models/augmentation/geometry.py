"""Augmentations that move, stretch or cut what a crop holds, along time and bands."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from models.augmentation.base import Transform
from models.settings import Declared, Number


@keras.saving.register_keras_serializable(package="audio_tagging")
class TimeShift(Transform):
    """Roll each crop along time; what leaves at one end comes in at the other.

    Setting: `share` (0 to 1), the largest shift in either direction as a share of the crop.
    """

    SETTINGS: ClassVar[Declared] = {"share": Number(0.5, above=0, high=1)}

    def transform(self, x: Any) -> Any:
        """Roll every crop by a whole number of frames."""
        n_crops, n_frames = ops.shape(x)[0], ops.shape(x)[1]
        length = ops.cast(n_frames, "float32")
        largest = ops.floor(length * self.settings["share"])
        shift = ops.cast(self.whole(2 * largest + 1, (n_crops, 1)) - largest, "int32")
        index = (ops.arange(n_frames, dtype="int32") - shift) % n_frames
        return take_frames(x, index)


def take_frames(x: Any, index: Any) -> Any:
    """Frames of each crop by their index.

    Parameters
    ----------
    x : tensor [shape=(crops, frames, width)]
    index : tensor [shape=(crops, n), dtype=int32]

    Returns
    -------
    tensor [shape=(crops, n, width)]

    Examples
    --------
    >>> take_frames(ops.array([[[5.0], [7.0]]]), ops.array([[1, 1, 0]]))[0, :, 0].numpy().tolist()
    [7.0, 7.0, 5.0]
    """
    n_crops, n_frames = ops.shape(x)[0], ops.shape(x)[1]
    # Whole rows of one table are copied faster than by take_along_axis, value by value.
    rows = ops.reshape(x, (-1, x.shape[2]))
    first = ops.arange(n_crops, dtype="int32")[:, None] * n_frames
    return ops.take(rows, first + index, axis=0)
