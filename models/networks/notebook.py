"""The four networks of the 2018 notebook "Beginner's Guide to Audio Data".

Source: https://www.kaggle.com/fizzbuzz/beginner-s-guide-to-audio-data (41 classes, one label a
clip). The sizes are the notebook's, its ``Dense(1028)`` among them. What differs: frames come time
first here, as the stores hold them, and the output and its activation belong to
:mod:`models.build`. The tables are for 2 s and 41 classes; ``scores`` is that output.

conv1d
    Raw waves, 16 kHz.

    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    wave                    32000 x 1        0
    Conv1D 16, 9, relu      31992 x 16       160
    Conv1D 16, 9, relu      31984 x 16       2320
    MaxPooling1D 16         1999 x 16        0
    Dropout 0.1             1999 x 16        0
    Conv1D 32, 3, relu      1997 x 32        1568
    Conv1D 32, 3, relu      1995 x 32        3104
    MaxPooling1D 4          498 x 32         0
    Dropout 0.1             498 x 32         0
    Conv1D 32, 3, relu      496 x 32         3104
    Conv1D 32, 3, relu      494 x 32         3104
    MaxPooling1D 4          123 x 32         0
    Dropout 0.1             123 x 32         0
    Conv1D 256, 3, relu     121 x 256        24832
    Conv1D 256, 3, relu     119 x 256        196864
    GlobalMaxPooling1D      256              0
    Dropout 0.2             256              0
    Dense 64, relu          64               16448
    Dense 1028, relu        1028             66820
    scores                  41               42189
    total                                    360513
    ======================  ===============  ==========

conv2d
    40 MFCC, 44.1 kHz, a frame every 512 samples. The kernels see 10 frames by 4 coefficients.

    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    frames                  173 x 40 x 1     0
    Conv2D 32, 10 x 4       173 x 40 x 32    1312
    BatchNormalization      173 x 40 x 32    128
    relu                    173 x 40 x 32    0
    MaxPooling2D 2          86 x 20 x 32     0
    Conv2D 32, 10 x 4       86 x 20 x 32     40992
    BatchNormalization      86 x 20 x 32     128
    relu                    86 x 20 x 32     0
    MaxPooling2D 2          43 x 10 x 32     0
    Conv2D 32, 10 x 4       43 x 10 x 32     40992
    BatchNormalization      43 x 10 x 32     128
    relu                    43 x 10 x 32     0
    MaxPooling2D 2          21 x 5 x 32      0
    Conv2D 32, 10 x 4       21 x 5 x 32      40992
    BatchNormalization      21 x 5 x 32      128
    relu                    21 x 5 x 32      0
    MaxPooling2D 2          10 x 2 x 32      0
    Flatten                 640              0
    Dense 64                64               41024
    BatchNormalization      64               256
    relu                    64               0
    scores                  41               2665
    total                                    168745
    ======================  ===============  ==========

dummy1d
    Raw waves; to see a whole run in seconds. Its one feature is the loudest sample.

    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    wave                    32000 x 1        0
    GlobalMaxPooling1D      1                0
    scores                  41               82
    total                                    82
    ======================  ===============  ==========

dummy2d
    Frames; to see a whole run in seconds. Its one feature is the largest coefficient.

    ======================  ===============  ==========
    layer                   output shape     parameters
    ======================  ===============  ==========
    frames                  173 x 40 x 1     0
    GlobalMaxPooling2D      1                0
    scores                  41               82
    total                                    82
    ======================  ===============  ==========
"""

from __future__ import annotations

from keras import KerasTensor, layers

# The notebook's kernel is (4, 10) on coefficients by frames.
KERNEL_FRAMES = 10
KERNEL_COEFFICIENTS = 4


def conv1d(x: KerasTensor) -> KerasTensor:
    """Waves [shape=(clips, samples, 1)] to 1028 activations a clip; from 1616 samples on."""
    for filters, kernel, pool in ((16, 9, 16), (32, 3, 4), (32, 3, 4)):
        x = layers.Conv1D(filters, kernel, padding="valid", activation="relu")(x)
        x = layers.Conv1D(filters, kernel, padding="valid", activation="relu")(x)
        x = layers.MaxPooling1D(pool)(x)
        x = layers.Dropout(0.1)(x)
    # (clips, 123, 32)
    x = layers.Conv1D(256, 3, padding="valid", activation="relu")(x)
    x = layers.Conv1D(256, 3, padding="valid", activation="relu")(x)
    x = layers.GlobalMaxPooling1D()(x)
    x = layers.Dropout(0.2)(x)
    # (clips, 256)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dense(1028, activation="relu")(x)


def conv2d(x: KerasTensor) -> KerasTensor:
    """Frames [shape=(clips, frames, coefficients, 1)] to 64 activations; from 16 x 16 on."""
    for _ in range(4):
        x = layers.Conv2D(32, (KERNEL_FRAMES, KERNEL_COEFFICIENTS), padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.MaxPooling2D(2)(x)
    # (clips, 10, 2, 32)
    x = layers.Flatten()(x)
    x = layers.Dense(64)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation("relu")(x)


def dummy1d(x: KerasTensor) -> KerasTensor:
    """Waves [shape=(clips, samples, 1)] to their largest value [shape=(clips, 1)]."""
    return layers.GlobalMaxPooling1D()(x)


def dummy2d(x: KerasTensor) -> KerasTensor:
    """Frames [shape=(clips, frames, coefficients, 1)] to their largest value [(clips, 1)]."""
    return layers.GlobalMaxPooling2D()(x)
