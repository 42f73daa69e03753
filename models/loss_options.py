"""Losses and their settings, without Keras: kinds, defaults, bounds, texts of ``--help``.

The functions in :mod:`models.losses` have the same settings and defaults.

Examples
--------
>>> LOSSES.check({"kind": "focal"})
({'kind': 'focal', 'gamma': 2.0, 'label_smoothing': 0.0}, [])
>>> LOSSES.check({"kind": "focal", "gamma": -1})[1]
[Problem(path=('gamma',), text='is -1: needs a number, at least 0')]
"""

from __future__ import annotations

from models.options import KindOptions, Option
from models.settings import Number

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
