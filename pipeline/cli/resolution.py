"""Decide which value of a setting wins, and note where it is from.

Of a setting that named entries share (:class:`~pipeline.cli.markers.SharedBy`), from the strongest:
``--set`` and dotted flags that name the entry, the stage's own flags if they are for this entry,
the entry in the file, the stage's section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.cli.declaration import Field, class_of, fields_of
from pipeline.cli.markers import Options, SharedBy
from pipeline.cli.origins import Origin, Origins, Words
from pipeline.cli.overrides import Change, Overrides

Resolved = tuple[Any, Origins]


@dataclass(frozen=True)
class Resolution:
    """What the file and the flags say, and how it becomes the value of each setting.

    Attributes
    ----------
    stage : str
    fields : mapping of str to Field
    file : mapping
        The sections as the file has them.
    document : mapping
        The same with the values of ``--set`` and dotted flags.
    given : mapping of str to object
        The values of plain flags, by field.
    overrides : Overrides
    words : Words
        Learns where each value is from.
    """

    stage: str
    fields: Mapping[str, Field]
    file: Mapping[str, Any]
    document: Mapping[str, Any]
    given: Mapping[str, Any]
    overrides: Overrides
    words: Words

    def values(self) -> dict[str, Any]:
        """The value of each field that has one, named entries with all that they share."""
        values = dict[str, Any]()
        for name, field in self.fields.items():
            found = self._of_stage(field)
            if found is not None:
                values[name], origins = found
                self.words.note(field.section(self.stage), "", name, origins)
        for field in self.fields.values():
            if field.is_mapping and isinstance(values.get(field.name), dict):
                values[field.name] = {
                    name: self._entry(field, name, entry) if isinstance(entry, dict) else entry
                    for name, entry in values[field.name].items()
                }
        return values

    def _of_stage(self, field: Field) -> Resolved | None:
        """The stage's own value, with the flags that are for it; None if there is none."""
        section = _mapping(self.file.get(field.section(self.stage)))
        found = self._from_file(
            field, drop=self._is_for_another(field, section, self._of_stage))
        return found if self._is_for_an_entry(field) else self._with_flags(field, found)

    def _of_entry(
        self, field: Field, section: str, name: str, entry: Mapping[str, Any]
    ) -> Resolved | None:
        """A setting that a named entry shares with the stage."""
        place = section, name, field.name
        changes = self.overrides.of_options(*place)
        if place in self.overrides.assigned:
            return _changed((entry[field.name], {(): self.overrides.assigned[place]}), changes)
        drop = self._is_for_another(
            field, {**_mapping(self.file.get(self.stage)), **_mapping(self.file[section][name])},
            lambda other: self._of_entry(other, section, name, entry))
        found: Resolved | None
        if field.name in entry:
            found = {} if drop else entry[field.name], self.words.in_file(*place)
        else:
            found = self._from_file(field, drop=drop)
        if self._chosen(field) in (None, name):
            found = self._with_flags(field, found)
        return _changed(found, changes)

    def _is_for_another(
        self, field: Field, file: Mapping[str, Any], resolve: Callable[[Field], Resolved | None]
    ) -> bool:
        """Whether the file's mapping has settings of something that flags have replaced."""
        marker = field.marker(Options)
        if marker is None or marker.of is None:
            return False
        found = resolve(self.fields[marker.of])
        return found is not None and found[0] != file.get(marker.of)

    def _from_file(self, field: Field, *, drop: bool) -> Resolved | None:
        """The stage's value without its flags; with `drop` a mapping begins empty."""
        place = field.section(self.stage), "", field.name
        section = self.document.get(place[0])
        if not field.in_file:
            return field.default, {(): Origin(field.flag)}
        if not isinstance(section, dict) or not (field.is_mapping or field.name in section):
            return None
        if field.is_mapping:
            return section, {(): Origin(place[0], self.words.file_of(place[0], ""))}
        if assigned := self.overrides.assigned.get(place):
            found: Resolved = section[field.name], {(): assigned}
        else:
            found = {} if drop else section[field.name], self.words.in_file(*place)
        return _changed(found, self.overrides.of_options(*place))

    def _with_flags(self, field: Field, found: Resolved | None) -> Resolved | None:
        """A value under the plain and dotted flags of the stage's own."""
        if field.name in self.given:
            value = self.given[field.name]
            flag = f"--no-{field.flag[2:]}" if value is False else field.flag
            found = value, {(): Origin(flag)}
        return _changed(found, self.overrides.of_options("", "", field.name))

    def _entry(self, target: Field, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """One named entry with the settings that it shares with the stage."""
        section, result = target.section(self.stage), dict(entry)
        entry_class = class_of(entry, target.entry_classes())
        known = fields_of(entry_class) if entry_class else {}
        for key in entry:
            if origin := self.overrides.assigned.get((section, name, key)):
                self.words.note(section, name, key, {(): origin})
        for field in self.fields.values():
            if (self._shares(field, target) and field.name in known
                    and (found := self._of_entry(field, section, name, entry)) is not None):
                result[field.name], origins = found
                self.words.note(section, name, field.name, origins)
        return result

    def _shares(self, field: Field, target: Field) -> bool:
        """Whether the entries of a section share a setting of the stage."""
        marker = field.marker(SharedBy)
        return marker is not None and target.shares_with(marker.section, self.stage)

    def _chosen(self, field: Field) -> str | None:
        """The name of the only entry that flags are for; None: they are for all."""
        marker = field.marker(SharedBy)
        return marker.chosen(self.given) if marker else None

    def _is_for_an_entry(self, field: Field) -> bool:
        """Whether the flag is for a chosen entry alone, not for the stage's own setting."""
        return any(self._chosen(field) in _mapping(self.document.get(target.section(self.stage)))
                   for target in self.fields.values() if self._shares(field, target))


def _mapping(section: Any) -> dict[Any, Any]:
    """A section; one that is no mapping, which is reported elsewhere, has nothing in it."""
    return section if isinstance(section, dict) else {}


def _changed(found: Resolved | None, changes: Iterable[Change]) -> Resolved | None:
    """A value with options set, if there is one."""
    if found is not None:
        for change in changes:
            found = change.apply(*found)
    return found
