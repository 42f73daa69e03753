"""Check a dataclass against the types and bounds that its fields are annotated with."""

from __future__ import annotations

import math
import operator
import types
import typing
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text",
          types.NoneType: "null"}
_HOLDS = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def type_errors(instance: Any) -> list[str]:
    """Hold the type of every field of a dataclass to its annotation.

    Understood are int, float, bool, str and other classes, ``| None`` and ``Literal``, in
    ``Annotated`` or not. A float takes whole numbers too; NaN and infinity are refused.

    Returns
    -------
    errors : list of str
        A sentence for each field that does not fit.
    """
    return [
        f"{name} is {value!r}: needs {_needed(options, bounds)}"
        for name, value, options, bounds in _fields(instance)
        if not any(_is_a(value, option) for option in options)
    ]


def bound_errors(instance: Any) -> list[str]:
    """Hold every number to the bounds in its annotation, once the types are right.

    Understood is anything in ``Annotated`` with `ge`, `gt`, `le` or `lt`, as the package
    annotated-types has them.

    Returns
    -------
    errors : list of str
        A sentence for each field that does not fit.
    """
    return [
        f"{name} is {value!r}: needs {_needed(options, bounds)}"
        for name, value, options, bounds in _fields(instance)
        if value is not None and any(
            not holds(value, getattr(bound, word))
            for bound in bounds for word, holds in _HOLDS.items()
            if getattr(bound, word, None) is not None
        )
    ]


def _fields(instance: Any) -> Iterator[tuple[str, Any, tuple[Any, ...], tuple[Any, ...]]]:
    """Name, value, accepted types and annotations of each field."""
    hints = typing.get_type_hints(type(instance), include_extras=True)
    for field in fields(instance):
        hint: Any = hints[field.name]
        bounds: list[Any] = []
        if typing.get_origin(hint) is typing.Annotated:
            hint, *bounds = typing.get_args(hint)
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        options = typing.get_args(hint) if union else (hint,)
        yield field.name, getattr(instance, field.name), options, tuple(bounds)


def _is_a(value: Any, option: Any) -> bool:
    if typing.get_origin(option) is typing.Literal:
        return value in typing.get_args(option)
    if option is float:
        return (isinstance(value, int | float) and not isinstance(value, bool)
                and math.isfinite(value))
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if option is types.NoneType:
        return value is None
    return isinstance(value, option)


def _needed(options: tuple[Any, ...], bounds: tuple[Any, ...]) -> str:
    limits = {word: limit for bound in bounds for word in _WORDS
              if (limit := getattr(bound, word, None)) is not None}
    texts = [f"{_WORDS[word]} {limit:g}" for word, limit in limits.items()]
    if limits.keys() == {"ge", "le"}:
        texts = [f"{limits['ge']:g} to {limits['le']:g}"]
    names = " or ".join(_name(option) for option in options)
    return ", ".join([names, *texts])


def _name(option: Any) -> str:
    if typing.get_origin(option) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(option)))
    return _NAMES.get(option, f"a {getattr(option, '__name__', option)}")
