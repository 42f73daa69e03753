"""Networks and their settings, without Keras: what ``train --help`` says of them.

The functions in :mod:`models.networks` have the same settings, values and defaults as keyword-only
arguments; a test holds the table against their annotations.

Examples
--------
>>> NETWORKS.describe()["hop"]
'of resnet1d: samples per step of the filter bank (16, 32, 64; default: 32)'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.options import Option, Problem, describe_by_setting
from models.settings import Choice, Flag, Number, Setting, quoted


@dataclass(frozen=True)
class NetworkOptions:
    """Settings of the network, whichever it is: ``{size: tiny}``.

    Attributes
    ----------
    networks : mapping of str to Option
        What each network is, and its settings.
    """

    networks: Mapping[str, Option]

    @property
    def summary(self) -> str:
        """What each network is, in one text of ``--help``."""
        return "; ".join(f"{name}: {option.help}" for name, option in self.networks.items())

    def check(self, value: Any) -> tuple[dict[str, Any], list[Problem]]:
        """Return the mapping, and everything that is wrong with its form.

        Its values are checked once it is known for which network they are.
        """
        if not isinstance(value, Mapping):
            return {}, [Problem((), f"is {quoted(value)}: needs a mapping such as {{size: tiny}}")]
        return dict(value), [
            Problem((str(key),), f"is {quoted(each)}: needs a number, a text, true, false or null")
            for key, each in value.items() if not isinstance(each, bool | int | float | str | None)
        ]

    def describe(self) -> dict[str, str]:
        """Return one text of ``--help`` per setting, with the networks that have it."""
        return describe_by_setting(self.networks)


def _network(
    text: str, *sizes: str, pooling: str = "mean-max", **settings: tuple[Setting, str]
) -> Option:
    return Option(text, {
        "size": (Choice(*sizes, default="small"), "number of channels and layers"),
        "pooling": (Choice("mean-max", "mean", "attention", default=pooling),
                    "of time: mean plus maximum, mean, or a mean by learned weights"),
        **settings,
        "dropout": (Number(0.2, low=0, below=1), "share, before and after the dense layer"),
    })


def _stem_stride(default: int) -> tuple[Setting, str]:
    return (Choice(1, 2, default=default), "of the first convolution, along frames and bands")


_FREQUENCY_CHANNEL = (Flag(default=True), "whether the place of a band is an input too")

NETWORKS = NetworkOptions({
    "cnn": _network(
        "convolutions in the manner of VGG, on frames", "tiny", "small", "medium", "large",
        block_pooling=(Choice("average", "max"), "of 2 x 2 values after each block"),
        frequency_channel=_FREQUENCY_CHANNEL,
        attention=(Choice(None, "se", "cbam"),
                   "after each block; se: squeeze-and-excitation, cbam: channels and places"),
        auxiliary=(Flag(default=False), "whether the first three blocks have outputs of their own "
                                        "while training"),
        stem_stride=_stem_stride(1),
    ),
    "conv1d": Option("the notebook's convolutions, on waves"),
    "conv2d": Option("the notebook's convolutions, on frames"),
    "crnn": _network(
        "convolutions, then a GRU, on frames", "tiny", "small", "medium", pooling="attention",
        frequency_channel=_FREQUENCY_CHANNEL,
    ),
    "densenet": _network(
        "densely connected convolutions, on frames", "tiny", "small", "medium",
        frequency_channel=_FREQUENCY_CHANNEL, stem_stride=_stem_stride(2),
    ),
    "dummy1d": Option("no more than the largest value, of waves"),
    "dummy2d": Option("no more than the largest value, of frames"),
    "mobilenet_v2": _network(
        "inverted residual blocks, on frames", "tiny", "small", "medium",
        frequency_channel=_FREQUENCY_CHANNEL, stem_stride=_stem_stride(2),
    ),
    "resnet1d": _network(
        "residual blocks, on waves", "tiny", "small", "medium",
        hop=(Choice(16, 32, 64, default=32), "samples per step of the filter bank"),
    ),
    "se_resnet": _network(
        "residual blocks with squeeze-and-excitation, on frames",
        "tiny", "small", "medium", "large",
        frequency_channel=_FREQUENCY_CHANNEL, stem_stride=_stem_stride(2),
    ),
})
