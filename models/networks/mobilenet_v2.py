"""Inverted residuals: many channels only where each is convolved by itself.

A block widens the channels by a 1 x 1 convolution, filters each by 3 x 3 and narrows them again
without an activation; the shortcut joins the narrow ends (MobileNetV2: Sandler et al. 2018,
https://arxiv.org/abs/1801.04381). The stem halves frames and bands, and so does the first block of
every stage but the first. The stages are fewer than the paper's, whose images are larger. Under
``mixed_bfloat16`` it is two to three times as slow on a CPU, whose depthwise convolutions are not
made for it. The tables are for 220 frames of 80 bands, 80 classes and the default settings;
``scores`` is the output that :mod:`models.build` adds. Each row has the parameters of all layers
since the row before.

mobilenet_v2
    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    frames                  220 x 80 x 1     0
    block_1                 110 x 40 x 16    1408
    block_2                 55 x 20 x 24     15024
    block_3                 28 x 10 x 48     45744
    block_4                 14 x 5 x 96      167520
    embedding               384              186240
    scores                  80               30800
    total                                    446736
    ======================  ===============  ==========

    ======================  ==========
    size                    parameters
    ======================  ==========
    tiny                    104592
    small                   446736
    medium                  1604744
    ======================  ==========
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from keras import KerasTensor, layers

from models.layers import BatchNorm, FrequencyChannel
from models.networks.blocks import Pooling, conv_bn, conv_bn_relu, embed

# Channels of the stages, blocks per stage, and channels of the last convolution.
SIZES = {
    "tiny": ((16, 24, 32, 64), 1, 192),
    "small": ((16, 24, 48, 96), 2, 384),
    "medium": ((24, 40, 80, 160), 3, 640),
}
EXPANSION = 6  # of the paper; 1 in the first stage


def mobilenet_v2(
    x: KerasTensor,
    *,
    size: Literal["tiny", "small", "medium"] = "small",
    pooling: Pooling = "mean-max",
    frequency_channel: bool = True,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
    stem_stride: Literal[1, 2] = 2,
) -> KerasTensor:
    """Frames [shape=(clips, frames, bands, channels)] to activations; from 1 x 1 on.

    Parameters
    ----------
    x : KerasTensor
    size : {"tiny", "small", "medium"}
        Channels and blocks of the stages: :data:`SIZES`.
    pooling : {"mean-max", "mean", "attention"}
        Of time.
    frequency_channel : bool
        Whether the place of a band is an input too: see :class:`models.layers.FrequencyChannel`.
    dropout : float, 0 <= dropout < 1
        Before and after the dense layer.
    stem_stride : {1, 2}
        Of the first convolution, along frames and bands.

    Returns
    -------
    KerasTensor [shape=(clips, activations)]
    """
    filters, n_blocks, n_last = SIZES[size]
    if frequency_channel:
        x = FrequencyChannel()(x)
    x = conv_bn_relu(x, filters[0], strides=stem_stride)
    for i, channels in enumerate(filters):
        for j in range(n_blocks):
            x = _inverted_residual(
                x, channels, expansion=EXPANSION if i else 1, strides=2 if i and not j else 1,
                name=f"block_{i + 1}" if j == n_blocks - 1 else None,
            )
    x = conv_bn_relu(x, n_last, 1)
    return embed(x, pooling, dropout)


def _inverted_residual(
    x: KerasTensor, channels: int, *, expansion: int, strides: int, name: str | None
) -> KerasTensor:
    y = conv_bn_relu(x, expansion * x.shape[-1], 1) if expansion > 1 else x
    y = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False,
                               depthwise_initializer="he_normal")(y)
    y = layers.ReLU()(BatchNorm()(y))
    y = conv_bn(y, channels, 1)
    if strides == 1 and x.shape[-1] == channels:
        y = layers.Add()([x, y])
    return layers.Identity(name=name)(y)
