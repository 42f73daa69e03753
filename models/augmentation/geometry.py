"""Augmentations that move, stretch or cut what a crop holds, along time and bands.

Values between frames or bands are interpolated linearly, in the store's unit. A position in whole
numbers gives the value there exactly.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from models.augmentation.base import Augmentation, Transform


@keras.saving.register_keras_serializable(package="audio_tagging")
class TimeShift(Transform):
    """Roll each crop along time; what leaves at one end comes in at the other.

    Setting: `share` (0 to 1), the largest shift in either direction as a share of the crop.
    """

    NAME = "time_shift"

    def transform(self, x: Any) -> Any:
        """Roll every crop by a whole number of frames."""
        n_crops, n_frames = ops.shape(x)[0], ops.shape(x)[1]
        largest = ops.floor(ops.cast(n_frames, "float32") * self.settings["share"])
        shift = ops.cast(self.whole(2 * largest + 1, (n_crops, 1)) - largest, "int32")
        index = (ops.arange(n_frames, dtype="int32") - shift) % n_frames
        return take_frames(x, index)


@keras.saving.register_keras_serializable(package="audio_tagging")
class Stretch(Transform):
    """Play each crop slower or faster: time is stretched around a random moment.

    A faster crop is shorter; the rest becomes `fill`, before and after it. Of spectrograms only the
    tempo changes, of waves the pitch too.

    Setting: `factor`, [slowest, fastest], drawn uniformly in its logarithm; 2 is twice as fast.
    """

    NAME = "stretch"

    def transform(self, x: Any) -> Any:
        """Stretch every crop."""
        n_crops, n_frames = ops.shape(x)[0], ops.shape(x)[1]
        last = ops.cast(n_frames - 1, "float32")
        factor = log_uniform(self, (n_crops, 1), self.settings["factor"])
        # Slower than 1 starts within the crop, faster than 1 before it.
        start = self.uniform((n_crops, 1)) * (1 - factor) * last
        position = start + factor * ops.arange(n_frames, dtype="float32")
        inside = (position >= 0) & (position <= last)
        return ops.where(inside[:, :, None], between_frames(x, position), self.fill)


@keras.saving.register_keras_serializable(package="audio_tagging")
class ResizedCrop(Transform):
    """Cut a random rectangle out of each crop and enlarge it to the crop's size.

    Szegedy et al., "Going deeper with convolutions", CVPR 2015, in shares of both axes.

    Settings: `area` (0 to 1), [smallest, largest] share of the crop's area, drawn uniformly;
    `ratio`, [lowest, highest] of the shares of time and of bands, drawn uniformly in its logarithm.
    No side is larger than the crop.
    """

    NAME = "resized_crop"

    def transform(self, x: Any) -> Any:
        """Cut and enlarge every crop."""
        n_crops = ops.shape(x)[0]
        shares = rectangle(self, n_crops, self.settings["area"], self.settings["ratio"])
        time, band = (
            self.window(share, n_crops, ops.shape(x)[axis])
            for share, axis in zip(shares, (1, 2), strict=True)
        )
        return between_bands(between_frames(x, time), band)

    def window(self, share: Any, n_crops: Any, length: Any) -> Any:
        """Positions over a share of an axis, at a random place [shape=(crops, length)]."""
        last = ops.cast(length - 1, "float32")
        start = self.uniform((n_crops, 1)) * (1 - share) * last
        return start + share * ops.arange(length, dtype="float32")


@keras.saving.register_keras_serializable(package="audio_tagging")
class MelWarp(Transform):
    """Warp the bands of each crop: a random band moves, the first and last stay.

    Between them the axis is stretched piecewise linearly, like speakers' vocal tracts of different
    length (Jaitly & Hinton, "Vocal Tract Length Perturbation", ICML workshop 2013).

    Setting: `share` (0 to below 0.25), the furthest that the band moves, as a share of the axis; it
    lies in the middle half.
    """

    NAME = "mel_warp"

    def transform(self, x: Any) -> Any:
        """Warp every crop."""
        n_crops, width = ops.shape(x)[0], x.shape[2]
        limit = float(self.settings["share"])
        source = self.uniform((n_crops, 1), 0.25, 0.75)
        target = source + self.uniform((n_crops, 1), -limit, limit)
        last = max(width - 1, 1)
        position = ops.arange(width, dtype="float32") / last
        below = position * source / target
        above = 1 - (1 - position) * (1 - source) / (1 - target)
        return between_bands(x, last * ops.where(position < target, below, above))


@keras.saving.register_keras_serializable(package="audio_tagging")
class BandShift(Transform):
    """Move each crop up or down by whole bands, like another pitch; `fill` comes in.

    Setting: `bands` (0 or more), the largest shift in either direction.
    """

    NAME = "band_shift"

    def transform(self, x: Any) -> Any:
        """Move every crop."""
        n_crops, width = ops.shape(x)[0], x.shape[2]
        largest = min(self.settings["bands"], width - 1)
        shift = ops.cast(self.whole(2 * largest + 1, (n_crops, 1)) - largest, "int32")
        index = ops.arange(width, dtype="int32") - shift
        inside = (index >= 0) & (index < width)
        moved = ops.transpose(take_frames(ops.transpose(x, (0, 2, 1)), index % width), (0, 2, 1))
        return ops.where(inside[:, None, :], moved, self.fill)


def rectangle(
    layer: Augmentation, n_crops: Any, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Any, Any]:
    """Draw rectangles, as shares of time and of bands [shape=(crops, 1)], at most 1 each.

    Parameters
    ----------
    layer : Augmentation
        Draws the numbers.
    n_crops : int or scalar tensor
    area : (float, float), 0 to 1
        Lowest and highest product of both shares.
    ratio : (float, float), above 0
        Lowest and highest quotient of the share of time by that of bands.
    """
    size = layer.uniform((n_crops, 1), *area)
    quotient = log_uniform(layer, (n_crops, 1), ratio)
    time, band = ops.sqrt(size * quotient), ops.sqrt(size / quotient)
    return ops.minimum(time, 1), ops.minimum(band, 1)


def log_uniform(layer: Augmentation, shape: tuple[Any, ...], bounds: tuple[float, float]) -> Any:
    """Draw numbers whose logarithms are uniform, from bounds above 0."""
    low, high = (math.log(bound) for bound in bounds)
    return ops.exp(layer.uniform(shape, low, high))


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
    n_crops, n_frames, width = ops.shape(x)
    # Whole rows of one table are copied faster than by take_along_axis, value by value.
    rows = ops.reshape(x, (-1, width))
    first = ops.arange(n_crops, dtype="int32")[:, None] * n_frames
    return ops.take(rows, first + index, axis=0)


def between_frames(x: Any, position: Any) -> Any:
    """Values of each crop at positions between its frames, interpolated linearly.

    Parameters
    ----------
    x : tensor [shape=(crops, frames, width), dtype=float32]
    position : tensor [shape=(crops, n), dtype=float32]
        In frames from the first; beyond the crop its first and last frame go on.

    Returns
    -------
    tensor [shape=(crops, n, width)]

    Examples
    --------
    >>> between_frames(ops.array([[[5.0], [7.0]]]), ops.array([[0.25, 9.0]]))[0, :, 0].numpy()
    array([5.5, 7. ], dtype=float32)
    """
    last = ops.shape(x)[1] - 1
    position = ops.clip(position, 0, ops.cast(last, "float32"))
    whole = ops.floor(position)
    lower = ops.cast(whole, "int32")
    fraction = ops.expand_dims(position - whole, -1)
    upper = ops.minimum(lower + 1, last)
    return (1 - fraction) * take_frames(x, lower) + fraction * take_frames(x, upper)


def between_bands(x: Any, position: Any) -> Any:
    """The same between bands: `position` [shape=(crops, n)] is in bands from the first.

    Examples
    --------
    >>> between_bands(ops.array([[[5.0, 7.0]]]), ops.array([[0.25, 9.0]])).numpy()
    array([[[5.5, 7. ]]], dtype=float32)
    """
    return ops.transpose(between_frames(ops.transpose(x, (0, 2, 1)), position), (0, 2, 1))
