"""Augmentations and their settings, without Keras: names, defaults, bounds, texts of ``--help``.

The constructors in :mod:`models.augmentation` have the same settings and defaults.
"""

from __future__ import annotations

from models.options import NamedOptions, Option
from models.settings import Choice, Flag, Interval, Number, Setting

_PROBABILITY = (Number(1.0, low=0, high=1), "of changing a crop")
_AREA = "smallest and largest, as shares of the crop's area"
_RATIO = (Interval((0.5, 2.0), above=0), "lowest and highest share of time by that of bands")
_LABELS = (Choice("mix", "or"), "of a mixture: mixed as the crops are, or those of both in full")
_DOMAIN = (Choice("feature", "power"), "what is mixed: the values themselves, or power (dB)")


def _augmentation(text: str, **settings: tuple[Setting, str]) -> Option:
    return Option(text, {"probability": _PROBABILITY, **settings})


# In the order of their application.
AUGMENTATIONS = NamedOptions({
    "gain": _augmentation(
        "another level of the whole crop",
        db=(Number(6.0, low=0), "greatest change, up or down (dB)"),
    ),
    "equalizer": _augmentation(
        "a smooth random filter",
        tilt_db=(Number(3.0, low=0), "greatest slope, from the middle to either end (dB)"),
        curve_db=(Number(3.0, low=0), "greatest deviation at a knot (dB)"),
        knots=(Number(5, low=2, whole=True), "number of points that the curve goes through"),
    ),
    "time_shift": _augmentation(
        "move the crop in time",
        share=(Number(0.5, above=0, high=1), "greatest shift, as a share of the crop"),
    ),
    "stretch": _augmentation(
        "slower or faster, without another pitch of spectrograms",
        factor=(Interval((0.8, 1.25), above=0), "slowest and fastest; 2 is twice as fast"),
    ),
    "resized_crop": _augmentation(
        "a rectangle of frames and bands, enlarged",
        area=(Interval((0.6, 1.0), above=0, high=1), _AREA), ratio=_RATIO,
    ),
    "mel_warp": _augmentation(
        "a band moves up or down, and those on either side are stretched",
        share=(Number(0.1, above=0, below=0.25), "greatest shift, as a share of the bands"),
    ),
    "band_shift": _augmentation(
        "all bands move up or down",
        bands=(Number(4, low=0, whole=True), "greatest shift"),
    ),
    "extrapolation": _augmentation(
        "away from another crop with the same labels",
        strength=(Interval((0.1, 0.5), above=0, high=1), "how far, as a share of the difference"),
    ),
    "concatenation": _augmentation(
        "the beginning of one crop, then another one",
        fade=(Number(0.02, above=0, high=1), "time constant of the change, as a share of the crop"),
        labels=_LABELS, domain=_DOMAIN,
    ),
    "sample_pairing": _augmentation(
        "the mean with another crop, under the labels of the first", domain=_DOMAIN,
    ),
    "mixup": _augmentation(
        "a weighted mean with another crop, and of their labels",
        alpha=(Number(0.4, above=0), "of the beta distribution of weights"),
        weights=(Choice("beta", "uniform"), "distribution of the weights"),
        labels=_LABELS, domain=_DOMAIN,
        levels=(Flag(default=False), "even out the levels of both before"),
    ),
    "specmix": _augmentation(
        "frames and bands out of another crop",
        n_time=(Number(2, low=0, whole=True), "number of spans of frames"),
        time_share=(Number(0.3, above=0, high=1), "greatest width of one, as a share"),
        n_bands=(Number(2, low=0, whole=True), "number of spans of bands"),
        band_share=(Number(0.3, above=0, high=1), "greatest width of one, as a share"),
        labels=_LABELS,
    ),
    "masks": _augmentation(
        "spans of frames and bands are replaced by the mean",
        n_time=(Number(2, low=0, whole=True), "number of spans of frames"),
        time_share=(Number(0.2, above=0, high=1), "greatest width of one, as a share"),
        n_bands=(Number(2, low=0, whole=True), "number of spans of bands"),
        band_share=(Number(0.2, above=0, high=1), "greatest width of one, as a share"),
    ),
    "erasing": _augmentation(
        "a rectangle of frames and bands is replaced by the mean",
        area=(Interval((0.02, 0.2), above=0, high=1), _AREA), ratio=_RATIO,
    ),
})
