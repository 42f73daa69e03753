"""A recipe laid over params.yaml: what wins, what is replaced, and which file an error names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.markers import Help, Section, SharedBy
from pipeline.cli.params_file import PARAMS, read_params, read_values
from pipeline.cli.settings import parse
from pipeline.runtime.errors import UsageError

BASE = """
features:
  mfcc: {sr: 44100}
  mel: {sr: 44100}
demo: {out: there, epochs: 20, notes: [a, b]}
"""


@dataclass(frozen=True)
class Feature:
    sr: Annotated[int, Ge(1000)]


@dataclass(frozen=True)
class Settings:
    out: Annotated[Path, Help("the folder")]
    epochs: Annotated[int, Ge(1), Help("the epochs")]
    notes: Annotated[tuple[str, ...], SharedBy("features"), Help("the notes")]
    named: Annotated[Mapping[str, Feature], Section("features"), Help("the features")]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text(BASE)

    def write(text):
        path = Path("recipes/fast.yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def read(path, *flags):
    return parse("demo", Settings, "What it does.", ["--params", str(path), *flags])


def refused(path, *flags):
    with pytest.raises(UsageError) as caught:
        read(path, *flags)
    return str(caught.value).split("\n")


def test_a_recipe_holds_only_what_differs(recipe):
    path = recipe("demo: {epochs: 3}\n")
    settings = read(path)
    assert settings == Settings(
        Path("there"), 3, ("a", "b"), {"mfcc": Feature(44100), "mel": Feature(44100)})
    assert read(path, "--epochs", "5").epochs == 5
    assert read(path, "--set", "features.mel.sr=8000").named["mel"].sr == 8000
    assert read_values(path, "demo") == {"out": "there", "epochs": 3, "notes": ["a", "b"]}
    assert read(PARAMS).epochs == 20


def test_values_are_replaced_and_not_merged(recipe):
    assert read(recipe("demo: {notes: [c]}\n")).notes == ("c",)


def test_named_entries_are_replaced_as_a_whole(recipe):
    path = recipe("features: {mel: {sr: 8000}}\n")
    assert read(path).named == {"mel": Feature(8000)}
    assert read_values(path, "features") == {"mel": {"sr": 8000}}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "demo: {}\n", BASE])
def test_an_empty_or_a_complete_recipe_changes_nothing(recipe, text):
    assert read(recipe(text)) == read(PARAMS)


def test_without_params_yaml_a_file_stands_alone(recipe):
    path = recipe(BASE)
    PARAMS.unlink()
    assert read(path).epochs == 20
    assert refused(recipe("demo: {epochs: 3}\n")) == [
        f"{path}: demo.out is missing", f"{path}: demo.notes is missing",
        f"{path}: no section 'features'",
    ]


def test_params_yaml_by_another_path_is_not_laid_over_itself(recipe, tmp_path):
    params = read_params(tmp_path / "params.yaml")
    assert params.base == params.path
    assert refused(tmp_path / "none.yaml")[0].startswith(f"{tmp_path}/none.yaml: no such file")


@pytest.mark.parametrize(("text", "messages"), [
    ("demo: {epoch: 3}\n", ["RECIPE: unknown key demo.epoch; did you mean epochs?"]),
    ("demos: {epochs: 3}\n", ["RECIPE: unknown section demos; did you mean demo?"]),
    ("demo: 5\n", ["RECIPE: no section 'demo' with the stage's settings"]),
    ("demo:\n", ["RECIPE: no section 'demo' with the stage's settings"]),
    ("features: [mel]\n", ["RECIPE: no section 'features'"]),
    ("- demo\n", ["RECIPE: needs sections with settings, such as train: {epochs: 50}"]),
    ("demo: {epochs: 0}\n", [
        "RECIPE: demo.epochs is 0: needs a whole number, at least 1"]),
    ("features: {mel: {sr: 1}}\n", [
        "RECIPE: features.mel.sr is 1: needs a whole number, "
        "at least 1000"]),
    ("features: {mel: {}}\n", ["RECIPE: features.mel.sr is missing"]),
])
def test_errors_of_a_recipe_name_it(recipe, text, messages):
    path = recipe(text)
    assert [line.replace(str(path), "RECIPE") for line in refused(path)] == messages


def test_errors_of_params_yaml_name_it_under_a_recipe(recipe):
    PARAMS.write_text(BASE.replace("epochs: 20", "epochs: 0, x: 1").replace("sr: 44100", "sr: 1"))
    assert refused(recipe("demo: {out: here}\n")) == [
        "params.yaml: unknown key demo.x; known: out, epochs, notes",
        "params.yaml: demo.epochs is 0: needs a whole number, at least 1",
        *(f"params.yaml: features.{name}.sr is 1: "
          "needs a whole number, at least 1000" for name in ("mfcc", "mel")),
    ]


sections = st.dictionaries(
    st.sampled_from(["demo", "train", "features", "runs"]),
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.none()))


@given(sections, sections)
def test_every_key_is_of_the_file_that_it_is_said_to_be_from(tmp_path_factory, below, above):
    folder = tmp_path_factory.mktemp("overlay")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        PARAMS.write_text(yaml.safe_dump(below))
        Path("r.yaml").write_text(yaml.safe_dump(above))
        params = read_params(Path("r.yaml"))
    files = {Path("r.yaml"): above, PARAMS: below}
    assert params.sections.keys() == below.keys() | above.keys()
    for section, found in params.sections.items():
        for key, value in found.items():
            assert files[params.file_of(section, key)][section][key] == value
        named = section in ("features", "runs") and section in above
        assert found == (above[section] if named
                         else {**below.get(section, {}), **above.get(section, {})})
