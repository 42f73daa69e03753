"""lwlrap as a Keras metric, to watch it while a network trains.

:mod:`pipeline.scoring.metrics` is the reference, and what scores are reported from: float64, and it
refuses bad input. This one agrees with it whatever the batches are, as it sums over labels.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="audio_tagging")
class Lwlrap(keras.metrics.Metric):
    """Label-weighted label-ranking average precision, 0 to 1; higher is better.

    The mean over all labels of all clips of: true labels that score at least as high as this one,
    over all classes that do. So tied classes get the worst rank of the tie, as in scikit-learn's
    ``label_ranking_average_precision_score``, and clips without a label count for nothing. NaN
    among the scores of a clip makes the result NaN; before the first label the result is 0.

    Parameters
    ----------
    name : str
    dtype : str, optional
        Of the two sums; ``keras.config.floatx()`` unless given. Scores are compared in their own.

    Notes
    -----
    Comparing all pairs of classes takes a few arrays of batch * classes**2 numbers, each 1.6 MB for
    64 clips and 80 classes. A soft target (mixup, label smoothing) is a label from 0.5 on.
    """

    def __init__(self, name: str = "lwlrap", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable(
            shape=(), initializer="zeros", dtype=self.dtype, name="total"
        )
        self.count = self.add_variable(
            shape=(), initializer="zeros", dtype=self.dtype, name="count"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Parameters
        ----------
        y_true : tensor [shape=(clips, classes)]
        y_pred : tensor [shape=(clips, classes)]
        sample_weight : tensor [shape=(clips,) or (clips, 1)], optional
            How often each clip counts.
        """
        scores = ops.convert_to_tensor(y_pred)
        true = ops.cast(y_true, self.dtype) >= 0.5
        # [:, i, k]: class k ranks before class i, or is tied with it, or is it
        before = ops.expand_dims(scores, 1) >= ops.expand_dims(scores, 2)
        rank = ops.sum(ops.cast(before, self.dtype), axis=2)
        hits = ops.sum(ops.cast(before & ops.expand_dims(true, 1), self.dtype), axis=2)
        # NaN compares false with everything, itself too: it must not pass for a good rank.
        broken = ops.any(ops.isnan(scores), axis=1, keepdims=True)
        precision = ops.where(broken, float("nan"), hits / ops.maximum(rank, 1))
        weight = ops.cast(true, self.dtype)
        if sample_weight is not None:
            weight *= ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        self.total.assign_add(ops.sum(precision * weight))
        self.count.assign_add(ops.sum(weight))

    def result(self) -> Any:
        """The lwlrap of all batches since the last reset, a scalar tensor."""
        return ops.divide_no_nan(self.total, self.count)
