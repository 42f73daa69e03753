"""What several networks are made of: convolutions, attention over channels and places, pooling."""

from __future__ import annotations

from typing import Any, Literal

from keras import KerasTensor, layers

from models.layers import AttentionPooling, BandMean, BatchNorm, ChannelSummary, MeanMaxPooling

Pooling = Literal["mean-max", "mean", "attention"]
Attention = Literal[None, "se", "cbam"]


def conv_bn_relu(
    x: KerasTensor, filters: int, kernel: int | tuple[int, int] = 3, **options: Any
) -> KerasTensor:
    """Convolution without a bias, batch normalization, ReLU."""
    return layers.ReLU()(conv_bn(x, filters, kernel, **options))


def conv_bn(
    x: KerasTensor, filters: int, kernel: int | tuple[int, int] = 3, *, strides: int = 1
) -> KerasTensor:
    """Convolution without a bias, batch normalization; of images or of sequences."""
    conv = layers.Conv2D if len(x.shape) == 4 else layers.Conv1D
    # He et al. 2015, https://arxiv.org/abs/1502.01852: what ReLU leaves has half the variance.
    x = conv(filters, kernel, strides=strides, padding="same", use_bias=False,
             kernel_initializer="he_normal")(x)
    return BatchNorm()(x)


def squeeze_excitation(x: KerasTensor, reduction: int = 8) -> KerasTensor:
    """Scale channels by 0 to 1, learned from their means (Hu et al. 2018, arXiv:1709.01507)."""
    channels = x.shape[-1]
    hidden = max(channels // reduction, 4)
    pool = layers.GlobalAveragePooling2D if len(x.shape) == 4 else layers.GlobalAveragePooling1D
    gate = pool(keepdims=True)(x)
    gate = layers.Dense(hidden, activation="relu")(gate)
    gate = layers.Dense(channels, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])


def cbam(x: KerasTensor, reduction: int = 8) -> KerasTensor:
    """Scale channels by their means and maxima, then places (Woo et al. 2018, arXiv:1807.06521)."""
    channels = x.shape[-1]
    squeeze = layers.Dense(max(channels // reduction, 4), activation="relu")
    excite = layers.Dense(channels)
    pooled = [pool(keepdims=True)(x)
              for pool in (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)]
    gate = layers.Add()([excite(squeeze(each)) for each in pooled])
    x = layers.Multiply()([x, layers.Activation("sigmoid")(gate)])
    places = layers.Conv2D(1, 7, padding="same", use_bias=False)(ChannelSummary()(x))
    places = layers.Activation("sigmoid")(BatchNorm()(places))
    return layers.Multiply()([x, places])


def attend(x: KerasTensor, attention: Attention) -> KerasTensor:
    """Apply an attention by its name; None: none."""
    match attention:
        case "se":
            return squeeze_excitation(x)
        case "cbam":
            return cbam(x)
    return x


def pool(x: KerasTensor, pooling: Pooling) -> KerasTensor:
    """Average over bands, if there are any, and pool over time: to (clips, channels) float32."""
    if len(x.shape) == 4:
        x = BandMean()(x)
    match pooling:
        case "mean":
            return layers.GlobalAveragePooling1D(dtype="float32")(x)
        case "attention":
            return AttentionPooling()(x)
    return MeanMaxPooling()(x)


def embed(x: KerasTensor, pooling: Pooling, dropout: float) -> KerasTensor:
    """Pool, then one dense layer between two of dropout: to (clips, channels)."""
    x = layers.Dropout(dropout)(pool(x, pooling))
    x = layers.Dense(x.shape[-1], activation="relu", name="embedding")(x)
    return layers.Dropout(dropout)(x)
