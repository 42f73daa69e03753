"""Settings: params.yaml is their one home, every key has a flag of the same name, flags win.

A stage declares its settings as a frozen dataclass whose fields are made by :func:`setting`. The
section of params.yaml with the stage's name must hold exactly the keys of that dataclass (those
declared ``flag_only`` aside); ``n_fft`` in the file is ``--n-fft`` on the command line.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.runtime.errors import UsageError

T = TypeVar("T")

PARAMS = Path("params.yaml")


def setting(
    help: str,
    *,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    flag_only: bool = False,
    positional: bool = False,
    also_positional: bool = False,
    replaces: tuple[str, ...] = (),
    default: Any = None,
) -> Any:
    """Declare one field of a stage's settings.

    Parameters
    ----------
    help : str
        One line for ``--help``, with the unit where there is one.
    choices : tuple of str
        The accepted values, of a string or of each member of a tuple.
    minimum, maximum : float, optional
        The accepted range, both ends included.
    flag_only : bool
        A switch of one run (``--force``), not a setting: it has no key in params.yaml.
    positional : bool
        A ``flag_only`` value given without a flag's name.
    also_positional : bool
        A setting that may be given without its flag's name too: ``OUT`` as well as ``--out OUT``.
    replaces : tuple of str
        Settings that become null when this flag is given and theirs are not: ``--sr`` sets the
        rate of every feature, whatever params.yaml says of one of them.
    default : object
        The value of a ``flag_only`` setting that is not given. Others have theirs in params.yaml.
    """
    metadata = {
        "help": help, "choices": choices, "minimum": minimum, "maximum": maximum,
        "flag_only": flag_only or positional, "positional": positional,
        "also_positional": also_positional, "replaces": replaces, "default": default,
    }
    return dataclasses.field(metadata=metadata)


def parse(stage: str, settings_class: type[T], doc: str, argv: list[str] | None = None) -> T:
    """Read a stage's settings from params.yaml and the command line.

    Raises
    ------
    UsageError
        With every unknown key, missing key and value out of range, not only the first.
    SystemExit
        As argparse does it: 0 after ``--help``, 2 for a flag that it cannot read.
    """
    fields = {f.name: f for f in dataclasses.fields(settings_class)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(settings_class)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--params", type=Path, default=PARAMS)
    params_path = first.parse_known_args(argv)[0].params

    # --help must teach even where params.yaml is missing or broken.
    problem: UsageError | None = None
    try:
        section = read_section(params_path, stage, fields)
    except UsageError as error:
        problem, section = error, {}
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.{stage}", description=doc, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = {
        name: f.metadata["default"] if f.metadata["flag_only"] else section.get(name)
        for name, f in fields.items()
    }
    for name, field in fields.items():
        _add_argument(parser, name, field.metadata, hints[name], defaults[name])
    if "params" not in fields:
        parser.add_argument(
            "--params", type=Path, default=PARAMS, metavar="FILE",
            help="where the settings are (default: %(default)s); a flag wins over its key there",
        )
    given = vars(parser.parse_args(argv))
    if problem:
        raise problem
    values = dict(defaults)
    for name, field in fields.items():
        if field.metadata["also_positional"] and given.get(name.upper()) is not None:
            given[name] = given[name.upper()]
        if name in given:
            values |= dict.fromkeys(field.metadata["replaces"])
    values |= {name: given[name] for name in fields if name in given}
    return _checked(settings_class, values, hints, where=f"{params_path}, section {stage}")


def read_section(path: Path, stage: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The mapping under `stage` in params.yaml, with exactly the keys that have a field."""
    keys = [name for name, f in fields.items() if not f.metadata["flag_only"]]
    if not keys:
        return {}
    section = read_values(path, stage)
    errors = []
    for key in section:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(keys)}"
            errors.append(f"{path}: unknown key {stage}.{key}; {hint}")
    errors += [f"{path}: {stage}.{key} is missing" for key in keys if key not in section]
    if errors:
        raise UsageError("\n".join(errors))
    return section


def read_values(path: Path, stage: str) -> dict[str, Any]:
    """The mapping under `stage` in params.yaml, as it stands there."""
    import yaml  # 30 ms, and not needed to import the package

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file. Run from the project's folder, or name it with --params."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{where}: not valid YAML: {what}") from None
    section = document.get(stage) if isinstance(document, dict) else None
    if not isinstance(section, dict):
        raise UsageError(f"{path}: no section {stage!r} with the stage's settings")
    return section


