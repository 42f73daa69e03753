"""Declared settings, and what is said of bad ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.settings import Choice, Flag, Interval, Number, resolve, resolve_kind

DECLARED = {
    "db": Number(6, low=0), "knots": Number(5, low=2, whole=True),
    "scale": Interval((0.5, 1), above=0, high=1), "labels": Choice("mix", "or"),
    "levels": Flag(default=False),
}


def test_what_is_not_given_has_its_default():
    values, errors = resolve("gain", {"db": 3}, DECLARED)
    assert errors == []
    assert values == {"db": 3, "knots": 5, "scale": (0.5, 1), "labels": "mix", "levels": False}


@pytest.mark.parametrize(
    ("name", "value"),
    [("db", 0), ("db", np.float32(2.5)), ("knots", 2), ("knots", np.int64(3)),
     ("scale", [1, 1]), ("scale", (0.1, 0.2)), ("labels", "or"), ("levels", True)],
)
def test_valid_values_are_kept(name, value):
    values, errors = resolve("gain", {name: value}, DECLARED)
    assert errors == []
    assert values[name] == value


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        *(("db", value, "a number from 0") for value in (-1, math.nan, math.inf, "6", None, True)),
        *(("knots", value, "a whole number from 2") for value in (1, 2.5, 3.0, [2])),
        *(("scale", value, "[lowest, highest], two numbers above 0 to 1")
          for value in (0.5, [0.5], [0.6, 0.5], [0, 1], [0.5, 1.1], ["a", "b"])),
        *(("labels", value, "one of mix, or") for value in ("and", True, ["or"])),
        *(("levels", value, "true or false") for value in (1, "yes", None)),
    ],
)
def test_bad_values_are_named_with_what_is_needed(name, value, needed):
    _, errors = resolve("gain", {name: value}, DECLARED)
    assert errors == [f"gain.{name} is {value!r}; needs {needed}"]


def test_everything_wrong_is_listed():
    _, errors = resolve("gain", {"db": -1, "knot": 1, "levels": 2}, DECLARED)
    assert errors == [
        "gain.knot is unknown; did you mean knots?", "gain.db is -1; needs a number from 0",
        "gain.levels is 2; needs true or false",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "loss is 3; needs settings with the key kind; known: focal, plain"),
        ({}, "loss.kind is missing; known: focal, plain"),
        ({"kind": None}, "loss.kind is None; known: focal, plain"),
        ({"kind": "vocal"}, "loss.kind is 'vocal'; did you mean focal?"),
        ({"kind": "plain", "gamma": 1}, "loss.gamma is unknown; known: none"),
        ({"kind": "focal", "gamma": -1}, "loss.gamma is -1; needs a number from 0"),
    ],
)
def test_kinds_are_checked_by_their_own_table(given, message):
    kinds = {"focal": {"gamma": Number(2, low=0)}, "plain": {}}
    assert resolve_kind("loss", given, kinds)[2] == [message]


def test_bounds_are_valid_or_not_as_declared():
    assert Number(0.5, low=0, high=1).accepts(1)
    assert not Number(0.5, above=0, below=1).accepts(1)
    assert not Number(0.5, above=0, below=1).accepts(0)
    assert Number(0.5, above=0, below=1).needed == "a number above 0 below 1"
