"""Optimizers, schedules and averaging of weights, without Keras: kinds, settings, ``--help``.

The functions in :mod:`models.optimization` have the same settings and defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.options import KindOptions, Option, Problem
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
