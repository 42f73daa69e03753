"""A feature's settings made in Python: refused as params.yaml's are, in the same words."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import hypothesis
import pytest
import yaml
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from features.signal.settings_check import check_settings, wrong_settings
from pipeline.cli.checking import checked
from pipeline.cli.declaration import fields_of
from pipeline.cli.markers import Section

ROOT = Path(__file__).parents[3]


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
    bands: tuple[Annotated[int, Ge(1)], ...] = (1, 2)


@pytest.mark.parametrize(("settings", "message"), [
    ({"n_fft": 2048.0}, "n_fft is 2048.0: needs a whole number"),
    ({"n_fft": "2048"}, "n_fft is '2048': needs a whole number"),
    ({"n_fft": True}, "n_fft is True: needs a whole number"),
    ({"n_fft": None}, "n_fft is None: needs a whole number"),
    ({"n_fft": 8}, "n_fft is 8: needs a whole number, 16 to 4096"),
    ({"n_mels": 0}, "n_mels is 0: needs a whole number, at least 1"),
    ({"hop": 1}, "hop is 1: needs a number, above 0, below 1"),
    ({"fmin": float("nan")}, "fmin is nan: needs a number"),
    ({"fmin": float("inf")}, "fmin is inf: needs a number"),
    ({"fmin": False}, "fmin is False: needs a number"),
    ({"top_db": 0}, "top_db is 0: needs a number, above 0"),
    ({"most": 10}, "most is 10: needs a whole number, at most 9"),
    ({"dtype": "int61"}, "dtype is 'int61': did you mean int16?"),
    ({"dtype": "x"}, "dtype is 'x': known: int16, float32"),
    ({"dtype": 5}, "dtype is 5: needs a text"),
    ({"centred": 1}, "centred is 1: needs true or false"),
    ({"note": 1}, "note is 1: needs a text"),
    ({"bands": (1, 0)}, "bands is 0: needs a whole number, at least 1"),
    ({"bands": [1, 2]}, "bands is [1, 2]: needs a tuple"),
])
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^Frames: {re.escape(message)}$"):
        check_settings(Frames(**settings))


@pytest.mark.parametrize("settings", [
    {}, {"fmin": 20}, {"top_db": None}, {"n_fft": 16}, {"n_fft": 4096}, {"bands": ()},
])
def test_settings_that_are_accepted(settings):
    assert wrong_settings(Frames(**settings)) == []


def test_all_that_is_wrong_is_listed():
    with pytest.raises(ValueError, match=r"^mel: n_fft is 0: .*; fmin is -1: .*; dtype is ''"):
        check_settings(Frames(n_fft=0, fmin=-1, dtype=""), "mel")


numbers = st.one_of(st.integers(-20, 5000), st.floats(-2, 2), st.floats(),
                    st.sampled_from([float("nan"), float("inf"), -float("inf")]))
values = st.one_of(numbers, st.none(), st.booleans(), st.text("int1632floa5", max_size=7),
                   st.sampled_from(["int16", "float32"]))
names = [f.name for f in dataclasses.fields(Frames) if f.name != "bands"]
settings = st.fixed_dictionaries({}, optional={
    **dict.fromkeys(names, values), "bands": st.lists(values, max_size=3).map(tuple),
})


@dataclass(frozen=True)
class Stage:
    features: Annotated[Mapping[str, Frames], Section("features")]


@hypothesis.settings(max_examples=300)
@given(settings)
def test_verdicts_and_words_are_those_of_params_yaml(chosen):
    # What stands as a text in the file may be a number there: YAML 1.1 reads 1e-3 as a text.
    for name in ("fmin", "hop", "top_db"):
        if isinstance(chosen.get(name), str):
            chosen[name] = "x" + chosen[name]
    here = wrong_settings(Frames(**chosen))
    entry = {**chosen, **({"bands": list(chosen["bands"])} if "bands" in chosen else {})}
    _, there = checked(fields_of(Stage), {"features": {"mel": entry}}, stage="demo",
                       path=Path("params.yaml"))
    # The two go through the fields in orders of their own.
    assert sorted(set(here)) == sorted(
        re.sub(r"^--\S+ \(or features\.mel\.(\w+) in params\.yaml\)", r"\1", line)
        for line in there
    )


@given(settings)
def test_what_is_accepted_comes_out_of_the_file_alike(chosen):
    frames = Frames(**chosen)
    if not wrong_settings(frames):
        entry = yaml.safe_load(yaml.safe_dump({**chosen, "bands": list(frames.bands)}))
        result, errors = checked(fields_of(Stage), {"features": {"mel": entry}}, stage="demo",
                                 path=Path("params.yaml"))
        assert (result["features"]["mel"], errors) == (frames, [])


def test_pydantic_is_not_needed():
    code = "import sys, features.signal.settings_check; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.split()
    assert "annotated_types" in loaded
    assert not {"pydantic", "numpy", "pipeline"} & set(loaded)
