"""Declare and read a stage's flags: one per setting, ``--set``, and dotted ones."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.cli.declaration import Field, Shape, named_section
from pipeline.cli.markers import AlsoPositional, FlagOnly, Group, Options, Positional
from pipeline.cli.params_file import PARAMS, keys_by_section

SPELLING = ("Flags may be written with hyphens or underscores: --batch-size is --batch_size. Names "
            "of your own, as\nin --features.my-mel.sr, are as in the file.")

# What `expand_dotted` makes of dotted flags; not shown.
_DOTTED = "--dotted"

_METAVARS = {int: "N", float: "X", Path: "PATH", dict: "{...}"}


class Assignment(NamedTuple):
    """A value for one place in the settings file, from ``--set`` or a dotted flag."""

    place: str  # SECTION.KEY; .KEY is of the stage's own section
    text: str  # YAML
    shown: str  # as it was given, without the value


def params_path(argv: Sequence[str]) -> Path:
    """Read which file ``--params`` names, before the other flags are declared."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--params", type=Path, default=PARAMS)
    try:
        return parser.parse_known_args(argv)[0].params
    except argparse.ArgumentError:  # reported by the parser of all flags
        return PARAMS


def make_parser(
    stage: str, doc: str, fields: Mapping[str, Field], defaults: Mapping[str, Any]
) -> argparse.ArgumentParser:
    """Declare the flags; what is not given is missing in the result.

    Parameters
    ----------
    stage : str
    doc : str
        The stage's docstring.
    fields : mapping of str to Field
    defaults : mapping of str to object
        What params.yaml says, to be shown in ``--help``.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.{stage}", description=doc, epilog=SPELLING, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups: dict[str, argparse._ActionsContainer] = {}
    for field in fields.values():
        if field.is_mapping:
            continue
        container: argparse._ActionsContainer = parser
        if group := field.marker(Group):
            container = groups.get(group.title) or parser.add_argument_group(group.title)
            groups[group.title] = container
        _add(container, field, defaults.get(field.name, MISSING))
        if field.is_options:
            _add_dotted(container, field)
    if "params" not in fields:
        parser.add_argument(
            "--params", type=Path, default=PARAMS, metavar="FILE",
            help="file with the settings, or those that differ from params.yaml "
                 "(default: %(default)s); a flag wins over its key",
        )
    sections = keys_by_section(stage, fields)
    if sections:
        parser.add_argument(
            "--set", type=_assignment, action="append", default=[], metavar="SECTION.KEY=VALUE",
            help=f"set one value of params.yaml for this run, named by its section "
                 f"({', '.join(sections)}) and key; repeatable",
        )
        parser.add_argument(_DOTTED, dest="set", type=_dotted, action="append",
                            help=argparse.SUPPRESS)
    for section in (name for name, keys in sections.items() if keys is None):
        field = named_section(section, stage, fields)
        entries = parser.add_argument_group(f"settings of one entry of section {section}")
        # Only for show: the names are params.yaml's, see `expand_dotted`.
        entries.add_argument(
            f"--{hyphenated(section)}.NAME.KEY", metavar="VALUE", default=argparse.SUPPRESS,
            help=f"{field.help}; the same as --set {section}.NAME.KEY=VALUE",
        )
    return parser


def read_flags(
    parser: argparse.ArgumentParser, argv: Sequence[str], fields: Mapping[str, Field]
) -> dict[str, Any]:
    """Read the values of the flags that are given; errors suggest a similar flag."""
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        names = [token.partition("=")[0] for token in unknown if token.startswith("--")]
        known = [field.flag for field in fields.values() if not field.is_mapping]
        near = [flag for name in names for flag in difflib.get_close_matches(name, known, 1)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return vars(given)


def expand_dotted(
    parser: argparse.ArgumentParser, argv: Iterable[str], sections: Iterable[str],
    fields: Mapping[str, Field],
) -> list[str]:
    """Spell flags with hyphens, and rewrite dotted ones so that argparse can read them.

    ``--batch_size 8`` becomes ``--batch-size 8``. ``--features.mfcc.n-fft 1024`` becomes an
    :class:`Assignment` of ``features.mfcc.n-fft``, and ``--loss.gamma 3`` one of ``.loss.gamma``,
    whose dot in front says that it is a flag of the stage's own, for named entries too. Without a
    value, the parser reports an error and exits.
    """
    own = {field.name for field in fields.values() if field.is_options}
    named, result, rest = set(sections), list[str](), iter(argv)
    for token in rest:
        if token == "--":
            return [*result, token, *rest]
        if not token.startswith("--"):
            result.append(token)
            continue
        flag, equals, value = token.partition("=")
        first, dot, within = flag[2:].partition(".")
        key = underscored(first)
        if key not in own | named or not dot:
            result.append(token if dot else hyphenated(flag) + equals + value)
            continue
        given: str | None = value if equals else next(rest, None)
        if given is None or (not equals and given.startswith("--")):
            parser.error(f"argument {flag}: expected one argument")
        place = f"{key}.{within}" if key in named else f".{key}.{underscored(within)}"
        result.append(f"{_DOTTED}={flag}\n{place}={given}")
    return result


def hyphenated(name: str) -> str:
    """How ``--help`` spells a name."""
    return name.replace("_", "-")


def underscored(name: str) -> str:
    """How the settings file spells a name."""
    return name.replace("-", "_")


def _assignment(text: str) -> Assignment:
    """Split ``SECTION.KEY=VALUE`` into the two."""
    place, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} has no value; needs {text}=VALUE")
    return Assignment(place, value, f"--set {place}")


def _dotted(text: str) -> Assignment:
    """Read what :func:`expand_dotted` made of a dotted flag."""
    flag, _, assigned = text.partition("\n")
    place, _, value = assigned.partition("=")
    return Assignment(place, value, flag)


def _yaml(text: str) -> Any:
    """Read a mapping of options; what it may hold is checked with the other settings."""
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not valid YAML") from None


def _path(text: str) -> Path:
    """Refuse an empty path: an unset variable of the shell would mean the whole working folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