def _add_argument(
    parser: argparse.ArgumentParser, name: str, metadata: Any, hint: Any, default: Any
) -> None:
    inner, optional, many = _shape(hint)
    shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else default
    text = metadata["help"]
    if shown not in (None, "", False) or (shown == 0 and shown is not False):
        text += f" (default: {shown})"
    options: dict[str, Any] = {"help": text.replace("%", "%%"), "default": argparse.SUPPRESS}
    if metadata["choices"]:
        options["choices"] = metadata["choices"]
    if inner is bool:
        options["action"] = (
            "store_true" if metadata["flag_only"] else argparse.BooleanOptionalAction
        )
        options.pop("choices", None)
    else:
        options["type"] = _or_none(inner) if optional else inner
        if many:
            options["nargs"] = "+"
        if not metadata["choices"]:
            options["metavar"] = {int: "N", float: "X", Path: "PATH"}.get(inner, "NAME")
    if metadata["positional"]:
        options["nargs"] = "+" if many else None
        parser.add_argument(name, **options)
        return
    flag = "--" + name.replace("_", "-")
    container: argparse._ActionsContainer = parser
    if metadata["also_positional"]:
        # Exclusive: a value given both ways is a mistake, and neither must win in silence.
        container = parser.add_mutually_exclusive_group()
        container.add_argument(name.upper(), nargs="?", type=inner, help=f"the same as {flag}")
    container.add_argument(flag, dest=name, **options)


def _or_none(inner: type) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        return None if text.lower() in ("none", "null") else inner(text)

    convert.__name__ = f"{inner.__name__} or none"
    return convert


def _shape(hint: Any) -> tuple[type, bool, bool]:
    """(the scalar type, None accepted, several values) of a field's annotation."""
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner, _, many = _shape(args[0])
        return inner, True, many
    if typing.get_origin(hint) is tuple:
        return args[0], False, True
    return hint, False, False


def _checked(settings_class: type[T], values: dict[str, Any], hints: Any, where: str) -> T:
    """The settings, each converted to its type and held to its choices and its range."""
    errors: list[str] = []
    result: dict[str, Any] = {}
    for field in dataclasses.fields(settings_class):  # type: ignore[arg-type]
        name, metadata = field.name, field.metadata
        inner, optional, many = _shape(hints[name])
        value = values[name]
        if value is None and (optional or metadata["flag_only"]):
            result[name] = None
            continue
        items = value if many and isinstance(value, list | tuple) else [value]
        good = []
        for item in items:
            try:
                good.append(_converted(item, inner, metadata))
            except ValueError as error:
                flag = name if metadata["positional"] else "--" + name.replace("_", "-")
                errors.append(f"{flag} (or {name} in {where}) is {item!r}: {error}")
        result[name] = tuple(good) if many else (good[0] if good else None)
    if errors:
        raise UsageError("\n".join(errors))
    return settings_class(**result)


def _converted(item: Any, inner: type, metadata: Any) -> Any:
    needed = {int: "a whole number", float: "a number", bool: "true or false"}.get(inner, "a text")
    if inner is float and isinstance(item, int | str) and not isinstance(item, bool):
        # YAML 1.1 reads 1e-3 as a text.
        try:
            item = float(item)
        except ValueError:
            raise ValueError(f"needs {needed}") from None
    if inner is Path and isinstance(item, str):
        item = Path(item)
    if not isinstance(item, inner) or (isinstance(item, bool) and inner is not bool):
        raise ValueError(f"needs {needed}")
    if metadata["choices"] and item not in metadata["choices"]:
        raise ValueError(f"known: {', '.join(metadata['choices'])}")
    low, high = metadata["minimum"], metadata["maximum"]
    if inner in (int, float):
        if not math.isfinite(item):  # type: ignore[arg-type]
            raise ValueError(f"needs {needed}")
        if (low is not None and item < low) or (high is not None and item > high):
            bounds = f"at least {low}" if high is None else f"{low} to {high}"
            raise ValueError(f"needs {needed}, {bounds}" if low is not None
                             else f"needs {needed}, at most {high}")
    return item
