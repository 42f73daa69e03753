"""The settings of all stages: each flag is explained, and params.yaml holds them all."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from pipeline.cli.declaration import fields_of
from pipeline.cli.markers import Positional
from pipeline.cli.params_file import (
    FLAGS_ONLY,
    PARAMS,
    SHARED_SECTIONS,
    keys_by_section,
    read_document,
)
from pipeline.cli.settings import parse

ROOT = Path(__file__).parents[3]
STAGES = sorted(p.stem for p in (ROOT / "pipeline").glob("*.py") if p.stem != "__init__")


def settings_of(stage):
    return importlib.import_module(f"pipeline.{stage}").Settings


def test_the_stages_are_found():
    assert {"extract", "train", "inspect"} <= set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_flag_says_what_it_means(stage):
    for field in fields_of(settings_of(stage)).values():
        assert len(field.help.split()) >= 3, f"{stage} {field.flag}"
        # What `none` does is not to be guessed.
        if field.in_file and field.shape.optional:
            assert "none: " in field.help, f"{stage} {field.flag}"


@pytest.mark.parametrize("stage", STAGES)
def test_the_projects_params_are_valid(stage):
    fields = fields_of(settings_of(stage)).values()
    arguments = [(*field.shape.choices, "a.h5")[0] for field in fields if field.marker(Positional)]
    settings = parse(stage, settings_of(stage), "", ["--params", str(ROOT / PARAMS), *arguments])
    assert isinstance(settings, settings_of(stage))


def test_shared_sections_have_the_keys_that_stages_read():
    read = {name: set() for name in SHARED_SECTIONS}
    for stage in STAGES:
        for section, keys in keys_by_section(stage, fields_of(settings_of(stage))).items():
            if section in read:
                read[section] |= set(keys or ())
    assert read == {name: set(keys) for name, keys in SHARED_SECTIONS.items()}
    assert set(read_document(ROOT / PARAMS)["machine"]) == read["machine"]


def test_the_stages_without_a_section_are_those_that_read_none_of_their_name():
    assert [stage for stage in STAGES
            if stage not in keys_by_section(stage, fields_of(settings_of(stage)))] == [*FLAGS_ONLY]
