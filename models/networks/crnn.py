"""A convolutional recurrent network: convolutions see bands, a GRU sees the order of sounds.

Four blocks of one 3 x 3 convolution with batch normalization and ReLU halve the bands each, and the
first two halve time; a bidirectional GRU reads what is left, frame by frame, and time is pooled.
After Cakir et al. 2017 (https://arxiv.org/abs/1702.06286) and Xu et al. 2018
(https://arxiv.org/abs/1710.00343), from whom pooling by attention is. SavedModel and ONNX files can
be written of it; LiteRT's converter does not take a GRU over batches of any size. The tables are
for 220 frames of 80 bands, 80 classes and the default settings; ``scores`` is the output that
:mod:`models.build` adds. Each row has the parameters of all layers since the row before.

crnn
    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    frames                  220 x 80 x 1     0
    block_1                 110 x 40 x 32    704
    block_2                 55 x 20 x 64     18688
    block_3                 55 x 10 x 96     55680
    block_4                 55 x 5 x 128     111104
    gru                     55 x 192         425088
    embedding               192              74112
    scores                  80               15440
    total                                    700816
    ======================  ===============  ==========

    ======================  ==========
    size                    parameters
    ======================  ==========
    tiny                    193840
    small                   700816
    medium                  1115088
    ======================  ==========
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from keras import KerasTensor, layers

from models.layers import FrequencyChannel
from models.networks.blocks import Pooling, conv_bn_relu, embed

# Channels of the convolutions, units of the GRU in each direction.
SIZES = {
    "tiny": ((16, 32, 64, 64), 48),
    "small": ((32, 64, 96, 128), 96),
    "medium": ((64, 128, 128, 128), 128),
}


def crnn(
    x: KerasTensor,
    *,
    size: Literal["tiny", "small", "medium"] = "small",
    pooling: Pooling = "attention",
    frequency_channel: bool = True,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
) -> KerasTensor:
    """Frames [shape=(clips, frames, bands, channels)] to activations; from 1 x 1 on.

    Parameters
    ----------
    x : KerasTensor
    size : {"tiny", "small", "medium"}
        Channels and units: :data:`SIZES`.
    pooling : {"mean-max", "mean", "attention"}
        Of time, after the GRU.
    frequency_channel : bool
        Whether the place of a band is an input too: see :class:`models.layers.FrequencyChannel`.
    dropout : float, 0 <= dropout < 1
        Before and after the dense layer.

    Returns
    -------
    KerasTensor [shape=(clips, activations)]
    """
    filters, units = SIZES[size]
    if frequency_channel:
        x = FrequencyChannel()(x)
    for i, channels in enumerate(filters):
        x = conv_bn_relu(x, channels)
        pool_frames = 2 if i < 2 else 1
        x = layers.AveragePooling2D((pool_frames, 2), padding="same", name=f"block_{i + 1}")(x)
    _, _, n_bands, n_channels = x.shape
    x = layers.Reshape((-1, n_bands * n_channels), name="sequence")(x)
    x = layers.Bidirectional(layers.GRU(units, return_sequences=True), name="gru")(x)
    return embed(x, pooling, dropout)
