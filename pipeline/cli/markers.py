"""Markers for the fields of a settings class, as metadata of ``Annotated``.

  sr: Annotated[int, Ge(1000), Le(768_000), Help("sampling rate of every feature (Hz)")]
  pad: Annotated[Literal["silence", "repeat"], Help("how to fill up clips shorter than a crop")]
  jobs: Annotated[int, Ge(-1), Section("machine"), Help("number of workers; -1: one per core")]
  force: Annotated[bool, FlagOnly(), Help("extract all clips again")] = False
  loss: Annotated[Mapping[str, Any], Options(LOSSES), Help("what training minimizes")]

Bounds are those of the package annotated_types (``Ge``, ``Gt``, ``Le``, ``Lt``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


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
    like : str, optional
        Another section of named entries; what its entries share with the stage
        (:class:`SharedBy`), these share too.
    """

    name: str
    classes: Callable[[], Iterable[type]] | None = None
    like: str | None = None


@dataclass(frozen=True)
class SharedBy:
    """A setting that the entries of a named section share, where they have a field of its name.

    Entries that leave the key out take this value. A flag wins over the file: if this one is given,
    it replaces the values of entries that do set the key (``--set`` and ``--features.mfcc.sr`` name
    one entry, and win over it).

    Attributes
    ----------
    section : str
    chosen_by : tuple of str
        Fields of the stage whose value names an entry, the first that is set: the stage is about
        this entry alone, and flags change it alone, or the stage's own settings if there is none of
        that name.
    """

    section: str
    chosen_by: tuple[str, ...] = ()

    def chosen(self, values: Mapping[str, Any]) -> str | None:
        """The name that the stage's values choose; None: no name, so that flags are for all."""
        found = (values.get(name) for name in self.chosen_by)
        return next((name for name in found if isinstance(name, str)), None)


@dataclass(frozen=True)
class Group:
    """Heading of ``--help`` that the flag stands under; its fields need not be adjacent."""

    title: str


class OptionProblem(Protocol):
    """What is wrong with one option: where in the mapping it is, and a text that follows this."""

    @property
    def path(self) -> tuple[str, ...]: ...

    @property
    def text(self) -> str: ...


class OptionTable(Protocol):
    """Options that a mapping may hold: their names, settings and defaults."""

    def check(self, value: Any) -> tuple[dict[str, Any], Sequence[OptionProblem]]:
        """Return the mapping with all defaults, and everything that is wrong with it."""

    def describe(self) -> Mapping[str, str]:
        """Return one line of ``--help`` per option."""


@dataclass(frozen=True)
class Options:
    """A small mapping in the stage's own section: ``{kind: focal, gamma: 2}``.

    The field's type is ``Mapping[str, Any]``. Its flag takes YAML and replaces the mapping of the
    file (``--loss '{kind: focal}'``); a dotted flag sets one key in it (``--loss.gamma 3``, or
    ``--augment.mixup.probability 0.5``). The value has the defaults of what it leaves out.

    Attributes
    ----------
    table : OptionTable
    of : str, optional
        The field that the mapping holds settings of: where a flag gives it another value, the
        mapping of the file is not used, as a flag that names another ``kind`` drops the settings of
        the one before.
    """

    table: OptionTable
    of: str | None = None
