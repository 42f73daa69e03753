"""Tables of options: defaults, typing, messages, help; and no Keras."""

from __future__ import annotations

import subprocess
import sys

import pytest

from models.augmentation_options import AUGMENTATIONS
from models.loss_options import LOSSES
from models.optimization_options import AVERAGING, OPTIMIZERS, SCHEDULES
from models.options import KindOptions, NamedOptions, Option, Problem
from models.settings import Choice, Flag, Interval, Number

TABLES = (AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES, AVERAGING)
PITCH = Option("another pitch", {
    "cents": (Number(50.0, low=0), "greatest change"),
    "steps": (Number(3, low=1, whole=True), "number of pitches"),
    "range": (Interval((0.5, 1.0), above=0, high=1), "where"),
    "keep": (Flag(default=False), "whether the length stays"),
    "mode": (Choice("up", "down"), "direction"),
})
NAMED = NamedOptions({"pitch": PITCH, "echo": Option("repeat")})
KIND = KindOptions({"pitch": PITCH})


def test_what_is_left_out_has_its_default_and_the_order_is_the_tables():
    assert NAMED.check({"echo": {}, "pitch": {"cents": 10}}) == (
        {"pitch": {"cents": 10.0, "steps": 3, "range": [0.5, 1.0], "keep": False, "mode": "up"},
         "echo": {}}, [])
    assert list(NAMED.check({"echo": {}, "pitch": {}})[0]) == ["pitch", "echo"]
    assert NAMED.check({}) == ({}, [])


def test_numbers_are_of_one_type_however_they_are_written():
    found, problems = KIND.check({"kind": "pitch", "cents": "1e-3", "steps": 2.0, "range": [1, 1]})
    assert not problems
    assert (found["cents"], found["steps"], found["range"]) == (0.001, 2, [1.0, 1.0])
    assert [type(found[key]) for key in ("cents", "steps")] == [float, int]


@pytest.mark.parametrize(("value", "problem"), [
    (3, Problem((), "is 3: needs a mapping such as {pitch: {}}")),
    (None, Problem((), "is null: needs a mapping such as {pitch: {}}")),
    ({"pich": {}}, Problem(("pich",), "is unknown; did you mean pitch?")),
    ({"pitch": None}, Problem(("pitch",), "is null: needs a mapping of some of its settings: "
                                          "cents, steps, range, keep, mode")),
    ({"pitch": {"cent": 1}},
     Problem(("pitch", "cent"), "is no setting of pitch; did you mean cents?")),
    ({"pitch": {"cents": -1}}, Problem(("pitch", "cents"), "is -1: needs a number, at least 0")),
    ({"pitch": {"cents": True}},
     Problem(("pitch", "cents"), "is true: needs a number, at least 0")),
    ({"pitch": {"cents": "nan"}},
     Problem(("pitch", "cents"), "is 'nan': needs a number, at least 0")),
    ({"pitch": {"steps": 1.5}},
     Problem(("pitch", "steps"), "is 1.5: needs a whole number, at least 1")),
    ({"pitch": {"mode": "uo"}}, Problem(("pitch", "mode"), "is 'uo': needs one of up, down")),
])
def test_named_options_say_what_is_wrong_and_where(value, problem):
    assert NAMED.check(value)[1] == [problem]


@pytest.mark.parametrize(("value", "problem"), [
    ("pitch", Problem((), "is 'pitch': needs a mapping such as {kind: pitch}")),
    ({}, Problem(("kind",), "is missing; known: pitch")),
    ({"kind": "pich"}, Problem(("kind",), "is 'pich': did you mean pitch?")),
    ({"kind": ["pitch"]}, Problem(("kind",), "is ['pitch']: did you mean pitch?")),
    ({"kind": "pitch", "keep": 0}, Problem(("keep",), "is 0: needs true or false")),
])
def test_options_by_kind_say_what_is_wrong_and_where(value, problem):
    assert KIND.check(value)[1] == [problem]


def test_all_that_is_wrong_is_listed():
    problems = NAMED.check({"pich": {}, "pitch": {"cents": -1, "stepz": 2}})[1]
    assert [each.line("augment").split(" is ")[0] for each in problems] == [
        "augment.pich", "augment.pitch.cents", "augment.pitch.stepz"]


@pytest.mark.parametrize("table", TABLES)
def test_defaults_are_valid_and_checking_twice_changes_nothing(table):
    for name, option in table.options.items():
        for key, (setting, text) in option.settings.items():
            assert setting.accepts(setting.default), (name, key)
            assert text
        assert option.help
        is_kind = isinstance(table, KindOptions)
        once, problems = table.check({"kind": name} if is_kind else {name: {}})
        assert problems == []
        assert table.check(once) == (once, [])


def test_help_names_every_setting_once_with_the_kinds_that_have_it():
    texts = LOSSES.describe()
    assert texts["gamma"].startswith("of focal: ")
    assert "default: 2.0" in texts["gamma"]
    assert all(kind in texts["kind"] for kind in LOSSES.options)
    for name, option in AUGMENTATIONS.options.items():
        text = AUGMENTATIONS.describe()[f"{name}.KEY"]
        assert all(f"{key}: " in text for key in option.settings)


def test_no_keras_is_imported():
    code = ("import sys, models.augmentation_options, models.loss_options; "
            "import models.network_options, models.optimization_options; "
            "sys.exit('keras' in sys.modules or 'numpy' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
