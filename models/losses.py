"""Losses of scores from 0 to 1 against targets from 0 to 1, and the one that settings ask for.

Every loss takes targets and scores [shape=(clips, classes)], and its ``call`` returns the loss of
each clip [shape=(clips,), dtype=float32]. For one label per clip, cross-entropies are categorical;
for any number they are the mean over classes of binary ones. Scores are kept 1e-7 away from 0 and
1, like Keras does, so that no logarithm is infinite.

The settings, their defaults and bounds are in :data:`models.loss_options.LOSSES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from models.loss_options import LOSSES

EPSILON = 1e-7


class _ClipLoss(keras.losses.Loss):
    """What the losses of this module share: labels, float32, and their configuration.

    Parameters
    ----------
    labels : {"single", "multi"}
        One label per clip, or any number.
    reduction : str
    name : str, optional
    dtype : str, optional
    **settings : float
        Those of the loss.
    """

    def __init__(
        self, *, labels: str, reduction: str = "sum_over_batch_size", name: str | None = None,
        dtype: Any = None, **settings: float,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.labels, self.settings = labels, settings

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each clip [shape=(clips,), dtype=float32]."""
        scores = ops.clip(ops.cast(y_pred, "float32"), EPSILON, 1 - EPSILON)
        return self._of_clips(ops.cast(y_true, "float32"), scores)

    def _of_clips(self, targets: Any, scores: Any) -> Any:
        """Return the loss of each clip; the scores are neither 0 nor 1."""
        raise NotImplementedError

    def _cross_entropy(self, targets: Any, log_scores: Any, log_others: Any) -> Any:
        """Cross-entropy by logarithms of scores, and for several labels of 1 - scores."""
        if self.labels == "single":
            return -ops.sum(targets * log_scores, axis=-1)
        return -ops.mean(targets * log_scores + (1 - targets) * log_others, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the loss again."""
        return {**super().get_config(), "labels": self.labels, **self.settings}


@keras.saving.register_keras_serializable(package="audio_tagging")
class Lsep(_ClipLoss):
    """Log-sum-exp pairwise loss: every label should score above every other class.

    ``log(1 + sum over v, u of exp(f[v] - f[u]))``, where u runs over the clip's labels (targets of
    0.5 or more), v over the other classes, and f is the output before its activation: the score's
    logit or, of one label per clip, its logarithm, as only differences count. 0 for a clip without
    a label, or with all of them. Li, Song & Luo, "Improving Pairwise Ranking for Multi-label Image
    Classification", CVPR 2017.

    Examples
    --------
    >>> loss = Lsep(labels="multi")
    >>> round(float(loss([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    def _of_clips(self, targets: Any, scores: Any) -> Any:
        """Return the loss of each clip."""
        outputs = ops.log(scores)
        if self.labels == "multi":
            outputs -= ops.log(1 - scores)
        label = targets >= 0.5
        # The sum over pairs is a product of two sums. A finite number stands for log(0), whose
        # gradient would be NaN.
        others = ops.logsumexp(ops.where(label, -1e9, outputs), axis=-1)
        labels = ops.logsumexp(ops.where(label, -outputs, -1e9), axis=-1)
        return ops.softplus(others + labels)


@keras.saving.register_keras_serializable(package="audio_tagging")
class Lsoft(_ClipLoss):
    """Soft bootstrapping: cross-entropy against ``beta * target + (1 - beta) * score``.

    Predictions take part in what is true, so that a wrong label weighs less. The gradient goes
    through both scores. Reed et al., "Training Deep Neural Networks on Noisy Labels with
    Bootstrapping", ICLR workshop 2015; Fonseca et al., "Learning Sound Event Classifiers from Web
    Audio with Noisy Labels", ICASSP 2019.

    Examples
    --------
    >>> loss = Lsoft(labels="single", beta=0.7)
    >>> round(float(loss([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    def _of_clips(self, targets: Any, scores: Any) -> Any:
        """Return the loss of each clip."""
        beta = self.settings["beta"]
        targets = beta * targets + (1 - beta) * scores
        return self._cross_entropy(targets, ops.log(scores), ops.log(1 - scores))


@keras.saving.register_keras_serializable(package="audio_tagging")
class SymmetricCrossEntropy(_ClipLoss):
    """``alpha`` times cross-entropy plus ``beta`` times the reverse one.

    In the reverse one scores and targets change places, and `log_zero` stands for log(0). Wang et
    al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", ICCV 2019.

    Examples
    --------
    >>> loss = SymmetricCrossEntropy(labels="single", alpha=1.0, beta=0.0, log_zero=-4.0)
    >>> round(float(loss([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    def _of_clips(self, targets: Any, scores: Any) -> Any:
        """Return the loss of each clip."""
        forward = self._cross_entropy(targets, ops.log(scores), ops.log(1 - scores))
        least = math.exp(self.settings["log_zero"])
        backward = self._cross_entropy(
            scores, ops.log(ops.maximum(targets, least)), ops.log(ops.maximum(1 - targets, least))
        )
        return self.settings["alpha"] * forward + self.settings["beta"] * backward


@keras.saving.register_keras_serializable(package="audio_tagging")
class MaskedCrossEntropy(_ClipLoss):
    """Cross-entropy, 0 for clips whose loss is above `share` of the batch's largest.

    What is classified worst is likely labelled wrong. The largest is that of the clips which are
    given together; a clip alone always has it, and counts for nothing unless `share` is 1. Jeong &
    Lim, "Audio Tagging System Using Densely Connected Convolutional Networks", DCASE 2018.

    Examples
    --------
    >>> loss = MaskedCrossEntropy(labels="single", share=0.8)
    >>> round(float(loss([[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5], [0.9, 0.1]])), 4)
    0.3466
    """

    def _of_clips(self, targets: Any, scores: Any) -> Any:
        """Return the loss of each clip."""
        losses = self._cross_entropy(targets, ops.log(scores), ops.log(1 - scores))
        kept = losses <= self.settings["share"] * ops.max(losses)
        return ops.where(kept, losses, 0.0)


def _plain(labels: str, **settings: float) -> keras.losses.Loss:
    if labels == "single":
        return keras.losses.CategoricalCrossentropy(**settings)
    return keras.losses.BinaryCrossentropy(**settings)


def _focal(labels: str, **settings: float) -> keras.losses.Loss:
    if labels == "single":
        # Keras would weigh all classes by 0.25.
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, **settings)
    return keras.losses.BinaryFocalCrossentropy(**settings)


BUILDERS: dict[str, Callable[..., keras.losses.Loss]] = {
    "cross-entropy": _plain,
    "focal": _focal,
    "lsep": Lsep,
    "lsoft": Lsoft,
    "symmetric-cross-entropy": SymmetricCrossEntropy,
    "masked": MaskedCrossEntropy,
}


def make_loss(settings: Mapping[str, Any], *, labels: str) -> keras.losses.Loss:
    """Make a loss by its settings.

    Parameters
    ----------
    settings : mapping
        ``kind``, and settings of this kind, see :data:`models.loss_options.LOSSES`.
    labels : {"single", "multi"}
        One label per clip, or any number.

    Returns
    -------
    keras.losses.Loss
        Its ``call(targets, scores)`` returns the loss of each clip [shape=(clips,)].

    Raises
    ------
    ValueError
        With everything that is wrong.

    Examples
    --------
    >>> loss = make_loss({"kind": "symmetric-cross-entropy", "alpha": 0.5}, labels="single")
    >>> round(float(loss([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    2.3466
    """
    values, problems = LOSSES.check(settings)
    errors = [problem.line("loss") for problem in problems]
    if labels not in ("single", "multi"):
        errors.append(f"labels is {labels!r}; known: single, multi")
    if errors:
        raise ValueError("\n".join(errors))
    kind = values.pop("kind")
    return BUILDERS[kind](labels=labels, **values)
