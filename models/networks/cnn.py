"""A compact convolutional network in the manner of VGG, for frames of any number.

Four blocks of two 3 x 3 convolutions each, every convolution without a bias and with batch
normalization and ReLU; after each block frames and bands are halved. Bands are averaged, time is
pooled. The size ``large`` has the channels of the first place of FSDKaggle2019
(https://github.com/lRomul/argus-freesound), whose auxiliary heads and attention are settings here.
The tables are for 220 frames of 80 bands, 80 classes and the default settings; ``scores`` is the
output that :mod:`models.build` adds. Each row has the parameters of all layers since the row
before.

cnn
    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    frames                  220 x 80 x 1     0
    block_1                 110 x 40 x 32    10048
    block_2                 55 x 20 x 64     55808
    block_3                 28 x 10 x 128    222208
    block_4                 14 x 5 x 256     886784
    embedding               256              65792
    scores                  80               20560
    total                                    1261200
    ======================  ===============  ==========

    ======================  ==========
    size                    parameters
    ======================  ==========
    tiny                    228688
    small                   1261200
    medium                  2818736
    large                   4994256
    ======================  ==========
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from keras import KerasTensor, layers

from models.layers import FrequencyChannel
from models.networks.blocks import Attention, Pooling, attend, conv_bn_relu, embed, pool

# On a CPU the first block, which is bound by memory, decides the time: it has the fewest channels.
SIZES = {
    "tiny": (16, 32, 64, 96),
    "small": (32, 64, 128, 256),
    "medium": (48, 96, 192, 384),
    "large": (64, 128, 256, 512),
}


def cnn(
    x: KerasTensor,
    *,
    size: Literal["tiny", "small", "medium", "large"] = "small",
    pooling: Pooling = "mean-max",
    block_pooling: Literal["average", "max"] = "average",
    frequency_channel: bool = True,
    attention: Attention = None,
    auxiliary: bool = False,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
    stem_stride: Literal[1, 2] = 1,
) -> KerasTensor | tuple[KerasTensor, list[KerasTensor]]:
    """Frames [shape=(clips, frames, bands, channels)] to activations; from 1 x 1 on.

    Parameters
    ----------
    x : KerasTensor
    size : {"tiny", "small", "medium", "large"}
        Channels of the blocks: :data:`SIZES`.
    pooling : {"mean-max", "mean", "attention"}
        Of time: mean plus maximum, mean, or a mean by learned weights.
    block_pooling : {"average", "max"}
        Of 2 x 2 values after each block.
    frequency_channel : bool
        Whether the place of a band is an input too: see :class:`models.layers.FrequencyChannel`.
    attention : {None, "se", "cbam"}
        After each block: squeeze-and-excitation, or channels and places.
    auxiliary : bool
        Whether the first three blocks get outputs of their own while training.
    dropout : float, 0 <= dropout < 1
        Before and after the dense layer.
    stem_stride : {1, 2}
        Of the first convolution, along frames and bands.

    Returns
    -------
    KerasTensor [shape=(clips, activations)]
        With `auxiliary`, also a list of those of the blocks, the deepest first.
    """
    if frequency_channel:
        x = FrequencyChannel()(x)
    halve = layers.AveragePooling2D if block_pooling == "average" else layers.MaxPooling2D
    blocks = []
    for i, channels in enumerate(SIZES[size]):
        x = conv_bn_relu(x, channels, strides=1 if i else stem_stride)
        x = conv_bn_relu(x, channels)
        # Same padding, so that a crop of one frame is not too short.
        x = halve(2, padding="same", name=f"block_{i + 1}")(x)
        x = attend(x, attention)
        blocks.append(x)
    activations = embed(x, pooling, dropout)
    if auxiliary:
        return activations, [pool(block, pooling) for block in reversed(blocks[:-1])]
    return activations
