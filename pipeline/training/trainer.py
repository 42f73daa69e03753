"""Train a network with augmented crops, a loss per clip, further heads and averaged weights.

The network knows nothing of it and is what a model file holds. :class:`Trainer` wraps it while it
trains: augmentation runs in the graph of a training step, before the network; curated and noisy
clips may have losses, and outputs, of their own; auxiliary heads help the first layers to learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from models.build import training_outputs
from models.metrics import Lwlrap
from models.snapshots import mean_of_snapshots

# Keys of a batch.
BATCH = ("features", "targets", "noisy")

# Of the auxiliary heads' losses, from the deepest head to the first.
AUXILIARY_WEIGHTS = (0.4, 0.2, 0.1)


class Trainer(keras.Model):
    """A network and everything that only its training needs.

    A batch for :meth:`fit` is one dictionary: ``features`` [shape=(b, \\*crop_shape)], ``targets``
    [shape=(b, n_classes)] and ``noisy`` [shape=(b,)], 1 for noisy clips and 0 for curated ones, or
    between for mixtures of both.

    The loss of a clip is ``(1 - noisy) * loss + noisy * noisy_loss``; the loss of a batch is the
    mean over its clips, plus that of each auxiliary head times its weight
    (:data:`AUXILIARY_WEIGHTS`). With a noisy head, noisy clips are held against its scores.

    Parameters
    ----------
    network : keras.Model
        As :func:`models.build.build` made it.
    augmentation : sequence of keras.Layer
        Applied one after the other in training.
    loss : keras.losses.Loss
        Of curated clips; its ``call`` returns the loss of each clip.
    noisy_loss : keras.losses.Loss
        Of noisy clips.
    noisy_head : bool
        Whether noisy clips have an output layer of their own.
    averaging : dict
        ``{"kind": "none"}``; ``ema`` with `momentum`; ``swa``, or ``snapshots`` with `last`, whose
        epochs :meth:`average_epoch` adds.
    metrics : sequence of keras.metrics.Metric
        On the augmented crops.
    """

    def __init__(
        self, network: keras.Model, *, augmentation: Sequence[keras.Layer] = (),
        loss: keras.losses.Loss, noisy_loss: keras.losses.Loss, noisy_head: bool = False,
        averaging: dict[str, Any], metrics: Sequence[keras.metrics.Metric] = (),
    ) -> None:
        super().__init__(name="trainer")
        self.network = network
        self.augmentation = list(augmentation)
        self.curated_loss, self.noisy_loss = loss, noisy_loss
        self.clip_metrics = list(metrics)
        outputs = [network.output, *training_outputs(network)]
        if noisy_head:
            scores = network.get_layer("scores")
            head = keras.layers.Dense(scores.units, activation=scores.activation, dtype="float32",
                                      name="noisy_scores")
            outputs.append(head(scores.input))
        self.noisy_head = noisy_head
        self.whole = keras.Model(network.input, outputs) if len(outputs) > 1 else network
        self._averaging, self._momentum = averaging["kind"], averaging.get("momentum")
        averaged: list[keras.Variable] = []
        if self._averaging == "snapshots":
            averaged = network.weights * averaging["last"]  # one set after the other
        elif self._averaging != "none":
            averaged = self._averaged
        self._averages = [
            self.add_weight(shape=v.shape, dtype="float32", trainable=False, initializer="zeros",
                            name=f"average_{i}")
            for i, v in enumerate(averaged)
        ]
        self._n_averaged = self.add_weight(
            shape=(), dtype="float32", trainable=False, initializer="zeros", name="n_averaged")
        self.built = True

    @property
    def _averaged(self) -> list[keras.Variable]:
        """What averages are made of: weights, and the moving averages of batch normalization."""
        return [v for v in self.network.variables if v.dtype == "float32"]

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> dict[str, Any]:
        """Augment a batch in training, and score it: ``targets``, ``noisy`` and a list ``scores``.

        The scores are the network's, those of auxiliary heads, then those of the noisy head.
        """
        batch = dict(inputs)
        for layer in self.augmentation:
            batch = layer(batch, training=training)
        scores = self.whole(batch["features"], training=training)
        return {**batch, "scores": scores if isinstance(scores, list) else [scores]}

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the mean loss of a batch, or a replica's share of it, a scalar.

        Keras calls it with what :meth:`call` gave.
        """
        targets, noisy, scores = y_pred["targets"], y_pred["noisy"], list(y_pred["scores"])
        of_noisy = scores.pop() if self.noisy_head else scores[0]
        total = self._mean_loss(targets, noisy, scores[0], of_noisy)
        for weight, auxiliary in zip(AUXILIARY_WEIGHTS, scores[1:], strict=False):
            total += weight * self._mean_loss(targets, noisy, auxiliary, auxiliary)
        for penalty in self.network.losses:
            total += ops.cast(penalty, "float32")
        # Gradients are summed over replicas; Keras multiplies what it shows by their number.
        return total / tf.distribute.get_strategy().num_replicas_in_sync

    def _mean_loss(self, targets: Any, noisy: Any, scores: Any, of_noisy: Any) -> Any:
        losses = self.curated_loss.call(targets, scores)
        if of_noisy is not scores or self.noisy_loss is not self.curated_loss:
            others = self.noisy_loss.call(targets, of_noisy)
            losses = (1 - noisy) * losses + noisy * others
        # As Keras' own reduction.
        return ops.sum(losses) / ops.cast(ops.shape(losses)[0], losses.dtype)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the metrics with the network's scores of the augmented crops."""
        for metric in self.clip_metrics:
            metric.update_state(y_pred["targets"], y_pred["scores"][0])
        return self.get_metrics_result()

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on a batch, and move the moving average of the weights."""
        logs = super().train_step(data)
        if self._averaging == "ema":
            # The average of the first few steps is the plain mean, nearly: the initial weights,
            # which are random, would stay in it for long.
            n = self._n_averaged
            keep = ops.minimum(self._momentum, n / (n + 9))
            self._move_averages(1 - keep)
        return logs

    def average_epoch(self) -> None:
        """Add the weights to the mean over ends of epochs (``swa``), or keep them (``snapshots``).
        """
        if self._averaging != "snapshots":
            self._move_averages(1 / (self._n_averaged + 1))
            return
        weights = self.network.weights
        first = int(ops.convert_to_numpy(self._n_averaged)) * len(weights)
        for kept, variable in zip(self._averages[first:first + len(weights)], weights,
                                  strict=True):
            kept.assign(variable)
        self._n_averaged.assign_add(1)

    def _move_averages(self, step: Any) -> None:
        for average, variable in zip(self._averages, self._averaged, strict=True):
            average.assign_add(step * (ops.cast(variable, "float32") - average))
        self._n_averaged.assign_add(1)

    @contextmanager
    def averaged(self) -> Iterator[keras.Model]:
        """Yield the network with its averaged weights, if there are any; they are put back.

        Of ``snapshots``, once all are there, yield a model that averages their scores.
        """
        n_averaged = int(ops.convert_to_numpy(self._n_averaged))
        if self._averaging == "snapshots":
            n = len(self.network.weights)
            sets = [self._averages[i:i + n] for i in range(0, len(self._averages), n)]
            is_complete = n_averaged == len(sets)
            yield mean_of_snapshots(self.network, sets) if is_complete else self.network
            return
        if not self._averages or not n_averaged:
            yield self.network
            return
        own = [ops.convert_to_numpy(v) for v in self._averaged]
        for variable, average in zip(self._averaged, self._averages, strict=True):
            variable.assign(average)
        try:
            yield self.network
        finally:
            for variable, value in zip(self._averaged, own, strict=True):
                variable.assign(value)


def metrics_for(labels: str) -> list[keras.metrics.Metric]:
    """Metrics to watch: lwlrap, and accuracy for one label per clip."""
    accuracy = [keras.metrics.CategoricalAccuracy(name="accuracy")] if labels == "single" else []
    return [*accuracy, Lwlrap()]
