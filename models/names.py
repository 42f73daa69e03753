"""Names of the models, without Keras: what ``train --model`` offers, and the default.

A new model needs a line here, in :data:`models.build.ARCHITECTURES` and in
:data:`models.network_options.NETWORKS`.
"""

from __future__ import annotations

from typing import Literal, get_args

Model = Literal[
    "cnn", "conv1d", "conv2d", "crnn", "densenet", "dummy1d", "dummy2d", "mobilenet_v2", "resnet1d",
    "se_resnet",
]
MODELS: tuple[str, ...] = get_args(Model)

# Those whose input is a wave; the others take frames of several values.
WAVE_MODELS = ("conv1d", "dummy1d", "resnet1d")


def default_model(width: int) -> str:
    """Name of the model to train where none is chosen.

    Parameters
    ----------
    width : int
        Values per frame of the feature; 0 for raw waves, whose frame is one sample.
    """
    return "conv2d" if width else "conv1d"
