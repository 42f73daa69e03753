"""Every recipe is what its head says, is accepted by every stage, and holds only what differs."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from pipeline.cli import use
from pipeline.cli.declaration import fields_of
from pipeline.cli.markers import Positional
from pipeline.cli.params_file import (
    NAMED_SECTIONS,
    PARAMS,
    read_document,
    read_values,
    stage_names,
)
from pipeline.cli.settings import parse
from pipeline.runs.choice import choose_run

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
NAMES = [path.stem for path in RECIPES]
# Their data sets have folds alone, so that predict, which dvc.yaml runs, has nothing to score.
WITHOUT_TEST_CLIPS = ("esc10", "esc10-long")
# Their networks are for GPUs: without one, a few steps on their crops take minutes.
FOR_GPUS = ("2018-1st", "fsdkaggle2019")
DEFAULTS = read_document(ROOT / PARAMS)


@pytest.fixture(params=RECIPES, ids=NAMES)
def recipe(request, monkeypatch):
    monkeypatch.chdir(ROOT)
    return request.param


def settings_of(stage, recipe, *flags):
    settings_class = importlib.import_module(f"pipeline.{stage}").Settings
    words = [str((*field.shape.choices, "a.h5")[0])
             for field in fields_of(settings_class).values() if field.marker(Positional)]
    return parse(stage, settings_class, "", ["--params", str(recipe), *words, *flags])


def run_names(recipe):
    return [*read_values(recipe, "runs"), *read_values(recipe, "follow_ups")]


def stages_in(head, recipe):
    """The stages of the commands of a head, in their order; each command has to be valid."""
    found = []
    for line in head:
        if line.startswith("  python -m pipeline."):
            stage, *flags = line.removeprefix("  python -m pipeline.").split()
            assert flags[:2] == ["--params", f"recipes/{recipe.name}"]
            settings_of(stage, recipe, *flags[2:])
            found.append(stage)
    return found


def test_the_recipes_are_there():
    assert {"2018-1st", "2018-4th", "2018-8th", "2018-11th", "planet-1st", "notebook",
            "notebook-quick", "esc10", "esc10-long", "fsd-small", "fsdkaggle2019"} <= set(NAMES)


def test_every_stage_accepts_it(recipe):
    for stage in stage_names():
        settings_of(stage, recipe)


def test_every_run_can_be_chosen(recipe):
    from pipeline.train import run_entries

    features = read_values(recipe, "features")
    for name in run_names(recipe):
        folder, entry = choose_run(settings_of("train", recipe, "--run", name), *run_entries())
        assert folder.name == name
        assert entry.features in features
    used = {entry["features"] for section in ("runs", "follow_ups")
            for entry in read_values(recipe, section).values()}
    own = read_document(recipe).get("features", {})
    of = {entry["of"] for entry in own.values() if "of" in entry}
    assert not own.keys() - used - of, "features that no run is trained on"


def test_it_holds_only_what_differs(recipe):
    own = read_document(recipe)
    same = [section for section in NAMED_SECTIONS
            if section in own and own[section] == DEFAULTS[section]]
    same += [f"{section}.{key}" for section, found in own.items() if section not in NAMED_SECTIONS
             for key, value in found.items() if value == DEFAULTS[section][key]]
    assert not same


def test_its_head_says_what_it_is(recipe):
    head = [line[2:] for line in recipe.read_text(encoding="utf-8").split("\n")
            if line.startswith("# ")]
    text = "\n".join(head)
    if recipe.stem in WITHOUT_TEST_CLIPS:
        n_runs = len(run_names(recipe))
        assert stages_in(head, recipe) == [
            "prepare", "extract", *["train"] * n_runs, *["ensemble"][:n_runs - 1], "evaluate"]
    else:
        assert f"\nCommand: python -m pipeline.cli.use recipes/{recipe.name} && dvc repro\n" in text
    for word in ("Data", "Follows", "Differs on purpose"):
        assert re.search(rf"^{word}\b", text, re.MULTILINE), word
    assert "measured yet" not in text


def test_it_can_be_written_into_params_yaml(recipe):
    text = (ROOT / PARAMS).read_text(encoding="utf-8")
    _, lines = use.rewrite(text, use.read_params(recipe))
    assert lines


def shorter_schedule(recipe, name):
    """Flags for what of a run's schedule does not go with three epochs."""
    section = "runs" if name in read_values(recipe, "runs") else "follow_ups"
    own = read_values(recipe, section)[name].get("schedule")
    schedule, flag = (own, f"--{section}.{name}.schedule") if own else (
        read_values(recipe, "train")["schedule"], "--schedule")
    return [word for key in ("warmup_epochs", "cycles") if schedule.get(key)
            for word in (f"{flag}.{key}", 1)]


def shorter_crops(recipe):
    """Flags for crops of any length from half a second to one, or of half a second."""
    if recipe.stem not in FOR_GPUS:
        return []
    longest = read_values(recipe, "train")["seconds_max"]
    return ["--seconds", 0.5, *(["--seconds-max", 1.0] if longest else [])]


@pytest.fixture(scope="module")
def demo(tmp_path_factory, call_stage):
    """A tiny demo, prepared for two folds."""
    folder = tmp_path_factory.mktemp("demo")
    for stage, *flags in (
        ("demo", "--curated", 16, "--noisy", 8, "--test", 4, "--out", folder / "data"),
        ("prepare", "--data", folder / "data", "--out", folder / "prepared", "--folds", 2),
    ):
        ended = call_stage(stage, *flags)
        assert ended.code == 0, ended.err
    return folder


@pytest.mark.slow
def test_it_trains_some_steps(recipe, demo, tmp_path, call_stage):
    """Every run of it on the demo, with its own settings but the length of training and crops."""
    def call(stage, *flags):
        ended = call_stage(stage, "--params", recipe, *flags)
        assert ended.code == 0, ended.err
        return ended

    data, stores, runs = demo / "prepared", tmp_path / "stores", tmp_path / "runs"
    call("extract", "--data", data, "--out", stores, "--jobs", 1)
    common = ("--data", data, "--stores", stores, "--runs-dir", runs)
    short = ["--epochs", 3, "--batch-size", 4, "--fold", 0, "--jobs", 1, *shorter_crops(recipe)]
    followed = {entry["follows"] for entry in read_values(recipe, "follow_ups").values()}
    for name in run_names(recipe):
        if name in read_values(recipe, "follow_ups"):
            call("pseudolabel", "--run", name, "--data", data, "--runs-dir", runs,
                 "--method", "mix")  # networks of three steps agree with nobody
        call("train", "--run", name, *common, *short, *shorter_schedule(recipe, name))
        if name in followed:
            call("predict", "--run", name, *common, "--noisy")
        assert (runs / name / "folds/0/oof.npz").is_file()
