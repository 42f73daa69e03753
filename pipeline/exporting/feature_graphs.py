"""Features in a TensorFlow graph: for each kind what its class in ``features/`` computes.

A new kind that is to be exported needs a class here and its line in :data:`GRAPHS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from features.base import Feature
from features.delta import Delta
from features.kernels.reference import AMIN
from features.logmel import LogMel
from features.mfcc import Mfcc, dct_basis
from features.pcen import Pcen
from features.signal.melspectrogram import mel_of
from features.waveform import Waveform
from pipeline.exporting.mel_graph import MelPower
from pipeline.runtime.errors import UsageError

_DB = 10 / np.log(10)
# Bands that are clipped at most so far below the loudest need no third slice.
_CLIPPED_DB = 80.0


class WaveformGraph(tf.Module):
    """The samples."""

    def __init__(self, feature: Waveform) -> None:
        super().__init__()

    def frames(self, y: Any) -> Any:
        """From samples [shape=(n,)] to frames [shape=(n,)]."""
        return y

    def silent_frame(self, frames: Any) -> Any:
        """What pads short clips. [shape=()]"""
        return tf.zeros([], tf.float32)


class LogMelGraph(tf.Module):
    """Mel power in decibels, clipped at `top_db` below the clip's maximum."""

    def __init__(self, feature: LogMel | Mfcc) -> None:
        super().__init__()
        self._width, self._top_db = feature.n_mels, feature.top_db
        clipped = feature.top_db is not None and feature.top_db <= _CLIPPED_DB
        self._power = MelPower(mel_of(feature), n_slices=2 if clipped else 3)

    def frames(self, y: Any) -> Any:
        """From samples [shape=(n,)] to frames [shape=(n_frames, n_mels)]."""
        db = tf.math.log(tf.maximum(self._power(y), AMIN)) * _DB
        return db if self._top_db is None else tf.maximum(db, tf.reduce_max(db) - self._top_db)

    def silence_level(self, loudest: Any) -> Any:
        """:func:`features.logmel.silence_level`. [shape=()]"""
        floor = tf.constant(10 * np.log10(AMIN), tf.float32)
        return floor if self._top_db is None else tf.maximum(floor, loudest - self._top_db)

    def silent_frame(self, frames: Any) -> Any:
        """What pads short clips. [shape=(n_mels,)]"""
        return tf.fill([self._width], self.silence_level(tf.reduce_max(frames)))


class MfccGraph(tf.Module):
    """The first vectors of a DCT-II of log-mel frames."""

    def __init__(self, feature: Mfcc) -> None:
        super().__init__()
        self._log_mel, self._width = LogMelGraph(feature), feature.width
        self._n_mels = feature.n_mels
        self._basis = dct_basis(feature.n_mels, feature.n_mfcc).astype(np.float32)

    def frames(self, y: Any) -> Any:
        """From samples [shape=(n,)] to frames [shape=(n_frames, n_mfcc)]."""
        db = self._log_mel.frames(y)
        # The 0th coefficient is near -900, where float32's sums are off by 1e-3. Only the deviation
        # from the frame's mean is summed; a constant has a 0th coefficient alone.
        mean = tf.reduce_mean(db, axis=1, keepdims=True)
        return tf.matmul(db - mean, self._basis) + mean * self._of_level

    @property
    def _of_level(self) -> Any:
        """The frame of a level of 1 dB in all bands. [shape=(n_mfcc,)]"""
        frame = np.zeros(self._width, np.float32)
        frame[0] = np.sqrt(self._n_mels)
        return frame

    def silent_frame(self, frames: Any) -> Any:
        """What pads short clips, see :meth:`features.mfcc.Mfcc.silent_frame`. [shape=(n_mfcc,)]"""
        loudest = tf.reduce_max(tf.matmul(frames, self._basis.T))
        quietest = tf.reduce_min(frames[:, :1]) / np.float32(np.sqrt(self._n_mels))
        return tf.minimum(self._log_mel.silence_level(loudest), quietest) * self._of_level


