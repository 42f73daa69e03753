"""Read a stage's settings from params.yaml and the flags, which win over the file.

A stage declares its settings as a frozen dataclass with bounds, choices and the markers of
:mod:`pipeline.cli.markers`. The section of params.yaml with the stage's name must hold exactly the
fields that are neither flag-only nor in another section; ``n_fft`` there is ``--n-fft`` here.

What wins, from the weakest: params.yaml; the file under ``--params``, which may hold only what
differs; a plain flag (``--sr``), over the values of named entries too
(:class:`~pipeline.cli.markers.SharedBy`); ``--set`` and dotted flags, which name one entry.

A setting may be a small mapping of options (:class:`~pipeline.cli.markers.Options`), of which a
dotted flag sets one key: ``--loss.gamma 3`` in the mappings of the section and of all its entries,
``--runs.mfcc.loss.gamma 3`` in that of one entry, which has the section's unless it has its own.
Another ``kind`` drops the keys of the one before.

Where a flag such as ``--run`` chooses an entry, flags change that entry alone.
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
    given = read_flags(parser, expand_dotted(argv, sections, fields), fields)
    if problem:
        raise problem

    document = _unaliased(params.sections)
    assignments, changes, wrong = _assign(given.get("set", []), document, stage, fields)
    values = _from_file(stage, fields, document)
    for field in fields.values():
        if field.marker(AlsoPositional) and given.get(field.name.upper()) is not None:
            given[field.name] = given[field.name.upper()]
        if field.name in given and (field.section(stage), "", field.name) in assignments:
            wrong.append(f"{field.flag} is given twice: also by "
                         f"--set {field.section(stage)}.{field.name}")
    values |= {name: given[name] for name in fields if name in given}
    for change in changes:
        if (not change.entry and change.field in values
                and not _is_of_an_entry(fields[change.field], values, stage, fields)):
            values[change.field] = change.apply(values[change.field])
    _share(values, given, assignments, changes, stage, fields)

    from pipeline.cli.checking import checked

    result, wrong_values = checked(fields, values, stage=stage, file_of=params.file_of)
    if errors := errors + wrong + wrong_values:
        raise UsageError("\n".join(errors))
    return settings_class(**result)


def _unaliased(value: Any) -> Any:
    """A copy in which no two mappings are one: YAML's ``*alias`` is the very mapping it names."""
    return {k: _unaliased(v) for k, v in value.items()} if isinstance(value, dict) else value


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
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Change:
    """An option to set in the mappings of one field, once these are known.

    Attributes
    ----------
    section, entry : str
        The named entry that it concerns; both are "" for a flag of the stage's own.
    field : str
    options : tuple of str
        The key in the mapping, and those within.
    value : object
    """

    section: str
    entry: str
    field: str
    options: tuple[str, ...]
    value: Any

    def apply(self, mapping: Any) -> dict[str, Any]:
        """Return a copy of a field's mapping with the option set."""
        return _with_option(mapping, self.options, self.value)


