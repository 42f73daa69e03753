"""The contract of an augmentation, and the random numbers that several of them draw."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from models.augmentation.compatibility import DECIBELS, FULL_SCALE, feature_problems
from models.augmentation_options import AUGMENTATIONS

Batch = dict[str, Any]


class Augmentation(keras.layers.Layer):
    """A random change of a batch of training crops.

    A subclass has its settings in :data:`models.augmentation_options.AUGMENTATIONS` under its
    `NAME`, and changes all crops in :meth:`augment`. Which of them are used instead of the
    unchanged ones is drawn here, for each crop by itself, with the setting `probability`. With
    ``training=False``, or at probability 0, the batch is returned as it is.

    It computes in float32 under any dtype policy. Its random generator is a variable, so that a
    restored training draws the same numbers as one that was not stopped.

    Parameters
    ----------
    unit : str
        Of the features, as :attr:`features.base.Feature.units` has it.
    fill : array-like [shape=(width,)] or a number
        What replaces removed or missing frames and bands, such as the mean of the training set.
    seed : int
    name : str, optional
    dtype : str
    trainable : bool
        Of no effect: there are no weights.
    **settings : object
        Among them `probability`, 0 to 1, of changing a crop.

    Raises
    ------
    ValueError
        With everything that is wrong with the settings.
    """

    NAME: ClassVar[str]

    def __init__(
        self, *, unit: str = DECIBELS, fill: ArrayLike = 0.0, seed: int = 0,
        name: str | None = None, dtype: Any = "float32", trainable: bool = True, **settings: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        values, problems = AUGMENTATIONS.options[self.NAME].check(settings, self.NAME)
        problems = problems or feature_problems(self.NAME, values, unit=unit, bands=True)
        if problems:
            raise ValueError("\n".join(problem.line(self.NAME) for problem in problems))
        self.unit, self.seed = unit, seed
        self.fill = np.asarray(fill, np.float32)
        self.settings = values
        self.random = keras.random.SeedGenerator(seed)

    def augment(self, x: Any, targets: Any, noisy: Any) -> tuple[Any, Any, Any]:
        """Change every crop.

        Parameters
        ----------
        x : tensor [shape=(crops, frames, width), dtype=float32]
            A wave has a width of 1.
        targets : tensor [shape=(crops, classes), dtype=float32]
        noisy : tensor [shape=(crops,), dtype=float32]

        Returns
        -------
        x, targets, noisy : tensor
            Of the same shapes.
        """
        raise NotImplementedError

    def call(self, batch: Batch, training: bool | None = None) -> Batch:
        """Change some crops of a batch.

        Parameters
        ----------
        batch : dict
            ``features`` [shape=(crops, samples), (crops, frames, width) or the same with a last
            axis of length 1], ``targets`` [shape=(crops, classes)], ``noisy`` [shape=(crops,)].
            Further keys are returned as they are.
        training : bool, optional
        """
        if not training or self.settings["probability"] == 0:
            return batch
        features = batch["features"]
        is_wave, n_axes = self.unit == FULL_SCALE, len(features.shape)
        x = features
        if is_wave and n_axes == 2:
            x = ops.expand_dims(features, -1)
        elif n_axes == 4:
            x = ops.squeeze(features, -1)
        n_crops = ops.shape(x)[0]
        before = x, batch["targets"], batch["noisy"]
        after = self.augment(*before)
        if self.settings["probability"] < 1:
            chosen = self.uniform((n_crops,)) < self.settings["probability"]
            after = tuple(
                old if new is old
                else ops.where(ops.reshape(chosen, (-1,) + (1,) * (len(old.shape) - 1)), new, old)
                for old, new in zip(before, after, strict=True)
            )
        x, targets, noisy = after
        if is_wave and n_axes == 2:
            x = ops.squeeze(x, -1)
        elif n_axes == 4:
            x = ops.expand_dims(x, -1)
        return {**batch, "features": x, "targets": targets, "noisy": noisy}

    def uniform(self, shape: tuple[Any, ...], low: float = 0.0, high: float = 1.0) -> Any:
        """Draw numbers from `low` to `high`."""
        return keras.random.uniform(shape, low, high, dtype="float32", seed=self.random)

    def whole(self, below: Any, shape: tuple[Any, ...]) -> Any:
        """Draw whole numbers from 0, `below` an exclusive bound above 0, as float32."""
        below = ops.cast(below, "float32")
        # A draw next to 1 may round up to the bound.
        return ops.minimum(ops.floor(self.uniform(shape) * below), below - 1)

    def spans(self, n_crops: Any, length: Any, n_spans: int, share: float) -> Any:
        """Draw spans of random width and place, some of which may overlap.

        Parameters
        ----------
        n_crops, length : int or scalar tensor
        n_spans : int
            Spans per crop.
        share : float, 0 to 1
            Of the length, for one span at most: its width is uniform over the whole numbers
            from 0 to that.

        Returns
        -------
        inside : tensor [shape=(crops, length), dtype=bool]
        """
        size = ops.cast(length, "float32")
        # 0.3 * 10 is below 3 in floating point.
        widest = ops.floor(size * share + 1e-3)
        shape = (n_crops, n_spans, 1)
        width = self.whole(widest + 1, shape)
        start = ops.floor(self.uniform(shape) * (size - width + 1))
        start = ops.minimum(start, size - width)
        position = ops.cast(ops.arange(length), "float32")
        return ops.any((position >= start) & (position < start + width), axis=1)

    def get_config(self) -> dict[str, Any]:
        """Everything the constructor needs."""
        return {
            **super().get_config(), **self.settings, "unit": self.unit,
            "fill": self.fill.tolist(), "seed": self.seed,
        }


class Transform(Augmentation):
    """An augmentation of each crop by itself, which leaves the targets alone.

    A subclass implements :meth:`transform`.
    """

    def augment(self, x: Any, targets: Any, noisy: Any) -> tuple[Any, Any, Any]:
        """Change the features of every crop."""
        return self.transform(x), targets, noisy

    def transform(self, x: Any) -> Any:
        """Change every crop [shape=(crops, frames, width), dtype=float32]."""
        raise NotImplementedError
