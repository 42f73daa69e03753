"""Optimizers, schedules and averaging of weights, without Keras: kinds, settings, ``--help``.

The functions in :mod:`models.optimization` have the same settings and defaults.
"""

from __future__ import annotations

from models.options import KindOptions, Option
from models.settings import Flag, Number

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
