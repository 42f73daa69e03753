"""Settings of networks are checked by what their functions say."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from models.network_settings import setting_problems


def network(
    x, *, size: Literal["tiny", "small"] = "tiny", attention: Literal[None, "se"] = None,
    stride: Literal[1, 2] = 1, heads: bool = False, rate: Annotated[float, Ge(0), Lt(1)] = 0.1,
    width: Annotated[int, Gt(0), Le(8)] = 4,
):
    return x


@pytest.mark.parametrize(
    "given",
    [{}, {"size": "small", "attention": "se", "stride": 2, "heads": True, "rate": 0, "width": 8},
     {"attention": None, "rate": 0.99}],
)
def test_good_settings(given):
    assert setting_problems("net", network, given) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"size": "big"}, "network.size is big; needs one of tiny, small"),
        ({"attention": "cbam"}, "network.attention is cbam; needs one of null, se"),
        ({"stride": True}, "network.stride is true; needs one of 1, 2"),
        ({"heads": 1}, "network.heads is 1; needs true or false"),
        ({"rate": 1}, "network.rate is 1; needs a number, 0 or more and less than 1"),
        ({"rate": float("nan")}, "network.rate is nan; needs a number, 0 or more and less than 1"),
        ({"rate": None}, "network.rate is null; needs a number, 0 or more and less than 1"),
        ({"width": 2.0}, "network.width is 2.0; needs a whole number, more than 0 and at most 8"),
        ({"sise": "tiny"}, "a setting of network net is 'sise'; did you mean size?"),
        ({"zzz": 1}, "a setting of network net is 'zzz'; known: size, attention, stride, heads, "
                     "rate, width"),
    ],
)
def test_bad_settings(given, problem):
    assert setting_problems("net", network, given) == [problem]


def test_all_problems_are_listed():
    found = setting_problems("net", network, {"size": 3, "no": 1, "rate": -1})
    assert len(found) == 3


def test_networks_without_settings_say_so():
    problems = setting_problems("conv2d", lambda x: x, {"size": "tiny"})
    assert problems == ["network.size is tiny; conv2d has no settings"]
