"""Read a stage's settings from params.yaml and the flags, which win over the file.

A stage declares its settings as a frozen dataclass with bounds, choices and the markers of
:mod:`pipeline.cli.markers`. The section of params.yaml with the stage's name must hold exactly the
fields that are neither flag-only nor in another section; ``n_fft`` there is ``--n-fft`` here.

What wins, from the weakest: params.yaml; the file under ``--params``, which may hold only what
differs; a plain flag (``--sr``), over the values of named entries too
(:class:`~pipeline.cli.markers.SharedBy`); ``--set`` and dotted flags, which name one entry.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.cli.declaration import Field, class_of, fields_of, named_section
from pipeline.cli.flags import expand_dotted, make_parser, params_path, read_flags
from pipeline.cli.markers import AlsoPositional, SharedBy
from pipeline.cli.params_file import PARAMS, Params, keys_by_section, read_params, wrong_sections
from pipeline.runtime.errors import UsageError, suggestion

__all__ = ["PARAMS", "parse"]

T = TypeVar("T")


def parse(stage: str, settings_class: type[T], doc: str, argv: list[str] | None = None) -> T:
    """Read a stage's settings from params.yaml and the command line.

    Parameters
    ----------
    stage : str
        The stage's name, which is its section's.
    settings_class : type
        A frozen dataclass.
    doc : str
        The stage's docstring, for ``--help``.
    argv : list of str, optional
        The command line; the process's if None.

    Returns
    -------
    settings : settings_class

    Raises
    ------
    UsageError
        With every unknown key, missing key and value out of range, not only the first.
    SystemExit
        As argparse does it: 0 after ``--help``, 2 for a flag that it cannot read.
    """
    argv = sys.argv[1:] if argv is None else argv
    fields = fields_of(settings_class)
    path, sections = params_path(argv), keys_by_section(stage, fields)
    # --help must teach even where params.yaml is missing or broken.
    problem, params, errors = None, Params(path, path, {}, {}), list[str]()
    if sections:
        try:
            params = read_params(path)
            errors = wrong_sections(params, stage, fields)
        except UsageError as error:
            problem = error
    parser = make_parser(stage, doc, fields, _from_file(stage, fields, params.sections))
    given = read_flags(parser, expand_dotted(argv, sections), fields)
    if problem:
        raise problem

    document = _unaliased(params.sections)
    assignments, wrong = _assign(given.get("set", []), document, stage, fields)
    values = _from_file(stage, fields, document)
    for field in fields.values():
        if field.marker(AlsoPositional) and given.get(field.name.upper()) is not None:
            given[field.name] = given[field.name.upper()]
        if field.name in given and (field.section(stage), "", field.name) in assignments:
            wrong.append(f"{field.flag} is given twice: also by "
                         f"--set {field.section(stage)}.{field.name}")
    values |= {name: given[name] for name in fields if name in given}
    _share(values, given, assignments, stage, fields)

    from pipeline.cli.checking import checked

    result, wrong_values = checked(fields, values, stage=stage, file_of=params.file_of)
    if errors := errors + wrong + wrong_values:
        raise UsageError("\n".join(errors))
    return settings_class(**result)


def _unaliased(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which no two entries are one: YAML's ``*alias`` is the very mapping it names."""
    return {
        section: {key: dict(value) if isinstance(value, dict) else value
                  for key, value in found.items()} if isinstance(found, dict) else found
        for section, found in document.items()
    }


def _from_file(
    stage: str, fields: Mapping[str, Field], document: Mapping[str, Any]
) -> dict[str, Any]:
    """What params.yaml says, and the defaults of what it has no key for."""
    values = {}
    for field in fields.values():
        section = document.get(field.section(stage))
        if not field.in_file:
            values[field.name] = field.default
        elif isinstance(section, dict):
            if field.is_mapping:
                values[field.name] = section
            elif field.name in section:
                values[field.name] = section[field.name]
    return values


@dataclass(frozen=True)
class _Place:
    """Where in params.yaml ``--set`` puts a value, or why it cannot."""

    mapping: dict[str, Any]
    entry: str
    key: str


def _assign(
    given: Iterable[tuple[str, str]], document: dict[str, Any], stage: str,
    fields: Mapping[str, Field],
) -> tuple[set[tuple[str, str, str]], list[str]]:
    """Put the values of ``--set`` into the document.

    Returns
    -------
    assigned : set of (section, entry or "", key)
    errors : list of str
    """
    import yaml

    assigned, errors = set(), []
    for place, text in given:
        section = place.partition(".")[0]
        try:
            found = _find(place, document, stage, fields)
            found.mapping[found.key] = yaml.safe_load(text)
            assigned.add((section, found.entry, found.key))
        except UsageError as error:
            errors.append(f"--set {place}: {error}")
        except (yaml.YAMLError, ValueError):
            errors.append(f"--set {place}: {text!r} is not valid YAML")
    return assigned, errors


def _find(
    place: str, document: Mapping[str, Any], stage: str, fields: Mapping[str, Field]
) -> _Place:
    """The place that SECTION.KEY or SECTION.NAME.KEY names.

    Raises
    ------
    UsageError
        If the stage reads nothing of that name; with the nearest one that it reads.
    """
    section, _, rest = place.partition(".")
    sections = keys_by_section(stage, fields)
    if section not in sections:
        raise UsageError(f"{stage} does not read section {section!r}; "
                         + suggestion(section, sections))
    mapping, keys, entry, key = document.get(section), sections[section], "", rest
    if not isinstance(mapping, dict):
        raise UsageError(f"params.yaml has no section {section!r}")
    if keys is None:
        entry, _, key = rest.rpartition(".")
        if not entry:
            raise UsageError(f"needs {section}.NAME.KEY; names: {', '.join(map(str, mapping))}")
        if entry not in mapping:
            raise UsageError(f"no {entry!r} in {section}; {suggestion(entry, map(str, mapping))}")
        mapping = mapping[entry]
        if not isinstance(mapping, dict):
            raise UsageError(f"{section}.{entry} is no mapping")
        classes = named_section(section, stage, fields).entry_classes()
        entry_class = class_of(mapping, classes)
        keys = list(fields_of(entry_class)) if entry_class else [key]
        keys += ["kind"] if len(classes) > 1 and "kind" not in keys else []
    if key not in keys:
        raise UsageError(f"no setting {key!r}; {suggestion(key, keys)}")
    return _Place(mapping, entry, key)


def _share(
    values: dict[str, Any], given: Mapping[str, Any], assigned: set[tuple[str, str, str]],
    stage: str, fields: Mapping[str, Field],
) -> None:
    """Give the entries of named sections the settings that they share with the stage."""
    for field in fields.values():
        marker = field.marker(SharedBy)
        if marker is None or field.name not in values:
            continue
        section = marker.section
        target = named_section(section, stage, fields)
        entries, classes = values.get(target.name, {}), target.entry_classes()
        for name, entry in entries.items():
            entry_class = class_of(entry, classes)
            if not isinstance(entry, dict) or not entry_class:
                continue
            is_own = field.name in entry and field.name not in given
            if not (is_own or (section, name, field.name) in assigned) and (
                field.name in fields_of(entry_class)
            ):
                entry[field.name] = values[field.name]
