"""Check the fields of a feature made in Python against their annotations.

  n_fft: Annotated[int, Ge(16), Le(1 << 20)] = 2048
  dtype: Literal["int16", "float32"] = "int16"
  top_db: Annotated[float | None, Gt(0)] = 80.0

The verdicts are those that the pipeline's settings get from pydantic's strict mode, in the same
words (a test holds that); pydantic itself takes too long to import for every worker. Types are
exact: neither "4" nor 4.0 nor True is a whole number, and NaN and infinity are no numbers.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def check_settings(instance: Any, name: str = "") -> None:
    """Raise a ValueError that lists all fields that are not as their annotations say.

    Parameters
    ----------
    instance : object
        A dataclass's.
    name : str
        What the message begins with; the class's name if empty.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Frames:
    ...     n_fft: Annotated[int, Ge(16)] = 2048
    ...     def __post_init__(self):
    ...         check_settings(self)
    >>> Frames(n_fft=2048.0)
    Traceback (most recent call last):
    ValueError: Frames: n_fft is 2048.0: needs a whole number
    """
    if errors := wrong_settings(instance):
        raise ValueError(f"{name or type(instance).__name__}: " + "; ".join(errors))


def wrong_settings(instance: Any) -> list[str]:
    """One message for each field, or item of a field, that is not as its annotation says."""
    errors = []
    for name, rule in _rules(instance.__class__).items():
        value = getattr(instance, name)
        if value is None and rule.optional:
            continue
        if rule.many and not isinstance(value, tuple):
            errors.append(f"{name} is {value!r}: needs a tuple")
            continue
        errors += [f"{name} is {item!r}: {rule.requirement(item)}"
                   for item in (value if rule.many else (value,)) if not rule.accepts(item)]
    return errors


@dataclass(frozen=True)
class _Rule:
    """What one annotation accepts."""

    scalar: type
    optional: bool = False
    many: bool = False
    choices: tuple[Any, ...] = ()
    bounds: tuple[Ge | Gt | Le | Lt, ...] = ()

    def accepts(self, item: Any) -> bool:
        return self._has_type(item) and self._is_within(item) and (
            not self.choices or item in self.choices
        )

    def requirement(self, item: Any) -> str:
        """What an item that is refused needs to be."""
        if self.choices and self._has_type(item):
            near = difflib.get_close_matches(str(item), map(str, self.choices), 1)
            return (f"did you mean {near[0]}?" if near
                    else f"known: {', '.join(map(str, self.choices))}")
        words = [f"needs {_WORDS[self.scalar]}"]
        return ", ".join(words + (self._bounds() if self._has_type(item) else []))

    def _has_type(self, item: Any) -> bool:
        if self.scalar is float:
            is_number = isinstance(item, int | float) and not isinstance(item, bool)
            return is_number and math.isfinite(item)
        return isinstance(item, self.scalar) and (self.scalar is bool or not isinstance(item, bool))

    def _is_within(self, item: Any) -> bool:
        return all(
            item >= b.ge if isinstance(b, Ge) else
            item > b.gt if isinstance(b, Gt) else
            item <= b.le if isinstance(b, Le) else item < b.lt
            for b in self.bounds
        )

    def _bounds(self) -> list[str]:
        low = next((b.ge for b in self.bounds if isinstance(b, Ge)), None)
        high = next((b.le for b in self.bounds if isinstance(b, Le)), None)
        if low is not None and high is not None:
            words = [f"{low} to {high}"]
        else:
            words = [f"at least {low}"] if low is not None else []
            words += [f"at most {high}"] if high is not None else []
        words += [f"above {b.gt}" for b in self.bounds if isinstance(b, Gt)]
        return words + [f"below {b.lt}" for b in self.bounds if isinstance(b, Lt)]


@lru_cache(maxsize=64)
def _rules(cls: type) -> dict[str, _Rule]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: _rule(hints[f.name]) for f in fields(cls)}


def _rule(hint: Any) -> _Rule:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner = _rule(arguments[0])
        bounds = tuple(b for b in arguments[1:] if isinstance(b, Ge | Gt | Le | Lt))
        return replace(inner, bounds=inner.bounds + bounds)
    if origin in (Union, types.UnionType):
        inner = _rule(next(a for a in arguments if a is not type(None)))
        return replace(inner, optional=type(None) in arguments)
    if origin is tuple:
        return replace(_rule(arguments[0]), many=True)
    if origin is Literal:
        return _Rule(type(arguments[0]), choices=arguments)
    return _Rule(hint)
