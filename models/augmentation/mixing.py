"""Augmentations that combine a crop with another one of the batch, and their targets.

The other crop is the one a random number of places further on in the batch, never the crop itself
unless it is alone. Batches are in random order already, so any two crops may meet. Keras's MixUp
knows neither power nor noisy labels.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from models.augmentation.base import Augmentation
from models.augmentation.compatibility import FULL_SCALE

_NEPER = math.log(10) / 10  # of power, per decibel


class Mixing(Augmentation):
    """What augmentations of two crops share: the partner, and weighted means of both."""

    def partners(self, n_crops: Any) -> Any:
        """Index of each crop's partner [shape=(crops,), dtype=int32]."""
        n_crops = ops.cast(n_crops, "int32")
        others = ops.maximum(n_crops - 1, 1)
        shift = 1 + ops.cast(self.whole(others, ()), "int32")
        return (ops.arange(n_crops) + shift) % n_crops

    def mean(self, x: Any, other: Any, weight: Any) -> Any:
        """Weighted mean of two crops in the setting `domain`.

        ``power``: of 10**(dB / 10), back in dB. A mean of powers lies between them, so that the
        floor of a spectrogram is kept.

        Parameters
        ----------
        x, other : tensor [shape=(crops, frames, width)]
        weight : tensor, 0 to 1
            Of `x`; broadcast.
        """
        if self.settings.get("domain") != "power":
            return weight * x + (1 - weight) * other
        # A power of 1e-10, as in silence, is far from what float32 can hold, but not its log.
        # log(0) of a crop that does not count is minus infinity, which logaddexp leaves out.
        both = ops.logaddexp(_NEPER * x + ops.log(weight), _NEPER * other + ops.log(1 - weight))
        result = both / _NEPER
        return ops.clip(result, ops.minimum(x, other), ops.maximum(x, other))

    def combine(
        self, targets: Any, noisy: Any, partner: Any, weight: Any
    ) -> tuple[Any, Any]:
        """Targets and noisiness of mixed crops.

        Parameters
        ----------
        targets : tensor [shape=(crops, classes)]
        noisy : tensor [shape=(crops,)]
        partner : tensor [shape=(crops,), dtype=int32]
        weight : tensor [shape=(crops,)]
            Of the crop's own targets. With ``labels: or`` each class gets the larger of the two
            targets instead; noisiness is mixed by weight all the same.
        """
        others = ops.take(targets, partner, axis=0)
        if self.settings.get("labels") == "or":
            targets = ops.maximum(targets, others)
        else:
            share = ops.expand_dims(weight, -1)
            targets = share * targets + (1 - share) * others
        return targets, weight * noisy + (1 - weight) * ops.take(noisy, partner, axis=0)


@keras.saving.register_keras_serializable(package="audio_tagging")
class Mixup(Mixing):
    """Mixup: the weighted mean of two crops and of their targets (Zhang et al., ICLR 2018).

    Settings: `alpha` (> 0), both parameters of the Beta distribution of weights; ``weights:
    uniform`` draws from 0 to 1 instead. `domain`: means of the stored numbers (``feature``) or of
    powers (``power``, features in dB). `labels`: ``mix``, or ``or``, which keeps every label of
    both.

    With `levels` the weight is that of what is heard (Tokozume, Ushiku & Harada, ICLR 2018,
    between-class learning): a drawn weight r is the target's, and amplitudes are weighted p and
    1 - p, where p = 1 / (1 + 10**((G - G') / 20) * (1 - r) / r) makes up for the levels G and G' of
    the crops, and divided by sqrt(p**2 + (1 - p)**2). In power this is a mean with the weight
    p**2 / (p**2 + (1 - p)**2). The level is that of the loudest frame (dB), unlike there without
    A-weighting; of a wave it is the root mean square of the crop.
    """

    NAME = "mixup"

    def augment(self, x: Any, targets: Any, noisy: Any) -> tuple[Any, Any, Any]:
        """Mix every crop with its partner."""
        n_crops = ops.shape(x)[0]
        partner = self.partners(n_crops)
        weight = self.draw_weights(n_crops)
        other = ops.take(x, partner, axis=0)
        targets, noisy = self.combine(targets, noisy, partner, weight)
        if not self.settings["levels"]:
            return self.mean(x, other, weight[:, None, None]), targets, noisy
        share = self.amplitude_share(x, other, weight)[:, None, None]
        loudness = ops.square(share) + ops.square(1 - share)
        if self.unit == FULL_SCALE:
            return (share * x + (1 - share) * other) / ops.sqrt(loudness), targets, noisy
        return self.mean(x, other, ops.square(share) / loudness), targets, noisy

    def draw_weights(self, n_crops: Any) -> Any:
        """Draw the weight of each crop [shape=(crops,)]."""
        if self.settings["weights"] == "uniform":
            return self.uniform((n_crops,))
        alpha = float(self.settings["alpha"])
        weight = keras.random.beta((n_crops,), alpha, alpha, dtype="float32", seed=self.random)
        # With a small alpha both of the gamma variables it is made from may be 0.
        return ops.where(ops.isfinite(weight), weight, 1.0)

    def amplitude_share(self, x: Any, other: Any, weight: Any) -> Any:
        """Weight of a crop's amplitude that makes its level count `weight` [shape=(crops,)]."""
        difference = self.level(x) - self.level(other)
        # The odds in decibels; finite, so that a weight of 0 or 1 does not meet an infinite one.
        odds = 20 / math.log(10) * (ops.log(ops.maximum(1 - weight, 1e-7))
                                    - ops.log(ops.maximum(weight, 1e-7)))
        return ops.sigmoid(-math.log(10) / 20 * (difference + odds))

    def level(self, x: Any) -> Any:
        """Level of each crop (in dB) [shape=(crops,)]."""
        if self.unit == FULL_SCALE:
            power = ops.mean(ops.square(x), axis=(1, 2))
            return 10 / math.log(10) * ops.log(ops.maximum(power, 1e-10))
        return ops.max(ops.logsumexp(_NEPER * x, axis=2), axis=1) / _NEPER


