"""Augmentations that remove parts of a crop.

What is removed becomes the mean of its band. Keras's RandomErasing fills with one number or noise.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from models.augmentation.base import Transform
from models.augmentation.geometry import rectangle


@keras.saving.register_keras_serializable(package="audio_tagging")
class Masks(Transform):
    """Time and frequency masks of SpecAugment (Park et al., Interspeech 2019).

    Masked frames and bands become `fill`. Time is not warped: see :class:`.geometry.Stretch`.

    Settings: `n_time` and `n_bands` (0 or more), masks per crop; `time_share` and `band_share`
    (0 to 1), the widest mask as a share of the axis, the width being uniform from 0.
    """

    NAME = "masks"

    def transform(self, x: Any) -> Any:
        """Mask parts of every crop."""
        n_crops, n_frames, width = ops.shape(x)
        values = self.settings
        frames = self.spans(n_crops, n_frames, values["n_time"], values["time_share"])
        bands = self.spans(n_crops, width, values["n_bands"], values["band_share"])
        return ops.where(frames[:, :, None] | bands[:, None, :], self.fill, x)


@keras.saving.register_keras_serializable(package="audio_tagging")
class Erasing(Transform):
    """Random erasing: a rectangle of each crop becomes `fill` (Zhong et al., AAAI 2020).

    Settings: `area` (0 to 1), [smallest, largest] share of the crop's area, drawn uniformly;
    `ratio`, [lowest, highest] of the shares of time and of bands, drawn uniformly in its logarithm.
    Sides are rounded to whole frames and bands, at least one.
    """

    NAME = "erasing"

    def transform(self, x: Any) -> Any:
        """Erase a part of every crop."""
        n_crops, n_frames, width = ops.shape(x)
        time, band = rectangle(self, n_crops, self.settings["area"], self.settings["ratio"])
        frames = self.span(time, n_crops, n_frames)
        bands = self.span(band, n_crops, width)
        return ops.where(frames[:, :, None] & bands[:, None, :], self.fill, x)

    def span(self, share: Any, n_crops: Any, length: Any) -> Any:
        """Draw a span of a share of an axis [shape=(crops, length), dtype=bool]."""
        size = ops.cast(length, "float32")
        width = ops.maximum(ops.round(share * size), 1)
        start = self.whole(size - width + 1, (n_crops, 1))
        position = ops.arange(length, dtype="float32")
        return (position >= start) & (position < start + width)
