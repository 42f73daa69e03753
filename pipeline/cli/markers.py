"""Markers for the fields of a settings class, as metadata of ``Annotated``.

  sr: Annotated[int, Ge(1000), Le(768_000), Help("sampling rate of every feature (Hz)")]
  pad: Annotated[Literal["silence", "repeat"], Help("how to fill up clips shorter than a crop")]
  jobs: Annotated[int, Ge(-1), Section("machine"), Help("number of workers; -1: one per core")]
  force: Annotated[bool, FlagOnly(), Help("extract all clips again")] = False

Bounds are those of the package annotated_types (``Ge``, ``Gt``, ``Le``, ``Lt``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Help:
    """Text of ``--help``: a fragment that says what the value means, with its unit."""

    text: str


@dataclass(frozen=True)
class FlagOnly:
    """A switch for one run (``--force``), without a key in params.yaml.

    The field's own default is the value if the flag is not given.
    """


@dataclass(frozen=True)
class Positional:
    """A value given without a flag's name; it has no key in params.yaml either."""


@dataclass(frozen=True)
class AlsoPositional:
    """A setting that may be given without its flag's name too: ``OUT`` as well as ``--out OUT``."""


@dataclass(frozen=True)
class Section:
    """The top-level section of params.yaml that holds this setting, if not the stage's own.

    Of a scalar, the section has a key of the field's name (``machine: {jobs: -1}``). Of a field of
    type ``Mapping[str, X]``, the section is the mapping: one dataclass `X` per name, or one of a
    union of dataclasses that `kind` tells apart: a field ``kind: Literal[...]`` or a class
    attribute.

    Attributes
    ----------
    name : str
    classes : callable, optional
        Returns the dataclasses `X` where importing them takes too long for ``--help``; the field
        is a ``Mapping[str, Any]`` then. Called only once ``--help`` is out of the question. Name a
        function here: a lambda in an annotation does not see the module's names.
    """

    name: str
    classes: Callable[[], Iterable[type]] | None = None


@dataclass(frozen=True)
class SharedBy:
    """A setting that the entries of a named section share, where they have a field of its name.

    Entries that leave the key out take this value. A flag wins over the file: if this one is given,
    it replaces the values of entries that do set the key (``--set`` and ``--features.mfcc.sr`` name
    one entry, and win over it).
    """

    section: str
