"""Pooling over bands, time and channels, for inputs of any length.

Sums over many frames are float32 under any dtype policy.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Shape = tuple[int | None, ...]


class _Float32Layer(keras.layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})


@keras.saving.register_keras_serializable(package="audio_tagging")
class BandMean(_Float32Layer):
    """Average over bands: (clips, frames, bands, channels) to (clips, frames, channels).

    Parameters
    ----------
    **kwargs
        Of :class:`keras.layers.Layer`.

    Examples
    --------
    >>> BandMean()(np.ones((2, 9, 4, 16))).shape
    TensorShape([2, 9, 16])
    """

    def call(self, inputs: Any) -> Any:
        """Average over the third axis."""
        return ops.mean(inputs, axis=2)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the input without its third axis."""
        return (*input_shape[:2], input_shape[3])


@keras.saving.register_keras_serializable(package="audio_tagging")
class MeanMaxPooling(_Float32Layer):
    """Mean plus maximum over time: (clips, frames, channels) to (clips, channels).

    The mean tells of sounds that last, the maximum of short ones (PANNs: Kong et al. 2020,
    https://arxiv.org/abs/1912.10211).

    Parameters
    ----------
    **kwargs
        Of :class:`keras.layers.Layer`.

    Examples
    --------
    >>> np.asarray(MeanMaxPooling()(np.array([[[0.0], [4.0]]])))
    array([[6.]], dtype=float32)
    """

    def call(self, inputs: Any) -> Any:
        """Add mean and maximum over the second axis."""
        return ops.mean(inputs, axis=1) + ops.max(inputs, axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the input without its second axis."""
        return (input_shape[0], *input_shape[2:])


@keras.saving.register_keras_serializable(package="audio_tagging")
class AttentionPooling(_Float32Layer):
    """Weighted mean over time: (clips, frames, channels) to (clips, channels).

    Each channel has weights of its own, which are learned from all channels of the frame and sum
    to 1 over time (Kong et al. 2019, https://arxiv.org/abs/1903.00765).

    Parameters
    ----------
    **kwargs
        Of :class:`keras.layers.Layer`.

    Examples
    --------
    >>> AttentionPooling()(np.ones((2, 9, 16))).shape
    TensorShape([2, 16])
    """

    def build(self, input_shape: Shape) -> None:
        """Create the kernel and bias of the weights, the kernel zeros: a plain mean at first."""
        n = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(n, n), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(n,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Average over the second axis by the learned weights."""
        weights = ops.softmax(ops.matmul(inputs, self.kernel) + self.bias, axis=1)
        return ops.sum(weights * inputs, axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the input without its second axis."""
        return (input_shape[0], *input_shape[2:])


@keras.saving.register_keras_serializable(package="audio_tagging")
class ChannelSummary(keras.layers.Layer):
    """Mean and maximum over channels: (clips, ..., channels) to (clips, ..., 2).

    What the spatial attention of CBAM looks at (Woo et al. 2018, https://arxiv.org/abs/1807.06521).

    Parameters
    ----------
    **kwargs
        Of :class:`keras.layers.Layer`.

    Examples
    --------
    >>> np.asarray(ChannelSummary()(np.array([[0.0, 4.0]])))
    array([[2., 4.]], dtype=float32)
    """

    def call(self, inputs: Any) -> Any:
        """Summarize the last axis."""
        mean = ops.mean(inputs, axis=-1, keepdims=True)
        return ops.concatenate([mean, ops.max(inputs, axis=-1, keepdims=True)], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the input with two channels."""
        return (*input_shape[:-1], 2)
