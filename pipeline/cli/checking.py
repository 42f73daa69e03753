"""Check settings with pydantic's strict mode, with error messages of our own.

pydantic takes 0.1 s to import, so only :func:`pipeline.cli.settings.parse` imports this module,
once ``--help`` is done. The values are handed over as JSON: of all strict modes that is the one
which takes a list for a tuple, a text for a path and a mapping for a dataclass, but neither "4" nor
4.0 nor true for a whole number.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
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
from pipeline.cli.markers import Options
from pipeline.cli.origins import Words
from pipeline.runtime.errors import suggestion

# A field and the named entry in it; "" where it is the field as a whole.
Place = tuple[str, str]
_typed_dict: Any = TypedDict  # its keys are not known before
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class _UnknownKind:
    """What an entry is whose ``kind`` is missing or names no dataclass: always refused."""

    kind: Annotated[int, Ge(1), Le(0)]


# A list in a list is no setting: it stands for what JSON has no word for, to be refused.
_REFUSED = [[None]]


def checked(
    fields: Mapping[str, Field], values: Mapping[str, Any], *, stage: str, words: Words
) -> tuple[dict[str, Any], list[str]]:
    """Convert values to their fields' types and hold them to their bounds and choices.

    Parameters
    ----------
    fields : mapping of str to Field
    values : mapping of str to object
        As the settings file or the command line gave them. Fields without a value are passed over.
    stage : str
    words : Words
        Where each value is from.

    Returns
    -------
    result : dict of str to object
        Without the values that are refused; a named entry that is refused is None.
    errors : list of str
        One line for each value that is refused; one that several entries share is named once.
    """
    # A switch that is not given is what its declaration says, None too.
    switches = {n: v for n, v in values.items() if not fields[n].in_file and v is fields[n].default}
    present = {n: f for n, f in fields.items() if n in values and n not in switches}
    values, of_options = _with_options(present, values, stage, words)
    result, found = _converted(present, values)
    wrong = {place for place, _ in of_options}
    wrong |= {(str(e["loc"][0]), _entry_of(e, present)) for e in found}
    if wrong:
        kept = {
            name: {k: v for k, v in values[name].items() if (name, k) not in wrong}
            if field.is_mapping else values[name]
            for name, field in present.items() if (name, "") not in wrong
        }
        result, _ = _converted({name: present[name] for name in kept}, kept)
        for name in kept:
            if present[name].is_mapping:
                entries = result[name]
                result[name] = {k: entries.get(k) for k in values[name] if isinstance(k, str)}
    said = {str(words.origin(present[name].section(stage), "", name))
            for name, entry in wrong if not entry}
    # What the stage's section lacks, its entries lack too.
    found = [e for e in found if not (e["type"] == "missing" and e["loc"][-1] in fields
                                      and e["loc"][-1] not in values)]
    lines = [_message(e, present, values, stage, words, said) for e in found]
    lines += [line for _, line in of_options]
    return switches | result, list(dict.fromkeys(filter(None, lines)))


def _converted(
    fields: Mapping[str, Field], values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Any]]:
    """The values in their fields' types, or pydantic's errors."""
    values_type = _typed_dict("values_type", {
        name: _type_of(values[name], field) for name, field in fields.items()
    })
    values_type.__pydantic_config__ = _STRICT
    written = {name: _as_json(values[name], field) for name, field in fields.items()}
    try:
        result: Any = TypeAdapter(values_type).validate_json(json.dumps(written))
    except ValidationError as error:
        return {}, error.errors(include_url=False)
    for name, field in fields.items():
        if field.shape.scalar is Path:
            result[name] = _path(values[name], field.shape)
    return result, []


def _entry_of(error: Any, fields: Mapping[str, Field]) -> str:
    """The named entry that one of pydantic's errors is in."""
    name, *rest = error["loc"]
    return str(rest[0]) if rest and fields[name].is_mapping else ""


def _with_options(
    fields: Mapping[str, Field], values: Mapping[str, Any], stage: str, words: Words
) -> tuple[dict[str, Any], list[tuple[Place, str]]]:
    """Complete the mappings of options, in named entries too, and list what is wrong with them."""
    result, wrong = dict(values), list[tuple[Place, str]]()
    for name, field in fields.items():
        section, entries = field.section(stage), values[name]
        if field.is_options:
            result[name], lines = _complete(field, entries, words, section, "")
            wrong += [((name, ""), line) for line in lines]
        if not field.is_mapping or not isinstance(entries, dict):
            continue
        result[name], classes = dict(entries), field.entry_classes()
        for entry_name, entry in entries.items():
            entry_class = class_of(entry, classes) if isinstance(entry, dict) else None
            if entry_class is None:
                continue
            result[name][entry_name] = dict(entry)
            for key, of_entry in fields_of(entry_class).items():
                if key in entry and of_entry.is_options:
                    result[name][entry_name][key], lines = _complete(
                        of_entry, entry[key], words, section, entry_name)
                    wrong += [((name, entry_name), line) for line in lines]
    return result, wrong


def _complete(
    field: Field, value: Any, words: Words, section: str, entry: str
) -> tuple[Any, list[str]]:
    """One mapping of options with all defaults, and its errors."""
    marker = field.marker(Options)
    assert marker is not None
    if value is None and field.shape.optional:
        return None, []
    complete, problems = marker.table.check(value)
    return complete, [f"{words.origin(section, entry, field.name, *problem.path)} {problem.text}"
                      for problem in problems]


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


def _message(
    error: Any, fields: Mapping[str, Field], values: Mapping[str, Any], stage: str, words: Words,
    said: set[str],
) -> str | None:
    """One of pydantic's errors in one line; None if it is `said` of the stage's own value."""
    name, *rest = error["loc"]
    field, value = fields[str(name)], values[str(name)]
    section = field.section(stage)
    if field.is_mapping:
        if not rest or not isinstance(value, dict):
            path = words.file_of(section, "")
            return f"{path}: section {section} needs names, each with settings"
        return _of_entry(error, rest, value, field, section, words, said)
    if rest and isinstance(value, list | tuple):
        value = value[int(rest[0])]
    needed = requirement(field.shape, value)
    return f"{words.origin(section, '', field.name)} is {_shown(value)}: {needed}"


def _of_entry(
    error: Any, rest: list[Any], entries: Mapping[str, Any], field: Field, section: str,
    words: Words, said: set[str],
) -> str | None:
    """One error within a named entry. `rest` is (name, key, item) or as much as there is."""
    classes = field.entry_classes()
    name, *rest = rest
    entry = entries.get(name)
    place = f"{section}.{name}"
    path = words.file_of(section, name)
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
        return (f"{words.origin(section, name, 'kind')} is {_shown(value)}: "
                + suggestion(str(value), kinds_of(classes)))
    known, key = fields_of(entry_class), str(rest[0])
    if kind == "missing":
        return f"{path}: {place}.{key} is missing"
    if kind == "unexpected_keyword_argument":
        return f"{path}: unknown key {place}.{key}; {suggestion(key, known)}"
    value = entry[key]
    if len(rest) > 1 and isinstance(value, list | tuple):
        value = value[int(rest[1])]
    origin = str(words.origin(section, name, key))
    if origin in said:
        return None
    return f"{origin} is {_shown(value)}: {requirement(known[key].shape, value)}"


def _shown(value: Any) -> str:
    """A value as YAML has it, texts in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, datetime.date):
        return str(value)
    return repr(str(value) if isinstance(value, Path) else value)