_CONVERTERS: dict[type, Callable[[str], Any]] = {Path: _path, dict: _yaml}


def _add_dotted(container: argparse._ActionsContainer, field: Field) -> None:
    """Show the options of a mapping; reading them is up to :func:`expand_dotted`."""
    marker = field.marker(Options)
    assert marker is not None
    for name, text in marker.table.describe().items():
        container.add_argument(
            f"{field.flag}.{hyphenated(name)}", metavar="VALUE", default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
        )


def _add(parser: argparse._ActionsContainer, field: Field, default: Any) -> None:
    shape = field.shape
    options: dict[str, Any] = {
        "help": (field.help + _default_text(field, default)).replace("%", "%%"),
        "default": argparse.SUPPRESS,
    }
    if shape.scalar is bool:
        options["action"] = (
            "store_true" if field.marker(FlagOnly) else argparse.BooleanOptionalAction
        )
    else:
        convert = _one_of(shape) if shape.choices else _CONVERTERS.get(shape.scalar, shape.scalar)
        options["type"] = _or_none(convert) if shape.optional else convert
        if shape.many:
            options["nargs"] = "+"
        names = [*map(str, shape.choices), *(["none"] if shape.optional else [])]
        options["metavar"] = (
            f"{{{','.join(names)}}}" if shape.choices else _METAVARS.get(shape.scalar, "NAME")
        )
    if field.marker(Positional):
        parser.add_argument(field.name, **options)
        return
    container: argparse._ActionsContainer = parser
    if field.marker(AlsoPositional):
        # Exclusive: a value given both ways is a mistake, and neither must win in silence.
        container = parser.add_mutually_exclusive_group()
        container.add_argument(field.name.upper(), nargs="?",
                               type=_CONVERTERS.get(shape.scalar, shape.scalar),
                               help=f"the same as {field.flag}")
    container.add_argument(field.flag, dest=field.name, **options)


def _default_text(field: Field, default: Any) -> str:
    """Format the default as in params.yaml."""
    if default is MISSING or (not field.in_file and default in (None, False)):
        return ""
    if isinstance(default, list | tuple):
        shown = " ".join(map(str, default)) or "none"
    elif default is None or isinstance(default, bool):
        shown = str(default).lower()
    elif isinstance(default, dict):
        shown = _flow(default)
    else:
        shown = str(default)
    return f" (default: {shown})" if shown else ""


def _one_of(shape: Shape) -> Callable[[str], Any]:
    """Convert a text to one of the choices. Argparse's own `choices` suggest none of them."""
    known = {str(choice): choice for choice in shape.choices}

    def convert(text: str) -> Any:
        if text in known:
            return known[text]
        near = difflib.get_close_matches(text, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        names = ", ".join([*known, *(["none"] if shape.optional else [])])
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r}{hint} (choose from {names})")

    return convert


def _or_none(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert_or_none(text: str) -> Any:
        return None if text.lower() in ("none", "null") else convert(text)

    convert_or_none.__name__ = f"{convert.__name__} or none"
    return convert_or_none


def _flow(value: Mapping[Any, Any]) -> str:
    """Format a mapping as YAML in one line."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip()
