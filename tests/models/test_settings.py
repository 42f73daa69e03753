"""Declared settings: what they accept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.settings import Choice, Flag, Interval, Number, hint

AT_LEAST_0, WHOLE = Number(6, low=0), Number(5, low=2, whole=True)
SCALE, LABELS = Interval((0.5, 1), above=0, high=1), Choice("mix", "or")
STRIDE = Choice(None, 1, 2, default=2)
LEVELS = Flag(default=False)


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        (AT_LEAST_0, (0, 2.5, np.float32(2.5))), (WHOLE, (2, np.int64(3))),
        (SCALE, ([1, 1], (0.1, 0.2))), (LABELS, ("mix", "or")), (LEVELS, (True, False)),
        (STRIDE, (None, 1, 2)),
    ],
)
def test_valid_values_are_accepted(setting, values):
    assert setting.accepts(setting.default)
    assert all(setting.accepts(value) for value in values)


@pytest.mark.parametrize(
    ("setting", "needed", "values"),
    [
        (AT_LEAST_0, "a number, at least 0", (-1, math.nan, math.inf, "6", None, True)),
        (WHOLE, "a whole number, at least 2", (1, 2.5, 3.0, [2])),
        (SCALE, "[lowest, highest], two numbers, above 0, at most 1",
         (0.5, [0.5], [0.6, 0.5], [0, 1], [0.5, 1.1], ["a", "b"])),
        (LABELS, "one of mix, or", ("and", True, ["or"])),
        (LEVELS, "true or false", (1, "yes", None)),
        (STRIDE, "one of null, 1, 2", (0, True, "1", 2.0)),
    ],
)
def test_bad_values_are_refused(setting, needed, values):
    assert setting.needed == needed
    assert not any(setting.accepts(value) for value in values)


def test_the_default_of_a_choice_is_the_first_value_or_the_one_that_is_named():
    assert (LABELS.default, STRIDE.default, Choice("mix", None, default=None).default) == (
        "mix", 2, None)


def test_bounds_are_valid_or_not_as_declared():
    assert Number(0.5, low=0, high=1).accepts(1)
    assert not Number(0.5, above=0, below=1).accepts(1)
    assert not Number(0.5, above=0, below=1).accepts(0)
    assert Number(0.5, above=0, below=1).needed == "a number, above 0, below 1"


def test_a_hint_names_what_is_near_or_all():
    assert hint("gian", ["gain", "roll"]) == "did you mean gain?"
    assert hint("x", ["gain", "roll"]) == "known: gain, roll"
    assert hint("x", []) == "known: none"
