"""Options of a training, without Keras: names, settings, defaults, bounds and texts of ``--help``.

Augmentations, losses, optimizers, schedules and averaging are each a small mapping: chosen by name
(``{mixup: {alpha: 0.4}}``, any number of them) or by kind (``{kind: focal, gamma: 2}``, one of
them). These tables are what ``train`` accepts and explains. The constructors in
:mod:`models.augmentation`, :mod:`models.losses` and :mod:`models.optimization` have the same
settings and defaults.

Examples
--------
>>> LOSSES.check({"kind": "focal"})
({'kind': 'focal', 'gamma': 2.0, 'label_smoothing': 0.0}, [])
>>> LOSSES.check({"kind": "focal", "gamma": -1})[1]
[Problem(path=('gamma',), text='is -1: needs a number, at least 0')]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.settings import Choice, Flag, Interval, Number, Setting, hint, quoted, shown


@dataclass(frozen=True)
class Problem:
    """What is wrong with a mapping of options.

    Attributes
    ----------
    path : tuple of str
        The key that is wrong, and the keys above it; empty for the mapping itself.
    text : str
        Follows the path: ``is -1: needs a number, at least 0``.
    """

    path: tuple[str, ...]
    text: str

    def line(self, name: str) -> str:
        """The problem in one line, for a mapping called `name`."""
        return f"{'.'.join((name, *self.path))} {self.text}"


@dataclass(frozen=True)
class Option:
    """An augmentation, a loss, an optimizer: what it does, and its settings.

    Attributes
    ----------
    help : str
    settings : mapping of str to (Setting, str)
        What each setting accepts, and what it means.
    """

    help: str
    settings: Mapping[str, tuple[Setting, str]] = field(default_factory=dict)

    def check(
        self, values: Mapping[str, Any], name: str
    ) -> tuple[dict[str, Any], list[Problem]]:
        """Return all settings, with defaults for those left out, and what is wrong with `values`.

        `name` is the option's, for messages.
        """
        result = {key: _typed(setting.default, setting)
                  for key, (setting, _) in self.settings.items()}
        problems = []
        for key, value in values.items():
            if key not in self.settings:
                known = f"; {hint(key, self.settings)}" if self.settings else ", which has none"
                problems.append(Problem((str(key),), f"is no setting of {name}{known}"))
                continue
            setting, _ = self.settings[key]
            typed = _typed(value, setting)
            if setting.accepts(typed):
                result[key] = typed
            else:
                problems.append(Problem((str(key),), f"is {quoted(value)}: needs {setting.needed}"))
        return result, problems

    def describe(self) -> dict[str, str]:
        """Return one text of ``--help`` per setting."""
        return {
            key: f"{text} ({setting.needed.removeprefix('one of ')}; default: "
                 f"{shown(setting.default)})"
            for key, (setting, text) in self.settings.items()
        }


def _typed(value: Any, setting: Setting) -> Any:
    """Convert a value to the type of its setting where that is a number.

    YAML 1.1 reads 1e-3 as text, and 2 and 2.0 are to be the same value. A value that cannot be
    converted is returned unchanged, to be refused by the check that follows.
    """
    if isinstance(setting, Interval):
        items = value if isinstance(value, list | tuple) else ()
        number = Number(0.0)
        return [_typed(each, number) for each in items] if items else value
    if not isinstance(setting, Number) or isinstance(value, bool):
        return value
    try:
        converted = float(value)
        return int(converted) if setting.whole and converted.is_integer() else converted
    except (TypeError, ValueError, OverflowError):
        return value


def describe_by_setting(options: Mapping[str, Option]) -> dict[str, str]:
    """Return one text of ``--help`` per setting, with the options that have it.

    Parameters
    ----------
    options : mapping of str to Option
    """
    names = dict[tuple[str, str], list[str]]()
    for name, option in options.items():
        for key, text in option.describe().items():
            names.setdefault((key, text), []).append(name)
    result = dict[str, str]()
    for (key, text), having in names.items():
        line = f"of {', '.join(having)}: {text}"
        result[key] = f"{result[key]}; {line}" if key in result else line
    return result


@dataclass(frozen=True)
class KindOptions:
    """Options of which one is chosen: ``{kind: focal, gamma: 2}``."""

    options: Mapping[str, Option]

    def check(self, value: Any) -> tuple[dict[str, Any], list[Problem]]:
        """Return the mapping with all defaults, and everything that is wrong with it."""
        example = f"{{kind: {next(iter(self.options))}}}"
        if not isinstance(value, Mapping):
            return {}, [Problem((), f"is {quoted(value)}: needs a mapping such as {example}")]
        if "kind" not in value:
            return {}, [Problem(("kind",), f"is missing; {hint('', self.options)}")]
        kind = value["kind"]
        if not isinstance(kind, str) or kind not in self.options:
            return {}, [Problem(("kind",), f"is {quoted(kind)}: {hint(kind, self.options)}")]
        rest = {key: each for key, each in value.items() if key != "kind"}
        result, problems = self.options[kind].check(rest, kind)
        return {"kind": kind, **result}, problems

    def describe(self) -> dict[str, str]:
        """Return one text of ``--help`` per setting, of all kinds."""
        kinds = "; ".join(f"{kind}: {each.help}" for kind, each in self.options.items())
        return {"kind": kinds, **describe_by_setting(self.options)}


@dataclass(frozen=True)
class NamedOptions:
    """Options of which any number is chosen: ``{mixup: {alpha: 0.4}, gain: {db: 6}}``."""

    options: Mapping[str, Option]

    def check(self, value: Any) -> tuple[dict[str, Any], list[Problem]]:
        """Return the mapping with all defaults, in the table's order, and what is wrong with it."""
        if not isinstance(value, Mapping):
            example = f"{{{next(iter(self.options))}: {{}}}}"
            return {}, [Problem((), f"is {quoted(value)}: needs a mapping such as {example}")]
        result = {}
        problems = [Problem((str(name),), f"is unknown; {hint(name, self.options)}")
                    for name in value if name not in self.options]
        for name, option in self.options.items():
            if name not in value:
                continue
            if not isinstance(value[name], Mapping):
                text = f"needs a mapping of some of its settings: {', '.join(option.settings)}"
                problems.append(Problem((name,), f"is {quoted(value[name])}: {text}"))
                continue
            result[name], wrong = option.check(value[name], name)
            problems += [Problem((name, *each.path), each.text) for each in wrong]
        return result, problems

    def describe(self) -> dict[str, str]:
        """Return one text of ``--help`` per option."""
        return {
            f"{name}.KEY": f"{option.help}. " + "; ".join(
                f"{key}: {text}" for key, text in option.describe().items())
            for name, option in self.options.items()
        }


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

