"""Check the settings of a network: the keyword arguments of its function.

The function's annotations say what is allowed: ``bool``, ``Literal[...]``, or ``Annotated`` with
bounds, such as ``Annotated[float, Ge(0), Lt(1)]``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from models.settings import hint, shown


def choice_problems(what: str, value: Any, known: Iterable[str]) -> list[str]:
    """Say what is wrong with a name: nothing, or one line with the nearest or all known names.

    Parameters
    ----------
    what : str
        What the name is of.
    value : str
    known : iterable of str

    Returns
    -------
    list of str
    """
    names = list(known)
    return [] if value in names else [f"{what} is {value!r}; {hint(value, names)}"]


def setting_problems(
    network: str, function: Callable[..., Any], given: Mapping[str, Any]
) -> list[str]:
    """List what is wrong with the settings of a network.

    Parameters
    ----------
    network : str
        Its name, for the messages.
    function : callable
        Its keyword-only arguments are the settings.
    given : mapping

    Returns
    -------
    list of str
        A line per setting that is unknown or has a value that is not allowed.
    """
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    known = {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}
    problems = []
    for name, value in given.items():
        if name in known:
            if needed := _requirement(value, known[name]):
                problems.append(f"network.{name} is {shown(value)}; needs {needed}")
        elif known:
            problems += choice_problems(f"a setting of network {network}", name, known)
        else:
            problems.append(f"network.{name} is {shown(value)}; {network} has no settings")
    return problems


def _requirement(value: Any, annotation: Any) -> str | None:
    """What `annotation` asks for, if `value` does not comply."""
    if annotation is bool:
        return None if isinstance(value, bool) else "true or false"
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        # Python takes True for 1.
        if any(type(value) is type(choice) and value == choice for choice in choices):
            return None
        return f"one of {', '.join(map(shown, choices))}"
    base, *bounds = get_args(annotation)
    kind, noun = (Integral, "a whole number") if base is int else (Real, "a number")
    if isinstance(value, kind) and not isinstance(value, bool) and all(
        _complies(value, bound) for bound in bounds
    ):
        return None
    return f"{noun}, {' and '.join(map(_words, bounds))}"


def _complies(value: Any, bound: Any) -> bool:
    match bound:
        case Ge(low):
            return value >= low
        case Gt(low):
            return value > low
        case Le(high):
            return value <= high
        case Lt(high):
            return value < high
    raise TypeError(f"{bound!r} is no bound of a setting")


def _words(bound: Any) -> str:
    match bound:
        case Ge(low):
            return f"{low} or more"
        case Gt(low):
            return f"more than {low}"
        case Le(high):
            return f"at most {high}"
        case Lt(high):
            return f"less than {high}"
    raise TypeError(f"{bound!r} is no bound of a setting")
