"""Dense connections with squeeze-and-excitation, for frames of any number.

Every layer of a block reads the outputs of all layers before it (DenseNet: Huang et al. 2017,
https://arxiv.org/abs/1608.06993), and the channels of a block's end are weighed, as in Jeong & Lim,
"Audio tagging system using densely connected convolutional networks" (DCASE Workshop 2018). Between
blocks a 1 x 1 convolution halves the channels and a mean halves frames and bands; the stem halves
frames and bands, too. The tables are for 220 frames of 80 bands, 80 classes and the default
settings; ``scores`` is the output that :mod:`models.build` adds. Each row has the parameters of all
layers since the row before.

densenet
    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    frames                  220 x 80 x 1     0
    block_1                 110 x 40 x 120   47703
    block_2                 55 x 20 x 156    75751
    block_3                 28 x 10 x 222    131133
    block_4                 14 x 5 x 255     157894
    embedding               255              66300
    scores                  80               20480
    total                                    499261
    ======================  ===============  ==========

    ======================  ==========
    size                    parameters
    ======================  ==========
    tiny                    85637
    small                   499261
    medium                  1410439
    ======================  ==========
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from keras import KerasTensor, layers

from models.layers import BatchNorm, FrequencyChannel
from models.networks.blocks import Pooling, conv_bn_relu, embed, squeeze_excitation

# Channels that a layer adds, layers per block.
SIZES = {
    "tiny": (12, (3, 3, 4, 4)),
    "small": (24, (3, 4, 6, 6)),
    "medium": (32, (4, 6, 8, 8)),
}


def densenet(
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
        Growth and depth: :data:`SIZES`.
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
    growth, depths = SIZES[size]
    if frequency_channel:
        x = FrequencyChannel()(x)
    x = conv_bn_relu(x, 2 * growth, strides=stem_stride)
    for i, depth in enumerate(depths):
        if i:
            x = conv_bn_relu(x, x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2, padding="same")(x)
        for _ in range(depth):
            x = layers.Concatenate()([x, _dense_layer(x, growth)])
        x = layers.Identity(name=f"block_{i + 1}")(squeeze_excitation(x))
    x = layers.ReLU()(BatchNorm()(x))
    return embed(x, pooling, dropout)


def _dense_layer(x: KerasTensor, growth: int) -> KerasTensor:
    """Normalization first, as in the paper: each layer scales what it reads for itself."""
    x = layers.ReLU()(BatchNorm()(x))
    x = conv_bn_relu(x, 2 * growth, 1)
    return layers.Conv2D(growth, 3, padding="same", use_bias=False,
                         kernel_initializer="he_normal")(x)
