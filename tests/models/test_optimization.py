"""Optimizers and schedules: what they are made of, and exact continuation."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models.optimization import OPTIMIZER_CLASSES, make_optimizer
from models.optimization_options import OPTIMIZERS, SCHEDULES

CONSTANT, NONE = {"kind": "constant"}, {"kind": "none"}


def make(optimizer=None, schedule=CONSTANT, *, learning_rate=0.1, steps=10, epochs=6):
    return make_optimizer(optimizer or {"kind": "adam"}, schedule, NONE,
                          learning_rate=learning_rate, steps_per_epoch=steps, epochs=epochs)


def rates(schedule, *, steps=10, epochs=6):
    """The learning rate of every step, as the optimizer applies it."""
    optimizer = make({"kind": "sgd", "momentum": 0}, schedule, steps=steps, epochs=epochs)
    weight = keras.Variable(0.0)
    result, before = [], 0.0
    for _ in range(steps * epochs):
        optimizer.apply([keras.ops.ones(())], [weight])
        result.append(before - float(weight))
        before = float(weight)
    return np.array(result)


def small_model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([
        keras.layers.Input((4,)), keras.layers.Dense(5), keras.layers.BatchNormalization(),
        keras.layers.Dense(2, activation="softmax"),
    ])


def test_the_tables_of_options_list_every_kind():
    assert list(OPTIMIZER_CLASSES) == list(OPTIMIZERS.options)
    assert list(SCHEDULES.options) == ["constant", "cosine", "plateau"]


def test_settings_reach_keras():
    optimizer = make({"kind": "sgd", "momentum": 0.7, "nesterov": True}, learning_rate=1)
    assert (optimizer.momentum, optimizer.nesterov) == (0.7, True)
    assert float(optimizer.learning_rate) == 1
    assert make({"kind": "adamw", "weight_decay": 0.03}).weight_decay == 0.03
    plain, own = keras.optimizers.Adam(0.1).get_config(), make().get_config()
    assert plain | {"name": ""} == own | {"name": ""}


def test_only_kernels_decay():
    model = small_model()
    optimizer = make({"kind": "adamw", "weight_decay": 0.5}, learning_rate=0.1)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones(variable.shape))
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables],
                    model.trainable_variables)
    decayed = {v.path.partition("/")[2]: float(np.mean(v)) for v in model.trainable_variables}
    for name, value in decayed.items():
        np.testing.assert_allclose(value, 0.95 if "kernel" in name else 1, rtol=1e-6, err_msg=name)


def test_cosine_follows_its_formula_over_the_whole_training():
    t = np.arange(60) / 60
    np.testing.assert_allclose(
        rates({"kind": "cosine", "final": 0.2}),
        0.1 * (0.2 + 0.8 * (1 + np.cos(np.pi * t)) / 2), rtol=1e-3)


def test_warmup_is_linear_and_leaves_the_rest_to_the_cosine():
    result = rates({"kind": "cosine", "warmup_epochs": 1.5})
    np.testing.assert_allclose(result[:15], 0.1 * np.arange(15) / 15, atol=1e-5)
    t = np.arange(45) / 45
    np.testing.assert_allclose(result[15:], 0.1 * (1 + np.cos(np.pi * t)) / 2, atol=1e-5)


def test_cycles_start_again_at_the_beginning_of_epochs():
    result = rates({"kind": "cosine", "cycles": 3})
    np.testing.assert_allclose(result[::20], 0.1, rtol=1e-5)
    for cycle in result.reshape(3, 20):
        t = np.arange(20) / 20
        np.testing.assert_allclose(cycle, 0.1 * (1 + np.cos(np.pi * t)) / 2, atol=1e-5)


def test_a_plateau_can_be_set():
    optimizer = make(schedule={"kind": "plateau"})
    optimizer.learning_rate.assign(0.025)
    assert float(optimizer.learning_rate) == np.float32(0.025)


@pytest.mark.parametrize("kind", OPTIMIZER_CLASSES)
def test_a_restored_training_continues_exactly(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = np.eye(2, dtype=np.float32)[rng.integers(2, size=60)]

    def compiled():
        model = small_model()
        model.compile(make({"kind": kind}, {"kind": "cosine", "warmup_epochs": 1}),
                      loss="categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(model, epochs):
        model.fit(x, y, batch_size=6, epochs=epochs, shuffle=False, verbose=0)

    def state(model):
        return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]

    whole = compiled()
    fit(whole, 4)
    first = compiled()
    fit(first, 2)
    second = compiled()
    for variable, value in zip((*second.variables, *second.optimizer.variables), state(first),
                               strict=True):
        variable.assign(value)
    fit(second, 2)
    for one, other in zip(state(whole), state(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_everything_wrong_is_listed():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make_optimizer(
            {"kind": "adm"}, {"kind": "cosine", "cycles": 0}, {"kind": "ema", "momentum": 1},
            learning_rate=0, steps_per_epoch=0, epochs=1.5,
        )
    assert str(error.value).splitlines() == [
        "optimizer.kind is 'adm': did you mean adam?",
        "schedule.cycles is 0: needs a whole number, at least 1",
        "averaging.momentum is 1: needs a number, at least 0, below 1",
        "learning_rate is 0: needs a number, above 0",
        "steps_per_epoch is 0: needs a whole number, at least 1",
        "epochs is 1.5: needs a whole number, at least 1",
    ]


def test_a_cosine_that_does_not_fit_the_training_is_refused():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        make(schedule={"kind": "cosine", "warmup_epochs": 6, "cycles": 4})
    assert str(error.value).splitlines() == [
        "schedule.warmup_epochs is 6: needs less than the number of epochs, 6",
        "schedule.warmup_epochs is 6: needs 0 with several cycles, 4",
        "schedule.cycles is 4: needs a divisor of the number of epochs, 6",
    ]
