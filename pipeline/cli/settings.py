"""Read a stage's settings from params.yaml and the flags, which win over the file.

A stage declares its settings as a frozen dataclass with bounds, choices and the markers of
:mod:`pipeline.cli.markers`. The section of params.yaml with the stage's name must hold exactly the
fields that are neither flag-only nor in another section; ``n_fft`` there is ``--n-fft`` here.

What wins, from the weakest: params.yaml; the file under ``--params``, which may hold only what
differs; a plain flag (``--sr``), over the values of named entries too
(:class:`~pipeline.cli.markers.SharedBy`); ``--set`` and dotted flags, which name one entry.
:mod:`pipeline.cli.resolution` does that.

A setting may be a small mapping of options (:class:`~pipeline.cli.markers.Options`), of which a
dotted flag sets one key: ``--loss.gamma 3`` in the mappings of the section and of all its entries,
``--runs.mfcc.loss.gamma 3`` in that of one entry, which has the section's unless it has its own.
Another ``kind`` drops the keys of the one before, and another ``--model`` the file's ``network``.

Where a flag such as ``--run`` chooses an entry, flags change that entry alone.

Settings that are valid by themselves may contradict each other. A settings class where that can be
has a static method ``problems(valid, words)``, which lists the contradictions, so that they are
reported together with single values that are wrong. `valid` has the settings by field, without
those that are wrong, and None in place of a named entry that is; ``words.origin(section, entry,
key)`` is how a line names a setting.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from pipeline.cli.declaration import Field, fields_of
from pipeline.cli.flags import expand_dotted, make_parser, params_path, read_flags
from pipeline.cli.markers import AlsoPositional
from pipeline.cli.origins import Words
from pipeline.cli.overrides import put
from pipeline.cli.params_file import PARAMS, Params, keys_by_section, read_params, wrong_sections
from pipeline.cli.resolution import Resolution
from pipeline.runtime.errors import UsageError

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
    given = read_flags(parser, expand_dotted(parser, argv, sections, fields), fields)
    if problem:
        raise problem

    for field in fields.values():
        if field.marker(AlsoPositional) and given.get(field.name.upper()) is not None:
            given[field.name] = given[field.name.upper()]
    document = _unaliased(params.sections)
    overrides = put(given.get("set", []), document, stage, fields, params.file_of)
    errors += overrides.errors
    for field in fields.values():
        assigned = overrides.assigned.get((field.section(stage), "", field.name))
        if field.name in given and assigned:
            errors.append(f"{field.flag} is given twice: also by {assigned}")
    words = Words(params.file_of)
    values = Resolution(
        stage, fields, params.sections, document,
        {name: given[name] for name in fields if name in given}, overrides, words,
    ).values()

    from pipeline.cli.checking import checked

    result, wrong_values = checked(fields, values, stage=stage, words=words)
    errors += wrong_values
    if problems := getattr(settings_class, "problems", None):
        errors += problems(result, words)
    if errors:
        raise UsageError("\n".join(dict.fromkeys(errors)))
    return settings_class(**result)


def _unaliased(value: Any) -> Any:
    """A copy in which no two mappings are one: YAML's ``*alias`` is the very mapping it names."""
    return {k: _unaliased(v) for k, v in value.items()} if isinstance(value, dict) else value


def _from_file(
    stage: str, fields: Mapping[str, Field], document: Mapping[str, Any]
) -> dict[str, Any]:
    """What the file says of the stage's own settings, for ``--help``."""
    values = {}
    for field in fields.values():
        section = document.get(field.section(stage))
        if not field.in_file:
            values[field.name] = field.default
        elif isinstance(section, dict) and not field.is_mapping and field.name in section:
            values[field.name] = section[field.name]
    return values
