"""The changes that benchmarks/ablation.py trains, and its table; the stages test trainings."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.cli.params_file import read_params

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def ablation():
    spec = importlib.util.spec_from_file_location("ablation", BENCHMARKS / "ablation.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["ablation"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["ablation"]


def test_a_change_starts_from_the_mapping_of_section_train(ablation):
    shared = {"augment": {"mixup": {"alpha": 0.4}, "gain": {}}, "epochs": 3}
    run = {"features": "logmel"}
    result = ablation.changed(run, shared, {"augment.mixup": None, "epochs": 5})
    assert result == {"features": "logmel", "augment": {"gain": {}}, "epochs": 5}
    assert shared["augment"] == {"mixup": {"alpha": 0.4}, "gain": {}}
    assert run == {"features": "logmel"}


def test_a_change_keeps_the_other_settings_of_a_mapping(ablation):
    shared = {"augment": {"mixup": {"alpha": 0.4, "domain": "power"}}}
    result = ablation.changed({}, shared, {"augment.mixup.domain": "feature"})
    assert result == {"augment": {"mixup": {"alpha": 0.4, "domain": "feature"}}}


def test_differences_are_paired_by_seed(ablation):
    def scores(*values):
        return [ablation.Measured(value, value, float("nan"), 10.0) for value in values]

    lines = ablation.table({"recipe": scores(0.5, 0.9), "less": scores(0.4, 0.8)}).splitlines()
    assert "| recipe | 0.7000 ± 0.2828 | 0.7000 ± 0.2828 |  |  | 10 | 2 |" in lines
    assert "-0.1000 ± 0.0000 (accuracy)" in lines[-1]


@pytest.mark.parametrize("name", ["esc10", "fsd-small"])
def test_every_change_is_of_a_run_of_its_recipe_and_changes_it(ablation, name, monkeypatch):
    monkeypatch.chdir(BENCHMARKS.parent)
    changes = yaml.safe_load((BENCHMARKS / "ablation.yaml").read_text(encoding="utf-8"))[name]
    sections = read_params(Path("recipes") / f"{name}.yaml").sections
    run = sections["runs"][changes["run"]]
    before = {**sections["train"], **run}
    for change in changes["changes"].values():
        after = {**sections["train"], **ablation.changed(run, sections["train"], change)}
        assert after != before
