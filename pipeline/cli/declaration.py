"""Read a settings class: the type, bounds, choices, help and place of each field.

Nothing here imports pydantic: ``--help`` needs all of this, and has 0.15 s.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from pipeline.cli.markers import FlagOnly, Help, Options, Positional, Section, SharedBy
from pipeline.runtime.errors import suggestion

M = TypeVar("M")
Bound = Ge | Gt | Le | Lt

_WORDS: dict[type, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a text",
}


@dataclass(frozen=True)
class Shape:
    """What an annotation accepts.

    Attributes
    ----------
    scalar : type
        int, float, bool, str or Path; of each item if there are many.
    optional : bool
        Whether None is accepted.
    many : bool
        Whether it is a tuple of any length.
    choices : tuple
        The accepted values, if they are listed.
    bounds : tuple of Ge, Gt, Le or Lt
    classes : tuple of type
        The dataclasses that a mapping's values are made of; there is no scalar then.
    metadata : tuple
        All metadata of ``Annotated``.
    """

    scalar: type
    optional: bool = False
    many: bool = False
    choices: tuple[Any, ...] = ()
    bounds: tuple[Bound, ...] = ()
    classes: tuple[type, ...] = ()
    metadata: tuple[Any, ...] = ()


def shape_of(hint: Any) -> Shape:
    """Read an annotation, with its metadata."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, metadata = shape_of(arguments[0]), arguments[1:]
        bounds = tuple(each for each in metadata if isinstance(each, Bound))
        return replace(inner, bounds=inner.bounds + bounds, metadata=inner.metadata + metadata)
    if origin in (Union, types.UnionType):
        inner = shape_of(next(a for a in arguments if a is not type(None)))
        return replace(inner, optional=type(None) in arguments)
    if origin is tuple:
        return replace(shape_of(arguments[0]), many=True)
    if origin is Literal:
        return Shape(type(arguments[0]), choices=arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        union: tuple[type, ...] = get_args(arguments[1]) or (arguments[1],)
        return Shape(dict, classes=() if arguments[1] is Any else union)
    return Shape(hint)


@dataclass(frozen=True)
class Field:
    """One field of a settings class.

    Attributes
    ----------
    name : str
    hint : object
        The annotation, with its metadata.
    shape : Shape
    default : object
        The value of a setting that is not given; ``dataclasses.MISSING`` if there is none.
    """

    name: str
    hint: Any
    shape: Shape
    default: Any

    def marker(self, kind: type[M]) -> M | None:
        """The field's marker of this type."""
        return next((m for m in self.shape.metadata if isinstance(m, kind)), None)

    @property
    def help(self) -> str:
        found = self.marker(Help)
        return found.text if found else ""

    @property
    def flag(self) -> str:
        """``--n-fft`` for ``n_fft``; the bare name of a positional."""
        return self.name if self.marker(Positional) else "--" + self.name.replace("_", "-")

    @property
    def in_file(self) -> bool:
        """Whether params.yaml has this setting."""
        return not (self.marker(FlagOnly) or self.marker(Positional))

    @property
    def is_mapping(self) -> bool:
        """Whether this is a section of named entries, not one value."""
        return self.shape.scalar is dict and not self.is_options

    @property
    def is_options(self) -> bool:
        """Whether this is a mapping of options in the stage's own section."""
        return self.marker(Options) is not None

    def section(self, stage: str) -> str:
        """The section of params.yaml that holds it."""
        found = self.marker(Section)
        return found.name if found else stage

    def shares_with(self, section: str, stage: str) -> bool:
        """Whether the entries of this section share the settings marked ``SharedBy(section)``."""
        found = self.marker(Section)
        return self.is_mapping and section in (self.section(stage), found.like if found else None)

    def entry_classes(self) -> tuple[type, ...]:
        """The dataclasses that the entries of a mapping are made of."""
        found = self.marker(Section)
        return tuple(found.classes()) if found and found.classes else self.shape.classes


def fields_of(settings_class: type) -> Mapping[str, Field]:
    """The fields that are set from outside, by name.

    Raises
    ------
    TypeError
        If the class is no dataclass.
    """
    return _fields_of(settings_class)


@functools.cache  # annotations are texts, whose evaluation takes milliseconds
def _fields_of(settings_class: type) -> Mapping[str, Field]:
    hints = typing.get_type_hints(settings_class, include_extras=True)
    return {
        f.name: Field(f.name, hints[f.name], shape_of(hints[f.name]), f.default)
        for f in dataclasses.fields(settings_class) if f.init
    }


def entry_class(
    name: str, own: Mapping[str, Any], settings_class: type, *, section: str
) -> type:
    """Make the dataclass of a section's entries: their own fields and those that they share.

    Parameters
    ----------
    name : str
        Of the class.
    own : mapping of str to type
        Fields that only the entries have.
    settings_class : type
        Its fields marked ``SharedBy(section)`` are the entries' other fields.
    section : str
    """
    shared = [
        (f.name, f.hint) for f in fields_of(settings_class).values()
        if (found := f.marker(SharedBy)) and found.section == section
    ]
    return dataclasses.make_dataclass(name, [*own.items(), *shared], frozen=True)


def named_section(section: str, stage: str, fields: Mapping[str, Field]) -> Field:
    """The field that a section of named entries fills."""
    return next(f for f in fields.values() if f.is_mapping and f.section(stage) == section)


def class_of(entry: Any, classes: tuple[type, ...]) -> type | None:
    """The dataclass of a named entry: the only one, or the one of its ``kind``."""
    if len(classes) == 1:
        return classes[0]
    kind = entry.get("kind") if isinstance(entry, dict) else None
    return next((c for c in classes if kind in kinds_of((c,))), None)


def kinds_of(classes: Iterable[type]) -> list[str]:
    """The values of ``kind`` that tell these dataclasses apart."""
    kinds: list[str] = []
    for each in classes:
        field = fields_of(each).get("kind")
        kinds += field.shape.choices if field else [each.kind]  # type: ignore[attr-defined]
    return kinds


def requirement(shape: Shape, value: Any) -> str:
    """What a value needs to be, for a message that `value` is not.

    Examples
    --------
    >>> requirement(shape_of(Annotated[int, Ge(1), Le(9)]), 0)
    'needs a whole number, 1 to 9'
    >>> requirement(shape_of(Literal["silence", "repeat"]), "repaet")
    'did you mean repeat?'
    """
    if shape.choices and isinstance(value, shape.scalar):
        return suggestion(str(value), map(str, shape.choices))
    if shape.scalar is Path and value == "":
        return "needs a path that is not empty"
    words = [f"needs {_WORDS.get(shape.scalar, shape.scalar.__name__)}"]
    if shape.scalar is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # YAML 1.1 reads 1e-3 as a text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value == value and abs(value) != float("inf"):
        words += _bounds(shape.bounds, whole=shape.scalar is int and isinstance(value, float))
    return ", ".join(words)


def _bounds(bounds: tuple[Bound, ...], whole: bool) -> list[str]:
    """The bounds in words; none where a fraction for a whole number is what is wrong."""
    if whole:
        return []
    low = next((b.ge for b in bounds if isinstance(b, Ge)), None)
    high = next((b.le for b in bounds if isinstance(b, Le)), None)
    if low is not None and high is not None:
        words = [f"{low} to {high}"]
    else:
        words = [f"at least {low}"] if low is not None else []
        words += [f"at most {high}"] if high is not None else []
    words += [f"above {b.gt}" for b in bounds if isinstance(b, Gt)]
    return words + [f"below {b.lt}" for b in bounds if isinstance(b, Lt)]
