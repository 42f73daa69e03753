"""Augmentations that remove parts of a crop."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from models.augmentation.base import Transform
from models.settings import Declared, Number


@keras.saving.register_keras_serializable(package="audio_tagging")
class Masks(Transform):
    """Time and frequency masks of SpecAugment (Park et al., Interspeech 2019).

    Masked frames and bands become `fill`. Time is not warped: see :class:`.geometry.Stretch`.

    Settings: `n_time` and `n_bands` (0 or more), masks per crop; `time_share` and `band_share`
    (0 to 1), the widest mask as a share of the axis, the width being uniform from 0.
    """

    FRAMES_ONLY = True
    SETTINGS: ClassVar[Declared] = {
        "n_time": Number(2, low=0, whole=True), "time_share": Number(0.2, above=0, high=1),
        "n_bands": Number(2, low=0, whole=True), "band_share": Number(0.2, above=0, high=1),
    }

    def transform(self, x: Any) -> Any:
        """Mask parts of every crop."""
        n_crops, n_frames, width = ops.shape(x)
        values = self.settings
        frames = self.spans(n_crops, n_frames, values["n_time"], values["time_share"])
        bands = self.spans(n_crops, width, values["n_bands"], values["band_share"])
        return ops.where(frames[:, :, None] | bands[:, None, :], self.fill, x)