@keras.saving.register_keras_serializable(package="audio_tagging")
class SamplePairing(Mixing):
    """SamplePairing: the mean of two crops with the first one's targets (Inoue, 2018).

    Setting: `domain`, as in :class:`Mixup`.
    """

    NAME = "sample_pairing"

    def augment(self, x: Any, targets: Any, noisy: Any) -> tuple[Any, Any, Any]:
        """Average every crop with its partner."""
        other = ops.take(x, self.partners(ops.shape(x)[0]), axis=0)
        return self.mean(x, other, 0.5), targets, noisy


@keras.saving.register_keras_serializable(package="audio_tagging")
class Extrapolation(Mixing):
    """Extrapolation: away from another crop of the same class (DeVries & Taylor, 2017).

    ``x + strength * (x - x')``, where x' is a random other crop of the batch that shares a label (a
    class with a target of 0.5 or more); a crop that shares none with any is left alone. The paper
    does it to codes of an autoencoder, this to the stored numbers.

    Setting: `strength` (0 to 1), [lowest, highest], drawn for each crop.
    """

    NAME = "extrapolation"

    def augment(self, x: Any, targets: Any, noisy: Any) -> tuple[Any, Any, Any]:
        """Move every crop away from another one of its class."""
        n_crops = ops.shape(x)[0]
        labels = ops.cast(targets >= 0.5, "float32")
        shared = ops.matmul(labels, ops.transpose(labels)) > 0.5
        shared &= ~ops.cast(ops.eye(n_crops), "bool")
        rank = self.uniform((n_crops, n_crops)) * ops.cast(shared, "float32")
        other = ops.take(x, ops.argmax(rank, axis=1), axis=0)
        strength = self.uniform((n_crops, 1, 1), *self.settings["strength"])
        strength *= ops.cast(ops.any(shared, axis=1), "float32")[:, None, None]
        return x + strength * (x - other), targets, noisy


@keras.saving.register_keras_serializable(package="audio_tagging")
class Concatenation(Mixing):
    """Cross-fade from a crop to another one, along a sigmoid in time.

    Either of the two comes first. The middle of the fade lies at a random time, and each crop's
    weight in the targets is its share of the time.

    Settings: `fade` (0 to 1), time constant of the sigmoid as a share of the crop, 0.02 being 40 ms
    of 2 s; `labels` and `domain` as in :class:`Mixup`.
    """

    NAME = "concatenation"

    def augment(self, x: Any, targets: Any, noisy: Any) -> tuple[Any, Any, Any]:
        """Cross-fade every crop with its partner."""
        n_crops, n_frames = ops.shape(x)[0], ops.shape(x)[1]
        partner = self.partners(n_crops)
        position = (ops.cast(ops.arange(n_frames), "float32") + 0.5) / ops.cast(n_frames, "float32")
        middle = self.uniform((n_crops, 1))
        sign = ops.where(self.uniform((n_crops, 1)) < 0.5, -1.0, 1.0)
        weight = ops.sigmoid(sign * (position - middle) / self.settings["fade"])
        targets, noisy = self.combine(targets, noisy, partner, ops.mean(weight, axis=1))
        mixed = self.mean(x, ops.take(x, partner, axis=0), ops.expand_dims(weight, -1))
        return mixed, targets, noisy


@keras.saving.register_keras_serializable(package="audio_tagging")
class SpecMix(Mixing):
    """SpecMix: bands and spans of time of another crop (Kim, Han & Ko, Interspeech 2021).

    Each crop's weight in the targets is its share of the area.

    Settings: `n_time` and `n_bands`, spans per crop; `time_share` and `band_share` (0 to 1), the
    widest span as a share of the axis, the width being uniform from 0; `labels` as in
    :class:`Mixup`.
    """

    NAME = "specmix"

    def augment(self, x: Any, targets: Any, noisy: Any) -> tuple[Any, Any, Any]:
        """Put parts of its partner into every crop."""
        n_crops, n_frames, width = ops.shape(x)
        partner = self.partners(n_crops)
        values = self.settings
        frames = self.spans(n_crops, n_frames, values["n_time"], values["time_share"])
        bands = self.spans(n_crops, width, values["n_bands"], values["band_share"])
        own = ~(frames[:, :, None] | bands[:, None, :])
        weight = ops.mean(ops.cast(own, "float32"), axis=(1, 2))
        targets, noisy = self.combine(targets, noisy, partner, weight)
        return ops.where(own, x, ops.take(x, partner, axis=0)), targets, noisy
