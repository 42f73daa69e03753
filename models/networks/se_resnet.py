"""A residual network with squeeze-and-excitation, for frames of any number.

Two 3 x 3 convolutions per block (He et al. 2016, https://arxiv.org/abs/1512.03385), whose channels
are weighed (Hu et al. 2018, https://arxiv.org/abs/1709.01507) before the shortcut is added. The
stem halves frames and bands, and so does the first block of every stage but the first. The tables
are for 220 frames of 80 bands, 80 classes and the default settings; ``scores`` is the output that
:mod:`models.build` adds. Each row has the parameters of all layers since the row before.

se_resnet
    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    frames                  220 x 80 x 1     0
    block_1                 110 x 40 x 32    19684
    block_2                 55 x 20 x 64     59208
    block_3                 28 x 10 x 128    235152
    block_4                 14 x 5 x 192     589272
    embedding               192              37056
    scores                  80               15440
    total                                    955812
    ======================  ===============  ==========

    ======================  ==========
    size                    parameters
    ======================  ==========
    tiny                    244476
    small                   955812
    medium                  2930504
    large                   11657792
    ======================  ==========
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from keras import KerasTensor, layers

from models.layers import FrequencyChannel
from models.networks.blocks import Pooling, conv_bn, conv_bn_relu, embed, squeeze_excitation

# Channels of the stages, blocks per stage; medium has the depth of ResNet-18.
SIZES = {
    "tiny": ((16, 32, 64, 96), 1),
    "small": ((32, 64, 128, 192), 1),
    "medium": ((32, 64, 128, 256), 2),
    "large": ((64, 128, 256, 512), 2),
}


def se_resnet(
    x: KerasTensor,
    *,
    size: Literal["tiny", "small", "medium", "large"] = "small",
    pooling: Pooling = "mean-max",
    frequency_channel: bool = True,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
    stem_stride: Literal[1, 2] = 2,
) -> KerasTensor:
    """Frames [shape=(clips, frames, bands, channels)] to activations; from 1 x 1 on.

    Parameters
    ----------
    x : KerasTensor
    size : {"tiny", "small", "medium", "large"}
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
    filters, n_blocks = SIZES[size]
    if frequency_channel:
        x = FrequencyChannel()(x)
    x = conv_bn_relu(x, filters[0], strides=stem_stride)
    for i, channels in enumerate(filters):
        for j in range(n_blocks):
            name = f"block_{i + 1}" if j == n_blocks - 1 else None
            x = _residual_block(x, channels, strides=2 if i and not j else 1, name=name)
    return embed(x, pooling, dropout)


def _residual_block(
    x: KerasTensor, channels: int, *, strides: int, name: str | None
) -> KerasTensor:
    y = conv_bn_relu(x, channels, strides=strides)
    y = squeeze_excitation(conv_bn(y, channels))
    if strides > 1 or x.shape[-1] != channels:
        x = conv_bn(x, channels, 1, strides=strides)
    return layers.ReLU(name=name)(layers.Add()([x, y]))
