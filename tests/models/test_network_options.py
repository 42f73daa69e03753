"""The table of networks for --help against the functions; and no Keras."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Lt

from models.build import ARCHITECTURES
from models.names import MODELS
from models.network_options import NETWORKS, NetworkOptions
from models.options import Option, Problem
from models.settings import Choice, Flag, Number

TWO = NetworkOptions({
    "a": Option("first", {"size": (Choice("tiny", "big"), "channels"),
                          "heads": (Flag(default=False), "of its own")}),
    "b": Option("second", {"size": (Choice("tiny", "big"), "channels")}),
    "c": Option("third", {"size": (Choice("tiny", "big", default="big"), "channels")}),
    "d": Option("fourth"),
})


def declared(argument):
    """What a function's argument accepts, as the table would have it."""
    if argument.annotation is bool:
        return Flag(default=argument.default)
    if get_origin(argument.annotation) is Literal:
        return Choice(*get_args(argument.annotation), default=argument.default)
    kind, low, below = get_args(argument.annotation)
    assert (kind, type(low), type(below)) == (float, Ge, Lt)
    return Number(argument.default, low=low.ge, below=below.lt)


def test_all_networks_are_there():
    assert tuple(NETWORKS.networks) == MODELS == tuple(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_settings_are_the_keyword_arguments_of_the_function(name):
    arguments = inspect.signature(ARCHITECTURES[name].body, eval_str=True).parameters.values()
    assert {key: setting for key, (setting, _) in NETWORKS.networks[name].settings.items()} == {
        each.name: declared(each) for each in arguments if each.kind is each.KEYWORD_ONLY}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_and_setting_has_a_text_and_a_valid_default(name):
    option = NETWORKS.networks[name]
    assert option.help
    for setting, text in option.settings.values():
        assert text
        assert setting.accepts(setting.default)


def test_help_names_the_networks_of_each_setting():
    assert TWO.summary == "a: first; b: second; c: third; d: fourth"
    assert TWO.describe() == {
        "size": "of a, b: channels (tiny, big; default: tiny); "
                "of c: channels (tiny, big; default: big)",
        "heads": "of a: of its own (true or false; default: false)",
    }


def test_only_the_form_is_checked_before_the_network_is_known():
    for value in ({"size": "tiny"}, {"attention": None, "dropout": 0.1, "auxiliary": True}):
        assert TWO.check(value) == (value, [])
    assert TWO.check(["tiny"])[1]
    assert TWO.check({"size": [1]})[1] == [
        Problem(("size",), "is [1]: needs a number, a text, true, false or null")]


def test_no_keras_is_imported():
    code = ("import sys, models.network_options; "
            "sys.exit('keras' in sys.modules or 'numpy' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
