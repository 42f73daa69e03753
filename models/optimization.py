"""Optimizers and schedules of the learning rate by their settings.

They are Keras's own. Everything that changes during training is a variable of the optimizer, its
count of steps too, and a schedule is a function of that count over the whole training. So a
training that restores them continues exactly.

The settings, their defaults and bounds are in :mod:`models.optimization_options`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from models.optimization_options import AVERAGING, OPTIMIZERS, SCHEDULES, schedule_problems

OPTIMIZER_CLASSES = {
    "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "sgd": keras.optimizers.SGD,
}

# Parts of the names of weights that are not to decay: offsets, and the scales of normalization.
NO_DECAY = ("bias", "beta", "gamma")


def make_optimizer(
    optimizer: Mapping[str, Any], schedule: Mapping[str, Any], averaging: Mapping[str, Any], *,
    learning_rate: float, steps_per_epoch: int, epochs: int,
) -> keras.optimizers.Optimizer:
    """Make an optimizer with its schedule of the learning rate.

    Parameters
    ----------
    optimizer, schedule, averaging : mapping
        ``kind``, and settings of this kind: see :data:`models.optimization_options.OPTIMIZERS`,
        :data:`models.optimization_options.SCHEDULES` and
        :data:`models.optimization_options.AVERAGING`. What is averaged is the trainer's: Keras's
        moving average leaves out that of batch normalization, and ``fit`` overwrites the weights
        with it at its end.
    learning_rate : float > 0 [scalar]
        Where the schedule has its maximum.
    steps_per_epoch, epochs : int > 0 [scalar]
        Of the whole training, not of what is left to a resumed one.

    Returns
    -------
    keras.optimizers.Optimizer
        With ``plateau`` its learning rate is a variable, which the trainer lowers; otherwise only
        the schedule changes it.

    Raises
    ------
    ValueError
        With everything that is wrong.

    Notes
    -----
    ``adamw``: biases, and the scales and offsets of normalization, do not decay. Set that again
    after loading an optimizer from a file, which does not keep it.

    ``cosine``: from `learning_rate` to `final` times that over the training, by
    :class:`keras.optimizers.schedules.CosineDecay`, after a linear rise from 0 over
    `warmup_epochs`. With several `cycles` it starts again at the beginning of each (Loshchilov &
    Hutter, "SGDR", ICLR 2017).

    Examples
    --------
    >>> optimizer = make_optimizer(
    ...     {"kind": "sgd", "nesterov": True}, {"kind": "cosine", "warmup_epochs": 1},
    ...     {"kind": "none"}, learning_rate=0.1, steps_per_epoch=10, epochs=11)
    >>> [round(float(optimizer._learning_rate(step)), 4) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    tables = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "averaging": AVERAGING}
    given = {"optimizer": optimizer, "schedule": schedule, "averaging": averaging}
    values, errors = {}, list[str]()
    for name, table in tables.items():
        values[name], problems = table.check(given[name])
        errors += [problem.line(name) for problem in problems]
    if not (isinstance(learning_rate, int | float) and 0 < learning_rate < float("inf")):
        errors.append(f"learning_rate is {learning_rate!r}: needs a number, above 0")
    errors += [f"{name} is {count!r}: needs a whole number, at least 1"
               for name, count in (("steps_per_epoch", steps_per_epoch), ("epochs", epochs))
               if not isinstance(count, int) or count < 1]
    if not errors:
        errors += [each.line("schedule") for each in schedule_problems(values["schedule"], epochs)]
    if errors:
        raise ValueError("\n".join(errors))
    rate: Any = float(learning_rate)
    if schedule["kind"] == "cosine":
        rate = _cosine(values["schedule"], rate, steps_per_epoch, epochs)
    settings = values["optimizer"]
    result = OPTIMIZER_CLASSES[settings.pop("kind")](rate, **settings)
    if optimizer["kind"] == "adamw":
        result.exclude_from_weight_decay(var_names=list(NO_DECAY))
    return result


def _cosine(
    schedule: Mapping[str, Any], rate: float, steps_per_epoch: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    steps, final = steps_per_epoch * epochs, schedule["final"]
    if schedule["cycles"] > 1:
        return keras.optimizers.schedules.CosineDecayRestarts(
            rate, steps // schedule["cycles"], t_mul=1.0, alpha=final
        )
    warmup = round(schedule["warmup_epochs"] * steps_per_epoch)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, steps, alpha=final)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, alpha=final, warmup_target=rate, warmup_steps=warmup
    )