_SMOOTHING = (Number(0.0, low=0, below=1), "share of the targets that is spread over all classes")

LOSSES = KindOptions({
    "cross-entropy": Option(
        "binary of each class, or categorical for one label per clip",
        {"label_smoothing": _SMOOTHING},
    ),
    "focal": Option(
        "cross-entropy in which what is classified well counts less",
        {"gamma": (Number(2.0, low=0), "how much less"), "label_smoothing": _SMOOTHING},
    ),
    "lsep": Option("log-sum-exp over pairs of a label and another class, which should score lower"),
    "lsoft": Option("cross-entropy against targets mixed with the scores (soft bootstrapping)", {
        "beta": (Number(0.7, low=0, high=1), "share of the targets"),
    }),
    "symmetric-cross-entropy": Option(
        "cross-entropy, plus that of scores and targets in each other's place", {
            "alpha": (Number(0.1, low=0), "weight of the first"),
            "beta": (Number(1.0, low=0), "weight of the second"),
            "log_zero": (Number(-4.0, below=0), "stands for log(0) in the second"),
        },
    ),
    "masked": Option("cross-entropy, without the clips of a batch that have the largest", {
        "share": (Number(0.8, above=0, high=1), "of the largest loss, up to which clips count"),
    }),
})

OPTIMIZERS = KindOptions({
    "adam": Option("Adam"),
    "adamw": Option("Adam with decoupled weight decay", {
        "weight_decay": (Number(0.01, low=0), "share of each weight that a step takes away, times "
                                              "the learning rate"),
    }),
    "sgd": Option("stochastic gradient descent", {
        "momentum": (Number(0.9, low=0, below=1), "share of the last step that is repeated"),
        "nesterov": (Flag(default=False), "gradient after that repetition rather than before"),
    }),
})

SCHEDULES = KindOptions({
    "constant": Option("the same learning rate throughout"),
    "cosine": Option("from --learning-rate down along half a cosine", {
        "warmup_epochs": (Number(0.0, low=0), "epochs of a linear rise before"),
        "cycles": (Number(1, low=1, whole=True), "how often it starts again"),
        "final": (Number(0.0, low=0, high=1), "the last learning rate, as a share"),
    }),
    "plateau": Option("lower after epochs without improvement of --monitor", {
        "factor": (Number(0.5, above=0, below=1), "by which it is multiplied"),
        "patience": (Number(3, low=1, whole=True), "epochs without improvement before"),
    }),
})

AVERAGING = KindOptions({
    "none": Option("the weights of the last step"),
    "ema": Option("exponential moving average of the weights of all steps", {
        "momentum": (Number(0.999, low=0, below=1), "share of the average that a step keeps"),
    }),
    "swa": Option("mean of the weights at the ends of epochs", {
        "start": (Number(0.75, low=0, below=1), "share of the epochs before the first one"),
    }),
    "snapshots": Option("mean of the scores of the weights at the ends of a cosine's last cycles", {
        "last": (Number(3, low=2, whole=True), "number of these cycles"),
    }),
})


def schedule_problems(schedule: Mapping[str, Any], epochs: int) -> list[Problem]:
    """List why a schedule of the learning rate does not go with the number of epochs.

    Parameters
    ----------
    schedule : mapping
        With all settings of its kind, as :data:`SCHEDULES` fills them in.
    epochs : int > 0 [scalar]

    Returns
    -------
    list of Problem

    Examples
    --------
    >>> schedule, _ = SCHEDULES.check({"kind": "cosine", "cycles": 3})
    >>> schedule_problems(schedule, 20)[0].line("schedule")
    'schedule.cycles is 3: needs a divisor of the number of epochs, 20'
    """
    if schedule["kind"] != "cosine":
        return []
    warmup, cycles, problems = schedule["warmup_epochs"], schedule["cycles"], list[Problem]()
    if warmup >= epochs:
        problems.append(Problem(("warmup_epochs",), f"is {warmup:g}: needs less than the number "
                                                    f"of epochs, {epochs}"))
    if cycles > 1 and warmup > 0:
        problems.append(Problem(("warmup_epochs",), f"is {warmup:g}: needs 0 with several cycles, "
                                                    f"{cycles}"))
    if epochs % cycles:
        problems.append(Problem(("cycles",), f"is {cycles}: needs a divisor of the number of "
                                             f"epochs, {epochs}"))
    return problems
