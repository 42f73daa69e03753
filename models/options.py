"""Options of a training that are small mappings: check what is given, complete it, explain it.

An option is chosen by name (``{mixup: {alpha: 0.4}}``, any number of them) or by kind
(``{kind: focal, gamma: 2}``, one of them). The tables of them are what ``train`` accepts and what
``--help`` says: :mod:`models.augmentation_options`, :mod:`models.loss_options`,
:mod:`models.optimization_options` and :mod:`models.network_options`. Nothing here needs Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.settings import Interval, Number, Setting, hint, quoted, shown


@dataclass(frozen=True)
class Problem:
    """What is wrong with a mapping of options.

    Attributes
    ----------
    path : tuple of str
        The key that is wrong, and the keys above it; empty for the mapping itself.
    text : str
        Follows the path: ``is -1: needs a number, at least 0``.
    """

    path: tuple[str, ...]
    text: str

    def line(self, name: str) -> str:
        """The problem in one line, for a mapping called `name`."""
        return f"{'.'.join((name, *self.path))} {self.text}"


@dataclass(frozen=True)
class Option:
    """An augmentation, a loss, an optimizer: what it does, and its settings.

    Attributes
    ----------
    help : str
    settings : mapping of str to (Setting, str)
        What each setting accepts, and what it means.
    """

    help: str
    settings: Mapping[str, tuple[Setting, str]] = field(default_factory=dict)

    def check(
        self, values: Mapping[str, Any], name: str
    ) -> tuple[dict[str, Any], list[Problem]]:
        """Return all settings, with defaults for those left out, and what is wrong with `values`.

        `name` is the option's, for messages.
        """
        result = {key: _typed(setting.default, setting)
                  for key, (setting, _) in self.settings.items()}
        problems = []
        for key, value in values.items():
            if key not in self.settings:
                known = f"; {hint(key, self.settings)}" if self.settings else ", which has none"
                problems.append(Problem((str(key),), f"is no setting of {name}{known}"))
                continue
            setting, _ = self.settings[key]
            typed = _typed(value, setting)
            if setting.accepts(typed):
                result[key] = typed
            else:
                problems.append(Problem((str(key),), f"is {quoted(value)}: needs {setting.needed}"))
        return result, problems

    def describe(self) -> dict[str, str]:
        """Return one text of ``--help`` per setting."""
        return {
            key: f"{text} ({setting.needed.removeprefix('one of ')}; default: "
                 f"{shown(setting.default)})"
            for key, (setting, text) in self.settings.items()
        }


def _typed(value: Any, setting: Setting) -> Any:
    """Convert a value to the type of its setting where that is a number.

    YAML 1.1 reads 1e-3 as text, and 2 and 2.0 are to be the same value. A value that cannot be
    converted is returned unchanged, to be refused by the check that follows.
    """
    if isinstance(setting, Interval):
        items = value if isinstance(value, list | tuple) else ()
        number = Number(0.0)
        return [_typed(each, number) for each in items] if items else value
    if not isinstance(setting, Number) or isinstance(value, bool):
        return value
    try:
        converted = float(value)
        return int(converted) if setting.whole and converted.is_integer() else converted
    except (TypeError, ValueError, OverflowError):
        return value


def describe_by_setting(options: Mapping[str, Option]) -> dict[str, str]:
    """Return one text of ``--help`` per setting, with the options that have it.

    Parameters
    ----------
    options : mapping of str to Option
    """
    names = dict[tuple[str, str], list[str]]()
    for name, option in options.items():
        for key, text in option.describe().items():
            names.setdefault((key, text), []).append(name)
    result = dict[str, str]()
    for (key, text), having in names.items():
        line = f"of {', '.join(having)}: {text}"
        result[key] = f"{result[key]}; {line}" if key in result else line
    return result


@dataclass(frozen=True)
class KindOptions:
    """Options of which one is chosen: ``{kind: focal, gamma: 2}``."""

    options: Mapping[str, Option]

    def check(self, value: Any) -> tuple[dict[str, Any], list[Problem]]:
        """Return the mapping with all defaults, and everything that is wrong with it."""
        example = f"{{kind: {next(iter(self.options))}}}"
        if not isinstance(value, Mapping):
            return {}, [Problem((), f"is {quoted(value)}: needs a mapping such as {example}")]
        if "kind" not in value:
            return {}, [Problem(("kind",), f"is missing; {hint('', self.options)}")]
        kind = value["kind"]
        if not isinstance(kind, str) or kind not in self.options:
            return {}, [Problem(("kind",), f"is {quoted(kind)}: {hint(kind, self.options)}")]
        rest = {key: each for key, each in value.items() if key != "kind"}
        result, problems = self.options[kind].check(rest, kind)
        return {"kind": kind, **result}, problems

    def describe(self) -> dict[str, str]:
        """Return one text of ``--help`` per setting, of all kinds."""
        kinds = "; ".join(f"{kind}: {each.help}" for kind, each in self.options.items())
        return {"kind": kinds, **describe_by_setting(self.options)}


@dataclass(frozen=True)
class NamedOptions:
    """Options of which any number is chosen: ``{mixup: {alpha: 0.4}, gain: {db: 6}}``."""

    options: Mapping[str, Option]

    def check(self, value: Any) -> tuple[dict[str, Any], list[Problem]]:
        """Return the mapping with all defaults, in the table's order, and what is wrong with it."""
        if not isinstance(value, Mapping):
            example = f"{{{next(iter(self.options))}: {{}}}}"
            return {}, [Problem((), f"is {quoted(value)}: needs a mapping such as {example}")]
        result = {}
        problems = [Problem((str(name),), f"is unknown; {hint(name, self.options)}")
                    for name in value if name not in self.options]
        for name, option in self.options.items():
            if name not in value:
                continue
            if not isinstance(value[name], Mapping):
                text = f"needs a mapping of some of its settings: {', '.join(option.settings)}"
                problems.append(Problem((name,), f"is {quoted(value[name])}: {text}"))
                continue
            result[name], wrong = option.check(value[name], name)
            problems += [Problem((name, *each.path), each.text) for each in wrong]
        return result, problems

    def describe(self) -> dict[str, str]:
        """Return one text of ``--help`` per option."""
        return {
            f"{name}.KEY": f"{option.help}. " + "; ".join(
                f"{key}: {text}" for key, text in option.describe().items())
            for name, option in self.options.items()
        }