def _with_option(mapping: Any, options: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = options
    result = dict(mapping) if isinstance(mapping, dict) else {}
    if options == ("kind",) and result.get("kind") != value:
        result = {}  # the other keys are settings of the kind before
    result[first] = _with_option(result.get(first), tuple(rest), value) if rest else value
    return result


def _assign(
    given: Iterable[tuple[str, str]], document: dict[str, Any], stage: str,
    fields: Mapping[str, Field],
) -> tuple[set[tuple[str, str, str]], list[_Change], list[str]]:
    """Put the values of ``--set`` into the document.

    Returns
    -------
    assigned : set of (section, entry or "", key)
    changes : list of _Change
        Options of mappings that are not known yet, because flags and shared values come later.
    errors : list of str
    """
    import yaml

    assigned, changes, errors = set(), list[_Change](), []
    # Another kind drops the settings of the one before, but not those that are given with it.
    for place, text in sorted(given, key=lambda each: not each[0].endswith(".kind")):
        section = place.partition(".")[0]
        shown = f"--{place[1:]}" if place.startswith(".") else f"--set {place}"
        try:
            value = yaml.safe_load(text)
            if not section:  # a dotted flag of the stage's own
                name, *options = place[1:].split(".")
                changes.append(_Change("", "", name, tuple(options), value))
                continue
            found = _find(place, document, stage, fields)
            if found.options and found.entry:
                changes.append(_Change(section, found.entry, found.key, found.options, value))
            elif found.options:
                found.mapping[found.key] = _with_option(
                    found.mapping.get(found.key), found.options, value)
            else:
                found.mapping[found.key] = value
                assigned.add((section, found.entry, found.key))
        except UsageError as error:
            errors.append(f"{shown}: {error}")
        except (yaml.YAMLError, ValueError):
            errors.append(f"{shown}: {text!r} is not valid YAML")
    return assigned, changes, errors


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
    of_section: Mapping[str, Field] = fields
    if keys is None:
        # Names of entries may hold dots.
        named = [name for name in map(str, mapping) if rest.startswith(f"{name}.")]
        entry = max(named, key=len, default=rest.rpartition(".")[0])
        key = rest[len(entry) + 1:]
        if not entry:
            raise UsageError(f"needs {section}.NAME.KEY; names: {', '.join(map(str, mapping))}")
        if entry not in mapping:
            raise UsageError(f"no {entry!r} in {section}; {suggestion(entry, map(str, mapping))}")
        mapping = mapping[entry]
        if not isinstance(mapping, dict):
            raise UsageError(f"{section}.{entry} is no mapping")
        classes = named_section(section, stage, fields).entry_classes()
        entry_class = class_of(mapping, classes)
        of_section = fields_of(entry_class) if entry_class else {}
        keys = list(of_section) if entry_class else [key]
        keys += ["kind"] if len(classes) > 1 and "kind" not in keys else []
    options: tuple[str, ...] = ()
    if key not in keys:
        first, *within = key.split(".")
        if first in of_section and of_section[first].is_options:
            key, options = first, tuple(within)
    if key not in keys:
        raise UsageError(f"no setting {key!r}; {suggestion(key, keys)}")
    return _Place(mapping, entry, key, options)


def _share(
    values: dict[str, Any], given: Mapping[str, Any], assigned: set[tuple[str, str, str]],
    changes: Iterable[_Change], stage: str, fields: Mapping[str, Field],
) -> None:
    """Give the entries of named sections the settings that they share with the stage."""
    for field in fields.values():
        marker = field.marker(SharedBy)
        if marker is None or field.name not in values:
            continue
        chosen = marker.chosen(values)
        for target in fields.values():
            if target.shares_with(marker.section, stage):
                _share_with(target, field, values, given, assigned, changes,
                            target.section(stage), chosen)


def _is_of_an_entry(
    field: Field, values: Mapping[str, Any], stage: str, fields: Mapping[str, Field]
) -> bool:
    """Whether a flag is for a chosen entry of a named section, not for the stage's own setting."""
    marker = field.marker(SharedBy)
    return marker is not None and any(
        marker.chosen(values) in values.get(target.name, {}) for target in fields.values()
        if target.shares_with(marker.section, stage)
    )


def _share_with(
    target: Field, field: Field, values: dict[str, Any], given: Mapping[str, Any],
    assigned: set[tuple[str, str, str]], changes: Iterable[_Change], section: str,
    chosen: str | None,
) -> None:
    """Give the entries of one named section one setting; flags for one of them to that alone."""
    entries, classes = values.get(target.name, {}), target.entry_classes()
    for name, entry in entries.items():
        entry_class = class_of(entry, classes)
        if not isinstance(entry, dict) or not entry_class:
            continue
        if field.name not in fields_of(entry_class):
            continue
        is_meant = chosen in (None, name)
        is_assigned = (section, name, field.name) in assigned
        is_replaced = is_meant and field.name in given
        if not is_assigned:
            is_shared = field.name not in entry or is_replaced
            if is_shared:
                entry[field.name] = values[field.name]
            # The stage's own value has them already, unless they are for this entry alone.
            if is_meant and not (is_shared and chosen is None):
                _change(entry, field.name, changes, "", "")
        _change(entry, field.name, changes, section, name)


def _change(
    entry: dict[str, Any], field: str, changes: Iterable[_Change], section: str, name: str
) -> None:
    """Set the options of one field of a named entry: those that name it, or the stage's own."""
    for change in changes:
        if (change.section, change.entry, change.field) == (section, name, field):
            entry[field] = change.apply(entry.get(field))
