"""The first layers of every model: what a crop goes through before it meets a weight.

They are part of the saved model, so a model file says for itself how its input is scaled. Both
compute in float32 under any dtype policy: an MFCC of -600 has steps of 0.5 in float16.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

# In (clip, time, feature) and (clip, time, feature, channel); a wave has one feature.
FEATURE_AXIS = 2


def standardization(
    mean: ArrayLike | None, variance: ArrayLike | None, n_features: int
) -> keras.layers.Normalization:
    """``(x - mean) / sqrt(variance)`` for each feature, as Keras's own layer.

    A feature that is constant up to float32 rounding is only centred (scikit-learn's
    StandardScaler does the same): dividing by its rounding noise would make the noise a feature.

    Parameters
    ----------
    mean, variance : array-like [shape=(n_features,)], or a number where `n_features` is 1
        Of the training data, in the unit of the features.
    n_features : int > 0 [scalar]
        Coefficients or bands a frame; 1 for raw waves.

    Raises
    ------
    ValueError
        With all that is wrong: missing, of another shape, not finite, a negative variance.
    """
    problems = _moment_problems("mean", mean, n_features)
    problems += _moment_problems("variance", variance, n_features)
    if problems:
        raise ValueError("\n".join(problems))
    means = np.atleast_1d(np.asarray(mean, np.float64))
    variances = np.atleast_1d(np.asarray(variance, np.float64))
    constant = variances <= (np.finfo(np.float32).eps * means) ** 2
    variances = np.where(constant, 1.0, variances)
    return keras.layers.Normalization(
        axis=FEATURE_AXIS, mean=means, variance=variances, dtype="float32", name="standardize"
    )


def _moment_problems(name: str, values: ArrayLike | None, n_features: int) -> list[str]:
    if values is None:
        return [f"{name} is missing; standardizing needs it"]
    array = np.asarray(values)
    if array.shape != (n_features,) and not (array.shape == () and n_features == 1):
        return [f"{name} has shape {array.shape}; needs {(n_features,)}"]
    if array.dtype.kind not in "iuf":
        return [f"{name} has dtype {array.dtype}; needs real numbers"]
    bad = ~np.isfinite(array) | (array < 0 if name == "variance" else False)
    if not bad.any():
        return []
    first = int(np.flatnonzero(bad)[0])
    needed = "0 or more" if name == "variance" else "a finite number"
    return [f"{name} of feature {first} is {array.flat[first]}; needs {needed}"]


@keras.saving.register_keras_serializable(package="audio_tagging")
class MinMaxCentring(keras.layers.Layer):
    """``(x - min) / (max - min + 1e-6) - 0.5`` of each crop by itself: -0.5 to 0.5.

    ``audio_norm`` of the notebook that :mod:`models.networks.notebook` names. A constant crop,
    silence among them, becomes -0.5 throughout. It makes the level of a recording irrelevant, and
    a single click can set the scale of a whole crop.

    Input and output have the same shape [(clips, ...)]; the output is float32.
    """

    def __init__(self, *, name: str = "min_max_centring", **kwargs: Any) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})

    def call(self, inputs: Any) -> Any:
        axes = tuple(range(1, len(inputs.shape)))
        low = ops.min(inputs, axis=axes, keepdims=True)
        high = ops.max(inputs, axis=axes, keepdims=True)
        return (inputs - low) / (high - low + 1e-6) - 0.5

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape
