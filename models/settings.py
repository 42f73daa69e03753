"""Declare the settings of augmentations, losses and optimizers, and check what is given for them.

:mod:`models.options` says where the tables are. Nothing here needs Keras.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol


class Setting(Protocol):
    """What a declaration has: a default, and what it says of a value.

    Examples
    --------
    >>> setting: Setting = Flag(default=False)
    >>> setting.needed
    'true or false'
    """

    @property
    def default(self) -> Any:
        """The value where none is given."""

    @property
    def needed(self) -> str:
        """What values are valid, in words."""

    def accepts(self, value: Any) -> bool:
        """Whether a value is valid."""


@dataclass(frozen=True)
class Number:
    """A finite number within bounds.

    Attributes
    ----------
    default : float
    low, high : float
        The bounds, which are valid values.
    above, below : float, optional
        Bounds that are no valid values.
    whole : bool
        Whether the number has to be an integer.

    Examples
    --------
    >>> Number(2, low=1, whole=True).needed
    'a whole number, at least 1'
    >>> Number(0.5, above=0, high=1).accepts(0)
    False
    """

    default: float
    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    whole: bool = False

    @property
    def needed(self) -> str:
        """What values are valid, in words."""
        words = ["a whole number" if self.whole else "a number"]
        if -math.inf < self.low and self.high < math.inf:
            words += [f"{self.low:g} to {self.high:g}"]
        else:
            words += [f"at least {self.low:g}"] if self.low > -math.inf else []
            words += [f"above {self.above:g}"] if self.above > -math.inf else []
            words += [f"at most {self.high:g}"] if self.high < math.inf else []
        words += [f"below {self.below:g}"] if self.below < math.inf else []
        return ", ".join(words)

    def accepts(self, value: Any) -> bool:
        """Whether a value is valid."""
        kind = Integral if self.whole else Real
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        number = float(value)
        return (
            math.isfinite(number) and self.low <= number <= self.high
            and self.above < number < self.below
        )


@dataclass(frozen=True)
class Interval:
    """Two finite numbers, [lowest, highest], within bounds.

    Attributes
    ----------
    default : (float, float)
    above : float
        Lower bound, which is no valid value.
    high : float
        Upper bound, which is one.

    Examples
    --------
    >>> Interval((0.5, 1.0), above=0, high=1).needed
    '[lowest, highest], two numbers, above 0, at most 1'
    """

    default: tuple[float, float]
    above: float = -math.inf
    high: float = math.inf

    @property
    def needed(self) -> str:
        """What values are valid, in words."""
        bounds = Number(0, above=self.above, high=self.high).needed.removeprefix("a number")
        return f"[lowest, highest], two numbers{bounds}"

    def accepts(self, value: Any) -> bool:
        """Whether a value is valid."""
        bounds = Number(0, above=self.above, high=self.high)
        return (
            isinstance(value, list | tuple) and len(value) == 2
            and all(bounds.accepts(x) for x in value) and value[0] <= value[1]
        )


@dataclass(frozen=True)
class Choice:
    """One of some values; the first is the default unless another one is named.

    Attributes
    ----------
    values : tuple of str, int or None
    default : str, int or None

    Examples
    --------
    >>> Choice("mix", "or").default
    'mix'
    >>> Choice(None, 1, 2, default=2).needed
    'one of null, 1, 2'
    """

    values: tuple[str | int | None, ...]
    default: Any

    def __init__(self, *values: str | int | None, default: Any = ...) -> None:
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "default", values[0] if default is ... else default)

    @property
    def needed(self) -> str:
        """What values are valid, in words."""
        return "one of " + ", ".join(map(shown, self.values))

    def accepts(self, value: Any) -> bool:
        """Whether a value is valid."""
        # Python takes True for 1.
        return any(type(value) is type(each) and value == each for each in self.values)


@dataclass(frozen=True)
class Flag:
    """True or false.

    Examples
    --------
    >>> Flag(default=False).accepts(1)
    False
    """

    default: bool

    @property
    def needed(self) -> str:
        """What values are valid, in words."""
        return "true or false"

    def accepts(self, value: Any) -> bool:
        """Whether a value is valid."""
        return isinstance(value, bool)


def shown(value: Any) -> str:
    """Write a value as YAML does.

    Examples
    --------
    >>> shown(None), shown(True), shown((0.5, 1.0))
    ('null', 'true', '[0.5, 1.0]')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)


def quoted(value: Any) -> str:
    """Write a value as YAML does, texts in quotes.

    Examples
    --------
    >>> quoted(None), quoted("tiny"), quoted(2)
    ('null', "'tiny'", '2')
    """
    return repr(value) if isinstance(value, str) else shown(value)


def hint(name: Any, known: Iterable[str]) -> str:
    """What to write instead of an unknown name.

    Examples
    --------
    >>> hint("gian", ["gain", "roll"]), hint("x", ["gain", "roll"])
    ('did you mean gain?', 'known: gain, roll')
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
