"""Several snapshots of a network as one model, whose scores are the mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from numpy.typing import ArrayLike


def mean_of_snapshots(
    network: keras.Model, snapshots: Sequence[Sequence[ArrayLike]]
) -> keras.Model:
    """Make one model of several sets of weights of a network: it averages their scores.

    Weights of different minima cannot be averaged, but scores can (Huang et al., "Snapshot
    Ensembles: Train 1, get M for free", ICLR 2017). The model is an ordinary one: whatever loads,
    scores or exports the network takes it, at the price of as many passes as there are snapshots.

    Parameters
    ----------
    network : keras.Model
        As :func:`models.build.build` made it; it stays as it is.
    snapshots : sequence of sequence of array-like
        At least two; each the weights of the network, in the order of ``network.weights``.

    Returns
    -------
    keras.Model [input (clips, ...), output (clips, n_classes) float32]
        Not compiled. It has copies of the network's layers, under the names ``snapshot_1`` and
        so on.

    Raises
    ------
    ValueError
        If there are fewer than two snapshots, or one does not have the shapes of the weights.

    Examples
    --------
    >>> inputs = keras.Input((2,))
    >>> network = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
    >>> model = mean_of_snapshots(network, [[[[1], [2]]], [[[3], [4]]]])
    >>> model(keras.ops.ones((1, 2))).numpy()
    array([[5.]], dtype=float32)
    """
    if len(snapshots) < 2:
        raise ValueError(f"snapshots has {len(snapshots)}; needs at least 2")
    inputs = keras.Input(network.input_shape[1:], name=network.inputs[0].name)
    copies = []
    for number, weights in enumerate(snapshots, start=1):
        config = {**network.get_config(), "name": f"snapshot_{number}"}
        copy = type(network).from_config(config)
        copy.set_weights([keras.ops.convert_to_numpy(each) for each in weights])
        copies.append(copy)
    scores = keras.layers.Average(dtype="float32", name="scores")(
        [copy(inputs) for copy in copies])
    return keras.Model(inputs, scores, name=network.name)
