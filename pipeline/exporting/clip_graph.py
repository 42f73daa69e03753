"""From the waveform of one clip to its scores, in a TensorFlow graph: what ``predict`` does.

The crops are those of :func:`pipeline.batching.crops.covering_crops`, padded as
:mod:`pipeline.batching.batches` does, scores are averaged over them, and over the folds as
:func:`pipeline.ensembling.means.mean_over_folds` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from features.base import Feature
from pipeline.batching.crops import hop_frames
from pipeline.ensembling.means import FLOOR
from pipeline.exporting.exported_model import INPUT, OUTPUT
from pipeline.exporting.feature_graphs import as_stored, make_graph

# Crops at a time. Those of all of an hour would take gigabytes in a network's first layers.
_BATCH = 16


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
    overlap : float
        Least share of a crop that the next one has too.
    """

    def __init__(
        self, feature: Feature, networks: Sequence[Any], *, n_frames: int, pad: str, single: bool,
        overlap: float = 0.0,
    ) -> None:
        super().__init__()
        self._feature, self._graph = feature, make_graph(feature)
        self._networks = list(networks)
        self._n_frames, self._pad, self._single = n_frames, pad, single
        self._hop = int(hop_frames(np.array([n_frames]), overlap)[0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name=INPUT)], autograph=False)
    def tag(self, waveform: Any) -> dict[str, Any]:
        """From samples [shape=(n,)] to scores [shape=(n_classes,)]."""
        frames = as_stored(self._graph.frames(waveform), self._feature.dtype)
        frames, rows = self._crops(frames)
        n_crops = tf.shape(rows)[0]

        def add_batch(first: Any, totals: Any) -> tuple[Any, Any]:
            crops = tf.gather(frames, rows[first:tf.minimum(first + _BATCH, n_crops)])
            crops = tf.reshape(crops, [-1, self._n_frames, *frames.shape[1:]])
            scores = [tf.reduce_sum(network(crops, training=False), axis=0)
                      for network in self._networks]
            return first + _BATCH, totals + tf.stack(scores)

        shape = len(self._networks), self._networks[0].output_shape[1]
        _, totals = tf.while_loop(lambda first, totals: first < n_crops, add_batch,
                                  [tf.constant(0), tf.zeros(shape)])
        return {OUTPUT: self._mean(totals / tf.cast(n_crops, tf.float32))}

    def _crops(self, frames: Any) -> tuple[Any, Any]:
        """The crops that cover the clip: its frames, padded, and those of each crop by index.

        [shape=(n, ...) and (n_crops, n_frames)]
        """
        n, length = self._n_frames, tf.shape(frames)[0]
        missing = tf.maximum(n - length, 0)
        before = (missing + 1) // 2
        spare = tf.maximum(length - n, 0)
        count = 1 + (spare + self._hop - 1) // self._hop
        gaps = tf.maximum(count - 1, 1)
        nth = tf.range(count)
        # nth * spare // gaps, without a product that could exceed int32.
        first = nth * (spare // gaps) + nth * (spare % gaps) // gaps
        rows = tf.expand_dims(first, 1) + tf.expand_dims(tf.range(n), 0)
        if self._pad == "repeat":
            return frames, tf.math.floormod(rows - before, length)
        silent, shape = self._graph.silent_frame(frames), frames.shape[1:]
        padded = [tf.zeros([before, *shape]) + silent, frames,
                  tf.zeros([missing - before, *shape]) + silent]
        return tf.concat(padded, axis=0), rows

    def _mean(self, folds: Any) -> Any:
        """The geometric mean over the folds, as :func:`pipeline.ensembling.means.combine` has it.

        Scores below 1e-38, which runtimes round to 0, count as such.
        """
        if folds.shape[0] == 1:
            return folds[0]
        positive = folds > 0
        logs = tf.where(positive, tf.math.log(tf.where(positive, folds, 1.0)), np.log(FLOOR))
        mean = tf.exp(tf.reduce_mean(logs, axis=0))
        # Where all folds give 0, so does the mean.
        mean = tf.where(tf.reduce_max(folds, axis=0) > 0, mean, 0.0)
        if not self._single:
            return mean
        total = tf.reduce_sum(mean)
        return tf.where(total > 0, mean / tf.where(total > 0, total, 1.0), mean)
