"""Build models by name, with what all share: input, normalization, output, loss.

A new model is a function from a Keras tensor (clips, samples, 1) or (clips, frames, features, 1)
to a tensor (clips, activations), and a line each in :data:`ARCHITECTURES`, in :mod:`models.names`
and in :mod:`models.network_options`. Its keyword-only arguments are the settings of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import KerasTensor
from numpy.typing import ArrayLike

from models.layers import MinMaxCentring, standardization
from models.network_options import NETWORKS
from models.networks import notebook
from models.networks.cnn import cnn
from models.networks.crnn import crnn
from models.networks.densenet import densenet
from models.networks.mobilenet_v2 import mobilenet_v2
from models.networks.resnet1d import resnet1d
from models.networks.se_resnet import se_resnet
from models.settings import hint


@dataclass(frozen=True)
class Architecture:
    """A network without its input and output.

    Attributes
    ----------
    body : callable
        Function from a tensor with a channel axis to a tensor (clips, activations), or to that and
        a list of such tensors for auxiliary scores. Its keyword-only arguments are its settings.
    least : tuple of int
        The smallest input that the layers can process: (samples,) or (frames, features).
    any_length : bool
        Whether the same weights take any number of samples or frames from `least` on.

    Examples
    --------
    >>> ARCHITECTURES["conv2d"].least
    (16, 16)
    """

    body: Callable[..., Any]
    least: tuple[int, ...]
    any_length: bool = False


ARCHITECTURES = {
    "cnn": Architecture(cnn, least=(1, 1), any_length=True),
    "conv1d": Architecture(notebook.conv1d, least=(1616,)),
    "conv2d": Architecture(notebook.conv2d, least=(16, 16)),
    "crnn": Architecture(crnn, least=(1, 1), any_length=True),
    "densenet": Architecture(densenet, least=(1, 1), any_length=True),
    "dummy1d": Architecture(notebook.dummy1d, least=(1,)),
    "dummy2d": Architecture(notebook.dummy2d, least=(1, 1)),
    "mobilenet_v2": Architecture(mobilenet_v2, least=(1, 1), any_length=True),
    "resnet1d": Architecture(resnet1d, least=(1,), any_length=True),
    "se_resnet": Architecture(se_resnet, least=(1, 1), any_length=True),
}

# single: exactly one label per clip; multi: any number
ACTIVATIONS = {"single": "softmax", "multi": "sigmoid"}
NORMALIZATIONS = ("standardize", "min-max")

_AXES = {1: ("samples",), 2: ("frames", "features")}


def build(
    name: str,
    input_shape: Sequence[int | None],
    n_classes: int,
    *,
    labels: str,
    normalization: str = "standardize",
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    channels: int = 1,
    network: Mapping[str, Any] = MappingProxyType({}),
) -> keras.Model:
    """Build a model from features, as the stores hold them, to scores from 0 to 1.

    Parameters
    ----------
    name : str
        A key of :data:`ARCHITECTURES`.
    input_shape : sequence of int
        Of one crop: (samples,) or (frames, features); a last axis of length 1 may follow. None for
        the number of samples or frames: any, if :attr:`Architecture.any_length`.
    n_classes : int > 0 [scalar]
        Number of classes; at least 2 for one label per clip.
    labels : {"single", "multi"}
        One label per clip: softmax, and the scores of a clip sum to 1. Any number: sigmoid.
    normalization : {"standardize", "min-max"}
        By `mean` and `variance`, or :class:`models.layers.MinMaxCentring`, which needs neither.
    mean, variance : array-like [shape=(features,)], a number for raw waves
        Of the training clips, in the unit of the features.
    channels : int > 0 [scalar]
        Images that lie one behind the other in the features, such as frames, deltas and
        delta-deltas; each becomes a channel of the network's input.
    network : mapping
        Settings of the network: keyword arguments of its function.

    Returns
    -------
    keras.Model [input (clips, ...), output (clips, n_classes) float32]
        Not compiled. The output is float32 under any dtype policy.
        Auxiliary outputs are no part of it: see :func:`training_outputs`.

    Raises
    ------
    ValueError
        If an argument is not valid; all errors are listed, with the minimum length for a crop that
        is too short.

    Examples
    --------
    >>> model = build("conv2d", (173, 40), 80, labels="multi", normalization="min-max")
    >>> model.output_shape
    (None, 80)
    """
    problems = [
        f"{what} is {value!r}; {hint(value, known)}" for what, value, known in (
            ("model", name, tuple(ARCHITECTURES)),
            ("normalization", normalization, NORMALIZATIONS),
            ("labels", labels, tuple(ACTIVATIONS)),
        ) if value not in known
    ]
    least_classes = 2 if labels == "single" else 1
    if n_classes < least_classes:
        problems.append(f"n_classes is {n_classes}; needs at least {least_classes}")
    normalizer: keras.Layer = MinMaxCentring()
    if name in ARCHITECTURES:
        settings, wrong = NETWORKS.networks[name].check(network, name)
        problems += [problem.line("network") for problem in wrong]
        n_axes = len(ARCHITECTURES[name].least)
        if errors := _shape_problems(name, tuple(input_shape), channels):
            problems += errors
        elif normalization == "standardize":
            n_features = 1 if n_axes == 1 else int(input_shape[1] or 0)
            try:
                normalizer = standardization(mean, variance, n_features)
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))

    inputs = keras.Input(tuple(input_shape), name="features")
    # float32 like the normalizer: under mixed precision it would round what it reshapes.
    n_frames, *widths = (-1 if n is None else n for n in input_shape[:n_axes])
    x = keras.layers.Reshape((n_frames, *widths, 1), dtype="float32", name="channel")(inputs)
    x = normalizer(x)
    if channels > 1:
        images = (n_frames, channels, widths[0] // channels)
        x = keras.layers.Reshape(images, name="images")(x)
        x = keras.layers.Permute((1, 3, 2), name="channels")(x)
    result = ARCHITECTURES[name].body(x, **settings)
    main, auxiliary = result if isinstance(result, tuple) else (result, [])
    scores, *others = (
        keras.layers.Dense(
            n_classes, activation=ACTIVATIONS[labels], dtype="float32", name=layer_name
        )(x)
        for x, layer_name in [(main, "scores")]
        + [(x, f"auxiliary_{i}") for i, x in enumerate(auxiliary, start=1)]
    )
    model = keras.Model(inputs, scores, name=name)
    model.auxiliary_scores = others
    return model


def training_outputs(model: keras.Model) -> list[KerasTensor]:
    """Scores of a model's auxiliary heads, which take part in training alone.

    They are computed from layers of the model: ``keras.Model(model.input, [model.output,
    *training_outputs(model)])`` trains the same weights. A model file does not keep them.

    Parameters
    ----------
    model : keras.Model
        As :func:`build` made it.

    Returns
    -------
    list of KerasTensor [shape=(clips, n_classes), dtype=float32]
        From the deepest layer to the first; empty for a network without auxiliary heads, and for a
        model that was loaded from a file.

    Examples
    --------
    >>> model = build("cnn", (None, 16), 5, labels="multi", normalization="min-max",
    ...               network={"size": "tiny", "auxiliary": True})
    >>> len(training_outputs(model))
    3
    """
    return list(getattr(model, "auxiliary_scores", ()))


def _shape_problems(name: str, shape: tuple[int | None, ...], channels: int) -> list[str]:
    least, any_length = ARCHITECTURES[name].least, ARCHITECTURES[name].any_length
    axes = _AXES[len(least)]
    found = f"input_shape is {shape}"
    needed = f"{name} takes ({', '.join(axes)}{',' if len(axes) == 1 else ''})"
    if len(shape) != len(least) and shape[len(least):] != (1,):
        return [f"{found}; {needed}"]
    if any_length and shape[:1] == (None,):
        shape = (least[0], *shape[1:])
    sizes = [n for n in shape if isinstance(n, int | np.integer)]
    if len(sizes) < len(shape):
        return [f"{found}; {needed} in whole numbers"]
    if channels > 1:
        if len(least) < 2 or sizes[1] % channels:
            return [f"{found}; it cannot be {channels} channels of the same width"]
        sizes[1] //= channels
    return [
        f"{found}; {name} needs at least {low} {axis}, not {n}"
        for n, low, axis in zip(sizes, least, axes, strict=False) if n < low
    ]
