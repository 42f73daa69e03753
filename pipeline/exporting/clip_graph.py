"""From the waveform of one clip to its scores, in a TensorFlow graph: what ``predict`` does.

The crops are those of :func:`pipeline.batching.crops.covering_crops`, padded as
:mod:`pipeline.batching.batches` does, scores are averaged over them, and over the folds as
:func:`pipeline.scoring.means.mean_over_folds` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from features.base import Feature
from pipeline.exporting.exported_model import INPUT, OUTPUT
from pipeline.exporting.feature_graphs import as_stored, make_graph
from pipeline.scoring.means import FLOOR


class ClipTagger(tf.Module):
    """The graph of an exported model.

    Parameters
    ----------
    feature : Feature
        With its settings, as the networks were trained on it.
    networks : sequence of keras.Model
        Of each fold; from crops [shape=(n, n_frames, ...)] to scores [shape=(n, n_classes)].
    n_frames : int
        Frames per crop.
    pad : {"silence", "repeat"}
    single : bool
        Whether each clip has exactly one label.
    """

    def __init__(
        self, feature: Feature, networks: Sequence[Any], *, n_frames: int, pad: str, single: bool
    ) -> None:
        super().__init__()
        self._feature, self._graph = feature, make_graph(feature)
        self._networks = list(networks)
        self._n_frames, self._pad, self._single = n_frames, pad, single

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name=INPUT)])
    def tag(self, waveform: Any) -> dict[str, Any]:
        """From samples [shape=(n,)] to scores [shape=(n_classes,)]."""
        frames = as_stored(self._graph.frames(waveform), self._feature.dtype)
        crops = self._crops(frames)
        folds = [tf.reduce_mean(network(crops, training=False), axis=0)
                 for network in self._networks]
        return {OUTPUT: self._mean(folds)}

    def _crops(self, frames: Any) -> Any:
        """The crops that cover the clip. [shape=(n_crops, n_frames, ...)]"""
        n, length = self._n_frames, tf.shape(frames)[0]
        missing = tf.maximum(n - length, 0)
        before = (missing + 1) // 2
        if self._pad == "silence":
            silent, shape = self._graph.silent_frame(frames), frames.shape[1:]
            frames = tf.concat([tf.zeros([before, *shape]) + silent, frames,
                                tf.zeros([missing - before, *shape]) + silent], axis=0)
            before = 0
        count = tf.maximum((length + n - 1) // n, 1)
        gaps, spare = tf.maximum(count - 1, 1), tf.maximum(length - n, 0)
        nth = tf.range(count)
        # nth * spare // gaps, without a product that could exceed int32.
        first = nth * (spare // gaps) + nth * (spare % gaps) // gaps - before
        rows = tf.expand_dims(first, 1) + tf.expand_dims(tf.range(n), 0)
        if self._pad == "repeat":
            rows = tf.math.floormod(rows, length)
        crops = tf.gather(frames, rows)
        return tf.ensure_shape(crops, [None, n, *frames.shape[1:]])

    def _mean(self, folds: Sequence[Any]) -> Any:
        """The geometric mean over the folds, as :func:`pipeline.scoring.means.combine` has it."""
        if len(folds) == 1:
            return folds[0]
        floor = np.float32(np.log(FLOOR))
        logs = [tf.where(p > 0, tf.math.log(tf.where(p > 0, p, 1.0)), floor) for p in folds]
        # Where all folds give 0, so does the mean.
        any_positive = tf.reduce_max(tf.stack(folds), axis=0) > 0
        mean = tf.where(any_positive, tf.exp(tf.add_n(logs) / len(folds)), 0.0)
        if not self._single:
            return mean
        total = tf.reduce_sum(mean)
        return tf.where(total > 0, mean / tf.where(total > 0, total, 1.0), mean)
