"""Put the values of ``--set`` and of dotted flags where the settings file would have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.cli.declaration import Field, class_of, fields_of, named_section
from pipeline.cli.flags import Assignment, underscored
from pipeline.cli.origins import Origin, Origins
from pipeline.cli.params_file import keys_by_section
from pipeline.runtime.errors import UsageError, suggestion


@dataclass(frozen=True)
class Change:
    """A key to set in a mapping of options, once it is known which mapping that is.

    Attributes
    ----------
    section, entry : str
        Where the mapping is in the file, `entry` "" if it is the stage's own there; both are "" for
        a flag of the stage's own, which is for named entries too.
    key : str
        The field that has the mapping.
    options : tuple of str
        The key in the mapping, and those within.
    value : object
    origin : Origin
        The flag.
    """

    section: str
    entry: str
    key: str
    options: tuple[str, ...]
    value: Any
    origin: Origin

    def apply(self, mapping: Any, origins: Origins) -> tuple[dict[str, Any], Origins]:
        """Return a mapping with the option set, and where each part of it is from."""
        result = _with_option(mapping, self.options, self.value)
        if self.options == ("kind",) and len(result) == 1:
            # The defaults of this kind are the flag's, too.
            origins = {(): replace(self.origin, name=self.origin.name.rpartition(".")[0])}
        return result, origins | {self.options: self.origin}


def _with_option(mapping: Any, options: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = options
    result = dict(mapping) if isinstance(mapping, dict) else {}
    if options == ("kind",) and result.get("kind") != value:
        result = {}  # the other keys are settings of the kind before
    result[first] = _with_option(result.get(first), tuple(rest), value) if rest else value
    return result


@dataclass(frozen=True)
class Overrides:
    """What ``--set`` and dotted flags say.

    Attributes
    ----------
    assigned : dict
        The flag that put a value into the document, by (section, entry or "", key).
    changes : list of Change
        Those of options, which wait for plain flags and shared values.
    errors : list of str
    """

    assigned: dict[tuple[str, str, str], Origin] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def of_options(self, section: str, entry: str, key: str) -> list[Change]:
        """The changes of one mapping of options."""
        return [each for each in self.changes
                if (each.section, each.entry, each.key) == (section, entry, key)]


def put(
    given: Iterable[Assignment], document: dict[str, Any], stage: str, fields: Mapping[str, Field],
    file_of: Callable[[str, str | None], Path],
) -> Overrides:
    """Put values into the document, and return what has to wait and what is wrong.

    Parameters
    ----------
    given : iterable of Assignment
    document : dict
        The sections of the settings file; it is changed.
    stage : str
    fields : mapping of str to Field
    file_of : callable
        Returns the file that a section or a key of it is from.
    """
    import yaml

    result = Overrides()
    # Another kind drops the settings of the one before, but not those that are given with it.
    for place, text, shown in sorted(given, key=lambda each: not each.place.endswith(".kind")):
        section, origin = underscored(place.partition(".")[0]), Origin(shown)
        try:
            value = yaml.safe_load(text)
            if not section:  # a dotted flag of the stage's own
                name, *options = place[1:].split(".")
                result.changes.append(Change("", "", name, tuple(options), value, origin))
                continue
            found = _find(place, document, stage, fields, file_of)
            if found.options:
                result.changes.append(
                    Change(section, found.entry, found.key, found.options, value, origin))
            else:
                found.mapping[found.key] = value
                result.assigned[section, found.entry, found.key] = origin
        except UsageError as error:
            result.errors.append(f"{shown}: {error}")
        except (yaml.YAMLError, ValueError):
            result.errors.append(f"{shown}: {text!r} is not valid YAML")
    return result


@dataclass(frozen=True)
class _Place:
    """Where in the document a value belongs."""

    mapping: dict[str, Any]
    entry: str
    key: str
    options: tuple[str, ...] = ()


def _find(
    place: str, document: Mapping[str, Any], stage: str, fields: Mapping[str, Field],
    file_of: Callable[[str, str | None], Path],
) -> _Place:
    """The place that SECTION.KEY or SECTION.NAME.KEY names.

    Raises
    ------
    UsageError
        If the stage reads nothing of that name; with the nearest one that it reads.
    """
    section, _, rest = place.partition(".")
    section = underscored(section)
    sections = keys_by_section(stage, fields)
    if section not in sections:
        raise UsageError(f"{stage} does not read section {section!r}; "
                         + suggestion(section, sections))
    mapping, keys, entry, key = document.get(section), sections[section], "", rest
    if not isinstance(mapping, dict):
        raise UsageError(f"{file_of(section, None)} has no section {section!r}")
    of_section: Mapping[str, Field] = fields
    if keys is None:
        # Names of entries may hold dots.
        named = [name for name in map(str, mapping) if rest.startswith(f"{name}.")]
        entry = max(named, key=len, default=rest.partition(".")[0] if "." in rest else "")
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
        keys = list(of_section) if entry_class else [underscored(key)]
        keys += ["kind"] if len(classes) > 1 and "kind" not in keys else []
    key, *within = underscored(key).split(".")
    if key not in keys or (within and not (key in of_section and of_section[key].is_options)):
        key = ".".join((key, *within))
        raise UsageError(f"no setting {key!r}; {suggestion(key, keys)}")
    return _Place(mapping, entry, key, tuple(within))
