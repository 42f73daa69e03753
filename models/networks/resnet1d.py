"""A residual network on raw waves of any length.

Two strided convolutions learn a filter bank with a step of `hop` samples, as the front ends of
EnvNet-v2 (Tokozume et al. 2018, https://arxiv.org/abs/1711.10282) and ACDNet (Mohaimenuzzaman et
al. 2023, https://arxiv.org/abs/2103.03483) do; residual blocks along time follow, as in the M-Res
networks of Dai et al. 2017 (https://arxiv.org/abs/1610.00087), each stage at half the rate of the
one before. The tables are for 48,000 samples, 80 classes and the default settings;
``scores`` is the output that :mod:`models.build` adds. Each row has the parameters of all layers
since the row before.

resnet1d
    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    wave                    48000 x 1        0
    filter_bank             1500 x 64        70144
    block_1                 750 x 96         53376
    block_2                 375 x 128        99840
    block_3                 188 x 192        211200
    block_4                 94 x 256         396288
    embedding               256              65792
    scores                  80               20560
    total                                    917200
    ======================  ===============  ==========

    ======================  ==========
    size                    parameters
    ======================  ==========
    tiny                    237712
    small                   917200
    medium                  3385040
    ======================  ==========
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from keras import KerasTensor, layers

from models.networks.blocks import Pooling, conv_bn, conv_bn_relu, embed

# Channels of the filter bank and of the stages, blocks per stage.
SIZES = {
    "tiny": ((32, 48, 64, 96, 128), 1),
    "small": ((64, 96, 128, 192, 256), 1),
    "medium": ((64, 128, 192, 256, 384), 2),
}
# At 16 kHz: 4 ms; EnvNet-v2 has 64 samples at 44.1 kHz.
KERNEL = 64


def resnet1d(
    x: KerasTensor,
    *,
    size: Literal["tiny", "small", "medium"] = "small",
    pooling: Pooling = "mean-max",
    hop: Literal[16, 32, 64] = 32,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
) -> KerasTensor:
    """Waves [shape=(clips, samples, 1)] to activations; from 1 sample on.

    Parameters
    ----------
    x : KerasTensor
    size : {"tiny", "small", "medium"}
        Channels and blocks of the stages: :data:`SIZES`.
    pooling : {"mean-max", "mean", "attention"}
        Of time.
    hop : {16, 32, 64}
        Samples per step of the filter bank: a shorter one tells higher rates, and takes longer.
    dropout : float, 0 <= dropout < 1
        Before and after the dense layer.

    Returns
    -------
    KerasTensor [shape=(clips, activations)]
    """
    (n_filters, *filters), n_blocks = SIZES[size]
    x = conv_bn_relu(x, n_filters, KERNEL, strides=hop // 4)
    x = conv_bn_relu(x, n_filters, 16, strides=4)
    x = layers.Identity(name="filter_bank")(x)
    for i, channels in enumerate(filters):
        for j in range(n_blocks):
            x = _residual_block(x, channels, strides=2 if not j else 1,
                                name=f"block_{i + 1}" if j == n_blocks - 1 else None)
    return embed(x, pooling, dropout)


def _residual_block(
    x: KerasTensor, channels: int, *, strides: int, name: str | None
) -> KerasTensor:
    y = conv_bn(conv_bn_relu(x, channels, strides=strides), channels)
    if strides > 1 or x.shape[-1] != channels:
        x = conv_bn(x, channels, 1, strides=strides)
    return layers.ReLU(name=name)(layers.Add()([x, y]))
