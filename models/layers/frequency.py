"""What tells a convolution how high a band lies."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="audio_tagging")
class FrequencyChannel(keras.layers.Layer):
    """Append a channel that tells each band's place: -1 for the lowest to 1 for the highest.

    Convolutions see the same pattern everywhere alike; with it they can tell a hum from a whistle
    (Koutini et al. 2019, https://arxiv.org/abs/1909.02859). A single band gets 0.

    (clips, frames, bands, channels) becomes (clips, frames, bands, channels + 1).

    Parameters
    ----------
    **kwargs
        Of :class:`keras.layers.Layer`.

    Examples
    --------
    >>> np.asarray(FrequencyChannel()(np.zeros((1, 1, 3, 1))))[0, 0, :, 1]
    array([-1.,  0.,  1.], dtype=float32)
    """

    def call(self, inputs: Any) -> Any:
        """Append the places to the last axis."""
        n_bands = inputs.shape[2]
        places = np.linspace(-1, 1, n_bands) if n_bands > 1 else np.zeros(1)
        places = ops.cast(ops.reshape(places, (1, 1, n_bands, 1)), inputs.dtype)
        places = ops.broadcast_to(places, (*ops.shape(inputs)[:3], 1))
        return ops.concatenate([inputs, places], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the input with one channel more."""
        *places, n_channels = input_shape
        return (*places, None if n_channels is None else n_channels + 1)
