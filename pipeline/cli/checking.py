"""Check settings with pydantic's strict mode, with error messages of our own.

pydantic takes 0.1 s to import, so only :func:`pipeline.cli.settings.parse` imports this module,
once ``--help`` is done. The values are handed over as JSON: of all strict modes that is the one
which takes a list for a tuple, a text for a path and a mapping for a dataclass, but neither "4" nor
4.0 nor true for a whole number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from pipeline.cli.declaration import (
    Field,
    Shape,
    class_of,
    fields_of,
    kinds_of,
    requirement,
)
from pipeline.cli.markers import Options, SharedBy
from pipeline.runtime.errors import suggestion

FileOf = Callable[[str, str], Path]
_typed_dict: Any = TypedDict  # its keys are not known before
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class _UnknownKind:
    """What an entry is whose ``kind`` is missing or names no dataclass: always refused."""

    kind: Annotated[int, Ge(1), Le(0)]


# A list in a list is no setting: it stands for what JSON has no word for, to be refused.
_REFUSED = [[None]]


def checked(
    fields: Mapping[str, Field], values: Mapping[str, Any], *, stage: str, file_of: FileOf
) -> tuple[dict[str, Any], list[str]]:
    """Convert values to their fields' types and hold them to their bounds and choices.

    Parameters
    ----------
    fields : mapping of str to Field
    values : mapping of str to object
        As params.yaml or the command line gave them. Fields without a value are passed over.
    stage : str
    file_of : callable
        Returns the file that a section's key is from, for messages.

    Returns
    -------
    result : dict of str to object
        Empty if there are errors.
    errors : list of str
        One line for each value that is refused.
    """
    # A switch that is not given is what its declaration says, None too.
    switches = {n: v for n, v in values.items() if not fields[n].in_file and v is fields[n].default}
    present = {n: f for n, f in fields.items() if n in values and n not in switches}
    values, wrong_options = _with_options(present, values, stage=stage, file_of=file_of)
    values_type = _typed_dict("values_type", {
        name: _type_of(values[name], field) for name, field in present.items()
    })
    values_type.__pydantic_config__ = _STRICT
    written = {name: _as_json(values[name], field) for name, field in present.items()}
    try:
        result: Any = TypeAdapter(values_type).validate_json(json.dumps(written))
    except ValidationError as error:
        return {}, _messages(error, present, values, stage, file_of) + wrong_options
    if wrong_options:
        return {}, wrong_options
    for name, field in present.items():
        if field.shape.scalar is Path:
            result[name] = _path(values[name], field.shape)
    return switches | result, []


def _with_options(
    fields: Mapping[str, Field], values: Mapping[str, Any], *, stage: str, file_of: FileOf
) -> tuple[dict[str, Any], list[str]]:
    """Complete the mappings of options, in named entries too, and list what is wrong with them."""
    result, messages, shared = dict(values), list[str](), set[int]()
    for name, field in fields.items():
        if field.is_options:
            section = field.section(stage)
            where = f" (or {name}{{}} in {file_of(section, name)}, section {section})"
            shared.add(id(values[name]))
            result[name], wrong = _complete(values[name], field, field.flag, where)
            messages += wrong
    for name, field in fields.items():
        entries = values[name]
        if not field.is_mapping or not isinstance(entries, dict):
            continue
        section, classes = field.section(stage), field.entry_classes()
        result[name] = dict(entries)
        for entry_name, entry in entries.items():
            entry_class = class_of(entry, classes) if isinstance(entry, dict) else None
            if entry_class is None:
                continue
            result[name][entry_name] = dict(entry)
            for key, of_entry in fields_of(entry_class).items():
                if key in entry and of_entry.is_options:
                    place = f"{section}.{entry_name}.{key}"
                    where = f" (or {place}{{}} in {file_of(section, entry_name)})"
                    result[name][entry_name][key], wrong = _complete(
                        entry[key], of_entry, f"--{place}", where)
                    # The stage's own value is reported by itself.
                    messages += wrong if id(entry[key]) not in shared else []
    return result, messages


def _complete(value: Any, field: Field, flag: str, where: str) -> tuple[Any, list[str]]:
    """One mapping of options with all defaults, and its errors; `where` has a gap for the key."""
    marker = field.marker(Options)
    assert marker is not None
    if value is None and field.shape.optional:
        return None, []
    complete, problems = marker.table.check(value)
    return complete, [
        f"{flag}{dotted}{where.format(dotted)} {problem.text}" for problem in problems
        for dotted in ["".join(f".{key}" for key in problem.path)]
    ]


def _type_of(value: Any, field: Field) -> Any:
    """The field's type for pydantic; of named entries, each the dataclass of its kind."""
    if not field.is_mapping:
        return field.hint
    classes = field.entry_classes()
    entries = value if isinstance(value, dict) else {}
    return _typed_dict("entries_type", {
        name: class_of(entry, classes) or _UnknownKind
        for name, entry in entries.items() if isinstance(name, str)
    })


