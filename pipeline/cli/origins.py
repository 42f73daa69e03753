"""Where the value of each setting is from, in the words that the user wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Origin:
    """Where a value is from.

    Attributes
    ----------
    name : str
        ``--epochs``, ``--set runs.mfcc.epochs`` or, in a file, ``runs.mfcc.epochs``.
    file : Path or None
        None for what the command line gives.
    """

    name: str
    file: Path | None = None

    def __str__(self) -> str:
        """How a line on this value begins."""
        return self.name if self.file is None else f"{self.file}: {self.name}"

    def within(self, *keys: str) -> Origin:
        """Where a key is that the value holds."""
        return replace(self, name=".".join((self.name, *keys)))

    def line_start(self, value: Any) -> str:
        """The same as :meth:`with_value` for the beginning of a line."""
        file = "" if self.file is None else f"{self.file}: "
        return file + self.with_value(value)

    def with_value(self, value: Any) -> str:
        """The value as it may have been written, for the middle of a line: ``train.epochs: 3``.

        Of a mapping or of nothing, the name alone.
        """
        if value is None or isinstance(value, dict):
            return self.name
        shown = str(value).lower() if isinstance(value, bool) else f"{value}"
        if self.file is not None:
            return f"{self.name}: {shown}"
        # --set and dotted flags always have a value; a plain switch has none.
        is_switch = isinstance(value, bool) and "." not in self.name
        return self.name if is_switch else f"{self.name} {shown}"


# Of one value: where all of it is from, under (), and where single keys within it are from.
Origins = dict[tuple[str, ...], Origin]


def origin_within(origins: Origins, keys: tuple[str, ...]) -> Origin:
    """Where a key within a value is from: what gave it or a key within it, or what holds it."""
    for each, origin in origins.items():
        if len(each) > len(keys) and each[:len(keys)] == keys != ():
            return replace(origin, name=origin.name.rsplit(".", len(each) - len(keys))[0])
    longest = max((each for each in origins if keys[:len(each)] == each), key=len)
    rest = keys[len(longest):]
    return origins[longest].within(*rest) if rest else origins[longest]


class Words:
    """Where every setting is from.

    Parameters
    ----------
    file_of : callable
        Returns the file that a section's key is from.
    """

    def __init__(self, file_of: Callable[[str, str], Path]) -> None:
        self.file_of = file_of
        self._known: dict[tuple[str, str, str], Origins] = {}

    def note(self, section: str, entry: str, key: str, origins: Origins) -> None:
        """Keep where a value is from, if not from its place in the file."""
        self._known[section, entry, key] = origins

    def origin(self, section: str, entry: str, key: str, *within: str) -> Origin:
        """Where a value is from.

        Parameters
        ----------
        section : str
        entry : str
            The named entry of the section; "" if it has none.
        key : str
        *within : str
            Keys within the value.
        """
        known = self._known.get((section, entry, key))
        return origin_within(known or self.in_file(section, entry, key), within)

    def in_file(self, section: str, entry: str, key: str) -> Origins:
        """The place of a value in the file."""
        name = ".".join(str(each) for each in (section, entry, key) if each != "")
        return {(): Origin(name, self.file_of(section, entry or key))}
