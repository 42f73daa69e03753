"""Declare the settings of augmentations, losses and optimizers, and check what is given for them.

A table of settings, ``{"alpha": Number(0.4, above=0)}``, is the one place for their names, defaults
and bounds. Nothing here needs Keras.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
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
    'a whole number from 1'
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
        words += [f"from {self.low:g}"] if self.low > -math.inf else []
        words += [f"above {self.above:g}"] if self.above > -math.inf else []
        words += [f"to {self.high:g}"] if self.high < math.inf else []
        words += [f"below {self.below:g}"] if self.below < math.inf else []
        return " ".join(words)

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
    '[lowest, highest], two numbers above 0 to 1'
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
    """One of some names, the first of which is the default.

    Examples
    --------
    >>> Choice("mix", "or").default
    'mix'
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    @property
    def default(self) -> str:
        """The first of the names."""
        return self.names[0]

    @property
    def needed(self) -> str:
        """What values are valid, in words."""
        return "one of " + ", ".join(self.names)

    def accepts(self, value: Any) -> bool:
        """Whether a value is valid."""
        return isinstance(value, str) and value in self.names


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


Declared = Mapping[str, Setting]


def resolve(what: str, given: Any, declared: Declared) -> tuple[dict[str, Any], list[str]]:
    """Fill in defaults and find everything that is wrong.

    Parameters
    ----------
    what : str
        Whose settings they are, for error messages.
    given : mapping
        Some or all of the settings.
    declared : mapping of str to Setting

    Returns
    -------
    values : dict
        Of every declared setting.
    errors : list of str
        Everything that is wrong with `given`; where it is not empty, `values` means nothing.

    Examples
    --------
    >>> resolve("gain", {"db": -1, "dbs": 2}, {"db": Number(6, low=0)})[1]
    ['gain.dbs is unknown; did you mean db?', 'gain.db is -1; needs a number from 0']
    >>> resolve("gain", {}, {"db": Number(6, low=0)})
    ({'db': 6}, [])
    """
    if not isinstance(given, Mapping):
        names = ", ".join(declared) or "none"
        return {}, [f"{what} is {given!r}; needs settings by name; known: {names}"]
    errors = [f"{what}.{name} is unknown; {hint(name, declared)}"
              for name in given if name not in declared]
    errors += [f"{what}.{name} is {given[name]!r}; needs {setting.needed}"
               for name, setting in declared.items()
               if name in given and not setting.accepts(given[name])]
    return {name: given.get(name, setting.default) for name, setting in declared.items()}, errors


def resolve_kind(
    what: str, given: Any, kinds: Mapping[str, Declared]
) -> tuple[str, dict[str, Any], list[str]]:
    """The same for settings whose key ``kind`` says which table they follow.

    Parameters
    ----------
    what : str
    given : mapping
    kinds : mapping of str to (mapping of str to Setting)

    Returns
    -------
    kind : str
    values : dict
        Without ``kind``.
    errors : list of str

    Examples
    --------
    >>> resolve_kind("loss", {"kind": "focal"}, {"focal": {"gamma": Number(2, low=0)}})
    ('focal', {'gamma': 2}, [])
    >>> resolve_kind("loss", {"kind": "vocal"}, {"focal": {}})[2]
    ["loss.kind is 'vocal'; did you mean focal?"]
    """
    if not isinstance(given, Mapping):
        known = ", ".join(kinds)
        return "", {}, [f"{what} is {given!r}; needs settings with the key kind; known: {known}"]
    if "kind" not in given:
        return "", {}, [f"{what}.kind is missing; known: {', '.join(kinds)}"]
    kind = given["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        return "", {}, [f"{what}.kind is {kind!r}; {hint(kind, kinds)}"]
    rest = {name: value for name, value in given.items() if name != "kind"}
    return kind, *resolve(what, rest, kinds[kind])


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
