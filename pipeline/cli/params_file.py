"""Read params.yaml or a recipe laid over it, and check the sections against what the stages read.

A recipe is a settings file that holds only what differs: ``--params recipes/esc10.yaml`` is laid
over the params.yaml of the current folder, key by key within a section. The entries of named
sections (:data:`NAMED_SECTIONS`) are not mixed: a recipe that has such a section replaces it. So a
file with every section and key stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cli.declaration import Field
from pipeline.runtime.errors import UsageError, suggestion

PARAMS = Path("params.yaml")

# Sections that several stages read, beside one section for each stage. The keys are given where
# no stage reads all of them.
SHARED_SECTIONS: dict[str, tuple[str, ...]] = {
    "features": (), "runs": (), "follow_ups": (),
    "machine": ("jobs", "backend", "scheduler", "address"),
}

# Stages without settings of their own there.
FLAGS_ONLY = ("inspect",)

# Of these, the entries are users' own: a recipe's runs are not added to those of params.yaml.
NAMED_SECTIONS = ("features", "runs", "follow_ups")


@dataclass(frozen=True)
class Params:
    """The settings of a file under ``--params``, and which file each one is from.

    Attributes
    ----------
    path : Path
        The file under ``--params``.
    base : Path
        The file that it is laid over; `path` itself if it stands alone.
    sections : mapping
        Keys and values by section; unchecked.
    own : mapping
        Those of `path` alone.
    """

    path: Path
    base: Path
    sections: Mapping[str, Any]
    own: Mapping[str, Any]

    def file_of(self, section: str, key: str | None = None) -> Path:
        """Return the file that a key is from, or its section; where there is none, the base."""
        found = self.own.get(section)
        if section not in self.own:
            return self.base
        if key is None or section in NAMED_SECTIONS or not isinstance(found, dict):
            return self.path
        return self.path if key in found else self.base


def read_params(path: Path) -> Params:
    """Read a settings file, laid over the params.yaml of the current folder if it is another one.

    Where the current folder has no params.yaml, the file stands alone.

    Raises
    ------
    UsageError
        As :func:`read_document`, of either file; or if the file has no sections.
    """
    own = read_document(path)
    if not PARAMS.exists() or path.samefile(PARAMS):
        return Params(path, path, own, own)
    sections = dict(read_document(PARAMS))
    for section, found in own.items():
        below = sections.get(section)
        if isinstance(found, dict) and isinstance(below, dict) and section not in NAMED_SECTIONS:
            found = {**below, **found}
        sections[section] = found
    return Params(path, PARAMS, sections, own)


def read_document(path: Path) -> dict[str, Any]:
    """All sections of one file.

    Raises
    ------
    UsageError
        If there is no such file, it cannot be read, it is no valid YAML, or no mapping.
    """
    import yaml  # 30 ms, and not needed to import the package

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file. Run from the project's folder, or name it with --params."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    try:
        document = yaml.load(text, _loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{where}: not valid YAML: {what}") from None
    except ValueError as error:  # 2026-13-01 looks like a date
        raise UsageError(f"{path}: not valid YAML: {error}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UsageError(f"{path}: needs sections with settings, such as train: {{epochs: 50}}")
    return document


def _loader() -> Any:
    """YAML's safe loader, which refuses a key that is given twice: the first would be lost."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = set()
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":  # <<: *other
                    continue
                key = self.construct_object(key_node)
                if key in keys:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key} is given twice", key_node.start_mark)
                keys.add(key)
            return super().construct_mapping(node, deep)

    return Loader


def read_values(path: Path, section: str) -> dict[str, Any]:
    """The mapping of one section, unchecked.

    Raises
    ------
    UsageError
        As :func:`read_params`, and if the section is missing.
    """
    params = read_params(path)
    found = params.sections.get(section)
    if not isinstance(found, dict):
        raise UsageError(f"{params.file_of(section)}: {_no_section(section)}")
    return found


def run_names(path: Path) -> tuple[str, ...]:
    """The names of all runs, those that follow others last.

    Raises
    ------
    UsageError
        As :func:`read_values`.
    """
    return (*read_values(path, "runs"), *read_values(path, "follow_ups"))


def file_of(path: Path, section: str) -> Path:
    """The file that a section is from, under ``--params``; for messages."""
    return read_params(path).file_of(section)


def wrong_sections(params: Params, stage: str, fields: Mapping[str, Field]) -> list[str]:
    """List what is missing and what nobody knows, of the sections that a stage reads.

    Keys of named entries are left to :mod:`pipeline.cli.checking`.
    """
    errors = []
    sections = keys_by_section(stage, fields)
    for section, keys in sections.items():
        found, where = params.sections.get(section), params.file_of
        if not isinstance(found, dict):
            errors.append(f"{where(section)}: {_no_section(section)}")
            continue
        if keys is None:
            errors += [f"{where(section)}: {section}.{name}: the name {name} is not a text; "
                       "put it in quotes" for name in found if not isinstance(name, str)]
            continue
        known = SHARED_SECTIONS.get(section) or keys
        errors += [
            f"{where(section, key)}: unknown key {section}.{key}; {suggestion(str(key), known)}"
            for key in found if key not in known and key not in keys
        ]
        errors += [f"{where(section, key)}: {section}.{key} is missing"
                   for key in keys if key not in found]
    # In one order, so that all stages say the same.
    known = sorted({*sections, *stage_names(), *SHARED_SECTIONS} - set(FLAGS_ONLY))
    return errors + [
        f"{params.file_of(section)}: unknown section {section}; "
        + (f"{section} is set by flags alone" if section in FLAGS_ONLY
           else suggestion(str(section), known))
        for section in params.sections if section not in known
    ]


def keys_by_section(stage: str, fields: Mapping[str, Field]) -> dict[str, list[str] | None]:
    """The keys that a stage reads in each section; None for a section of named entries."""
    sections: dict[str, list[str] | None] = {}
    for field in fields.values():
        section = field.section(stage)
        if field.is_mapping:
            sections[section] = None
        elif field.in_file:
            keys = sections.setdefault(section, [])
            assert keys is not None, f"{section} holds named entries, and no other settings"
            keys.append(field.name)
    return sections


def stage_names() -> list[str]:
    """All stages: a file in pipeline/ is one. Each has a section but :data:`FLAGS_ONLY`."""
    folder = Path(__file__).parents[1]
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def _no_section(section: str) -> str:
    if section in SHARED_SECTIONS:
        return f"no section {section!r}"
    return f"no section {section!r} with the stage's settings"