def _as_json(value: Any, field: Field) -> Any:
    if not field.is_mapping:
        return _scalars(value, field.shape)
    if not isinstance(value, dict):
        return _REFUSED
    classes, result = field.entry_classes(), {}
    for name, entry in value.items():
        if not isinstance(name, str):
            continue  # reported with the sections
        entry_class = class_of(entry, classes)
        known = fields_of(entry_class) if entry_class else {}
        result[name] = {
            str(key): _scalars(item, known[key].shape) if key in known else _plain(item)
            for key, item in entry.items() if key != "kind" or key in known
        } if isinstance(entry, dict) else _REFUSED
    return result


def _scalars(value: Any, shape: Shape) -> Any:
    """A value as JSON; a single one stands for a list of one."""
    if not shape.many or value is None:
        return _scalar(value, shape)
    items = value if isinstance(value, list | tuple) else [value]
    return [_scalar(item, shape) for item in items]


def _scalar(value: Any, shape: Shape) -> Any:
    if shape.scalar is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a text.
        try:
            return float(value)
        except ValueError:
            return _REFUSED
    if shape.scalar is dict and isinstance(value, dict):
        return value  # checked already
    if shape.scalar is Path and isinstance(value, str | Path):
        # An empty path would be the whole working folder.
        return str(value).encode("utf-8", "replace").decode() or _REFUSED
    return _plain(value)


def _plain(value: Any) -> Any:
    """What JSON has a word for; dates, bytes, lists and half a character are refused."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return _REFUSED
    return value if value is None or isinstance(value, bool | int | float | str) else _REFUSED


def _path(value: Any, shape: Shape) -> Any:
    """Paths as they were given: names of files need not be UTF-8."""
    if value is None:
        return None
    if shape.many:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(map(Path, items))
    return Path(value)


def _messages(
    error: ValidationError, fields: Mapping[str, Field], values: Mapping[str, Any], stage: str,
    file_of: FileOf,
) -> list[str]:
    """pydantic's errors, one line each; a value that entries share is named once."""
    found = error.errors(include_url=False)
    wrong = {e["loc"][0] for e in found}
    messages = []
    for e in found:
        name, *rest = e["loc"]
        field, value = fields[str(name)], values[str(name)]
        section = field.section(stage)
        path = file_of(section, field.name)
        if field.is_mapping:
            if not rest or not isinstance(value, dict):
                messages.append(f"{path}: section {section} needs names, each with settings")
                continue
            if _is_shared(rest, value, field, stage, wrong, fields, values):
                continue
            messages.append(_of_entry(e, rest, value, field, section, path))
            continue
        if rest and isinstance(value, list | tuple):
            value = value[int(rest[0])]
        where = f" (or {name} in {path}, section {section})" if field.in_file else ""
        needed = requirement(field.shape, value)
        messages.append(f"{field.flag}{where} is {_shown(value)}: {needed}")
    return list(dict.fromkeys(messages))


def _is_shared(
    rest: list[Any], entries: Mapping[str, Any], field: Field, stage: str, wrong: set[Any],
    fields: Mapping[str, Field], values: Mapping[str, Any],
) -> bool:
    """Whether an entry's wrong value is the stage's own, which is reported by itself."""
    key = next((k for k in map(str, rest[1:]) if k in fields and k in wrong), None)
    entry = entries.get(rest[0])
    if key is None or not isinstance(entry, dict):
        return False
    marker = fields[key].marker(SharedBy)
    return (marker is not None and field.shares_with(marker.section, stage)
            and entry.get(key) is values[key])


def _of_entry(
    error: Any, rest: list[Any], entries: Mapping[str, Any], field: Field, section: str, path: Path
) -> str:
    """One error within a named entry. `rest` is (name, key, item) or as much as there is."""
    classes = field.entry_classes()
    name, *rest = rest
    entry = entries.get(name)
    place = f"{section}.{name}"
    if not isinstance(entry, dict):
        return f"{path}: {place} is {_shown(entry)}: needs a mapping with its settings"
    kind = error["type"]
    if kind == "value_error":
        return f"{path}: {place}: {error['ctx']['error']}"
    entry_class = class_of(entry, classes)
    if entry_class is None and "kind" not in entry:
        return f"{path}: {place}.kind is missing; {suggestion('', kinds_of(classes))}"
    if entry_class is None:
        value = entry["kind"]
        return (f"--{place}.kind (or {place}.kind in {path}) is {_shown(value)}: "
                + suggestion(str(value), kinds_of(classes)))
    known, key = fields_of(entry_class), str(rest[0])
    if kind == "missing":
        return f"{path}: {place}.{key} is missing"
    if kind == "unexpected_keyword_argument":
        return f"{path}: unknown key {place}.{key}; {suggestion(key, known)}"
    value = entry[key]
    if len(rest) > 1 and isinstance(value, list | tuple):
        value = value[int(rest[1])]
    flag = f"--{place}.{key.replace('_', '-')}"
    return (f"{flag} (or {place}.{key} in {path}) is {_shown(value)}: "
            + requirement(known[key].shape, value))


def _shown(value: Any) -> str:
    return repr(str(value) if isinstance(value, Path) else value)