class PcenGraph(tf.Module):
    """Mel power normalized by its own smoothed level."""

    def __init__(self, feature: Pcen) -> None:
        super().__init__()
        self._feature = feature
        self._power = MelPower(mel_of(feature), n_slices=3)
        # The recursive filter's response, until it is 1e-12 of its first value.
        b = feature.smoothing
        n = int(np.ceil(np.log(1e-12) / np.log1p(-b))) + 1
        self._response = (b * (1 - b) ** np.arange(n)).astype(np.float32)
        self._log_decay = np.float32(np.log1p(-b))

    def frames(self, y: Any) -> Any:
        """From samples [shape=(n,)] to frames [shape=(n_frames, n_mels)]."""
        f = self._feature
        power = self._power(y) * np.float32(f.scale)
        smoothed = _filtered(power, self._response[::-1], before=len(self._response) - 1)
        # As if the power had been 1 before the clip.
        time = tf.cast(tf.range(tf.shape(power)[0]), tf.float32)
        smoothed += tf.expand_dims(tf.exp((time + 1) * self._log_decay), 1)
        gain = tf.exp(-f.gain * tf.math.log(smoothed + f.eps))
        if f.power == 0:
            return tf.math.log(1 + power * gain)
        if f.bias == 0:
            return (power * gain) ** f.power
        return (power * gain + f.bias) ** f.power - f.bias ** f.power

    def silent_frame(self, frames: Any) -> Any:
        """What pads short clips. [shape=(n_mels,)]"""
        return tf.zeros([self._feature.width])


class DeltaGraph(tf.Module):
    """Frames with their deltas behind them: Savitzky-Golay filters, as in ``features.delta``."""

    def __init__(self, feature: Delta) -> None:
        from scipy.signal import savgol_filter

        super().__init__()
        self._of, self._feature = make_graph(feature.of), feature
        n, orders = feature.n_context, range(1, feature.order + 1)
        # What the filters make of each single frame is what they are.
        self._whole = [
            savgol_filter(np.eye(n), n, deriv=k, polyorder=k, axis=0).astype(np.float32)
            for k in orders
        ]

    def frames(self, y: Any) -> Any:
        """From samples [shape=(n,)] to frames [shape=(n_frames, width)]."""
        of, n = self._of.frames(y), self._feature.n_context
        half, length = n // 2, tf.shape(of)[0]
        time = tf.range(length)
        padded = tf.gather(of, tf.clip_by_value(tf.range(length + 2 * half) - half, 0, length - 1))
        context = tf.range(n)
        first = tf.gather(of, tf.minimum(context, length - 1))
        last = tf.gather(of, tf.maximum(length - n + context, 0))
        enough = length >= n
        at_start = tf.expand_dims(tf.logical_and(enough, time < half), 1)
        at_end = tf.expand_dims(tf.logical_and(enough, time >= length - half), 1)
        images = [of]
        for whole in self._whole:
            inside = _filtered(padded, whole[half])
            start = tf.gather(tf.matmul(whole[:half], first), tf.minimum(time, half - 1))
            end = tf.gather(tf.matmul(whole[half + 1:], last),
                            tf.clip_by_value(time - (length - half), 0, half - 1))
            images.append(tf.where(at_start, start, tf.where(at_end, end, inside)))
        return tf.concat(images, axis=1)

    def silent_frame(self, frames: Any) -> Any:
        """What pads short clips. [shape=(width,)]"""
        width = self._feature.of.width
        silent = self._of.silent_frame(frames[:, :width])
        return tf.concat([silent, tf.zeros([self._feature.order * width])], axis=0)


def _filtered(frames: Any, weights: Any, before: int = 0) -> Any:
    """Weighted sums of consecutive frames [shape=(n, width)], with `before` zeros before them."""
    image = tf.expand_dims(tf.expand_dims(tf.pad(frames, [[before, 0], [0, 0]]), 0), 3)
    kernel = np.reshape(weights, (-1, 1, 1, 1))
    return tf.squeeze(tf.nn.conv2d(image, kernel, strides=1, padding="VALID"), [0, 3])


GRAPHS: dict[type[Feature], Callable[[Any], Any]] = {
    Waveform: WaveformGraph, LogMel: LogMelGraph, Mfcc: MfccGraph, Pcen: PcenGraph,
    Delta: DeltaGraph,
}


def make_graph(feature: Feature) -> Any:
    """The graph of a feature, with its methods `frames` and `silent_frame`.

    Raises
    ------
    UsageError
        If there is none for features of this kind.
    """
    if type(feature) not in GRAPHS:
        known = ", ".join(kind.kind for kind in GRAPHS)
        raise UsageError(f"runs on features of kind {feature.kind} cannot be exported; on these "
                         f"they can: {known}")
    return GRAPHS[type(feature)](feature)


def as_stored(frames: Any, dtype: str) -> Any:
    """Round frames as a store of this dtype does; full scale of int16 is 32768."""
    if dtype == "int16":
        return tf.clip_by_value(tf.round(frames * 32768.0), -32768.0, 32767.0) / 32768.0
    return tf.cast(tf.cast(frames, tf.float16), tf.float32) if dtype == "float16" else frames
