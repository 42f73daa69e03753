"""The stores to make: the named features of params.yaml, and what their stores say of them."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import cache
from typing import Any

from features import FEATURES, feature_class, make_feature
from features.base import Feature
from pipeline.runtime.errors import UsageError, suggestion
from pipeline.store.schema import FeatureSpec, spec_of


@dataclass(frozen=True)
class Target:
    """A store to make.

    Attributes
    ----------
    name : str
        Of the feature and its store: ``logmel-32k`` is in ``logmel-32k.h5``.
    feature : Feature
        What is extracted.
    spec : FeatureSpec
        Its description, which goes into the file.
    """

    name: str
    feature: Feature
    spec: FeatureSpec


def make_target(name: str, feature: Feature, *, trim_db: float) -> Target:
    """Make the target of one feature.

    Parameters
    ----------
    name : str
    feature : Feature
    trim_db : float
        How far below a clip's loudest frame silence begins (in dB).
    """
    return Target(name, feature, spec_of(feature, trim_db))


def check_name(name: str) -> None:
    """Raise ValueError unless a store's file can have the name of a feature."""
    if not re.fullmatch(r"[\w][\w.+-]*", name):
        raise ValueError(f"feature {name!r}: a store's file gets this name; use letters, digits, "
                         "- _ . +, and begin with a letter or digit")


def make_targets(
    entries: Mapping[str, Any], names: Iterable[str], *, trim_db: float
) -> list[Target]:
    """Make the targets of the features that are named.

    Parameters
    ----------
    entries : mapping of str to object
        By name, objects of the classes of :func:`entry_classes`.
    names : iterable of str
        Those to extract.
    trim_db : float
        How far below a clip's loudest frame silence begins (in dB).

    Raises
    ------
    UsageError
        If a name is unknown, or a feature refuses its settings; all that is wrong is listed.
    """
    names = list(dict.fromkeys(names))
    if errors := feature_problems(entries, names):
        raise UsageError("\n".join(errors))
    return [make_target(name, _feature(entries, name), trim_db=trim_db) for name in names]


def feature_problems(entries: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """List why features cannot be made: unknown names, settings that contradict each other.

    Parameters
    ----------
    entries : mapping of str to object
        By name, objects of the classes of :func:`entry_classes`; None where a setting is wrong by
        itself, of which nothing is said here.
    names : iterable of str
        Those to extract.

    Returns
    -------
    list of str
        One line each.
    """
    names, errors = list(names), []
    if not names:
        errors.append(f"no features to extract; known: {', '.join(entries)}")
    for name in names:
        try:
            _feature(entries, name)
        except _WrongByItself:
            continue
        except ValueError as error:
            errors.append(str(error))
    return errors


class _WrongByItself(Exception):
    """A feature, or one that it is made of, has a wrong setting, which is reported elsewhere."""


def _feature(entries: Mapping[str, Any], name: str, inside: tuple[str, ...] = ()) -> Feature:
    """The feature of a name, with those that it is made of; ValueError if that cannot be."""
    if name not in entries:
        where = f"features.{inside[-1]}.of is" if inside else "no feature is named"
        others = [each for each in entries if each not in inside]
        raise ValueError(f"{where} {name!r}; {suggestion(name, others)}")
    check_name(name)
    if name in inside:
        raise ValueError(f"features.{name} is made of itself: {' of '.join((*inside, name))}")
    entry, settings = entries[name], {}
    if entry is None:
        raise _WrongByItself
    kind = entry.kind
    for each in fields(feature_class(kind)):
        value = getattr(entry, each.name)
        settings[each.name] = (
            _feature(entries, value, (*inside, name)) if _is_feature(kind, each.name) else value
        )
    try:
        return make_feature(kind, **settings)
    except ValueError as error:
        raise ValueError(f"features.{name}: {error}") from None


def entry_classes() -> list[type]:
    """One class per kind of feature: what params.yaml may say of a feature of that kind.

    The settings are the feature's own. One that takes another feature (the `of` of a delta) takes
    its name here.
    """
    return [_entry_class(kind, feature_class(kind)) for kind in FEATURES]


@cache  # parsing asks for each setting of each feature
def _entry_class(kind: str, made_of: type[Feature]) -> type:
    hints = typing.get_type_hints(made_of, include_extras=True)
    settings: list[Any] = []
    for each in fields(made_of):
        if _is_feature(kind, each.name):
            settings.append((each.name, str, field(kw_only=True)))
        else:
            assert each.default is not MISSING, f"{kind}.{each.name} needs a default"
            settings.append((each.name, hints[each.name],
                             field(default=each.default, kw_only=True)))
    return make_dataclass(f"{made_of.__name__}Entry", settings, namespace={"kind": kind},
                          frozen=True)


def _is_feature(kind: str, name: str) -> bool:
    """Whether a setting of a kind of feature is another feature."""
    hint = typing.get_type_hints(feature_class(kind))[name]
    return isinstance(hint, type) and issubclass(hint, Feature)
