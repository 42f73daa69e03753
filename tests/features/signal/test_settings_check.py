"""A feature's settings made in Python get the verdicts that params.yaml's get from pydantic."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import hypothesis
import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from features.signal.settings_check import bound_errors, type_errors
from pipeline.cli.checking import checked
from pipeline.cli.declaration import fields_of
from pipeline.cli.markers import Section
from pipeline.cli.origins import Words


@dataclass(frozen=True)
class Frames:
    n_fft: Annotated[int, Ge(16), Le(4096)] = 2048
    n_mels: Annotated[int, Ge(1)] = 128
    fmin: Annotated[float, Ge(0)] = 0.0
    hop: Annotated[float, Gt(0), Lt(1)] = 0.25
    top_db: Annotated[float | None, Gt(0)] = 80.0
    most: Annotated[int | None, Le(9)] = None
    dtype: Literal["int16", "float32"] = "int16"
    centred: bool = True
    note: str | None = None


@dataclass(frozen=True)
class Stage:
    features: Annotated[Mapping[str, Frames], Section("features")]


def of_python(settings):
    frames = Frames(**settings)
    return type_errors(frames) or bound_errors(frames)


def of_the_file(settings):
    result, errors = checked(fields_of(Stage), {"features": {"mel": settings}}, stage="demo",
                             words=Words(lambda section, key: Path("params.yaml")))
    if not errors:
        assert result["features"]["mel"] == Frames(**settings)
    return errors


@pytest.mark.parametrize(("settings", "is_wrong"), [
    ({"n_fft": 2048.0}, True), ({"n_fft": "2048"}, True), ({"n_fft": True}, True),
    ({"n_fft": None}, True), ({"n_fft": 15}, True), ({"n_fft": 16}, False),
    ({"n_fft": 4096}, False), ({"n_fft": 4097}, True), ({"hop": 0}, True), ({"hop": 1}, True),
    ({"hop": 0.5}, False), ({"fmin": 0}, False), ({"fmin": float("nan")}, True),
    ({"fmin": float("inf")}, True), ({"fmin": False}, True), ({"top_db": None}, False),
    ({"top_db": 0}, True), ({"most": 10}, True), ({"most": None}, False), ({"dtype": "x"}, True),
    ({"dtype": "float32"}, False), ({"centred": 1}, True), ({"note": 1}, True), ({}, False),
])
def test_what_is_refused(settings, is_wrong):
    assert bool(of_python(settings)) == is_wrong
    assert bool(of_the_file(settings)) == is_wrong


numbers = st.one_of(st.integers(-20, 5000), st.floats(-2, 2), st.floats(),
                    st.sampled_from([float("nan"), float("inf"), -float("inf")]))
# YAML 1.1 reads 1e-3 as a text, so a text of a number is one in the file; no such text here.
texts = st.one_of(st.sampled_from(["int16", "float32"]),
                  st.text("int16", max_size=5).map("x{}".format))
values = st.one_of(numbers, st.none(), st.booleans(), texts)
names = st.sampled_from([field.name for field in dataclasses.fields(Frames)])


@hypothesis.settings(max_examples=500)
@given(names, values)
def test_verdicts_are_those_of_params_yaml(name, value):
    assert bool(of_python({name: value})) == bool(of_the_file({name: value}))
