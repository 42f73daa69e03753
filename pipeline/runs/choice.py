"""Choose the run that a command names, and the settings that it is trained with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline.runs.folder import RunFolder, is_folder_name
from pipeline.runtime.errors import UsageError, listed, suggestion


def choice_problems(
    run: str | None, features: str | None, runs: Mapping[str, Any], *, params: Path
) -> list[str]:
    """List what is wrong with the names that choose a run, if some are given.

    Parameters
    ----------
    run, features : str or None
        The values of ``--run`` and ``--features``.
    runs : mapping of str to object
        All runs of the settings file; None for one whose settings are wrong.
    params : Path
        That file.

    Returns
    -------
    list of str
        One line each.
    """
    name = run or features
    if name is None:
        return []
    if not is_folder_name(name):
        return [f"--run is {name!r}; needs the name of a folder, not a path or hidden"]
    if name not in runs and features is None:
        return [f"no run {name!r} in {params}; {suggestion(name, runs)}. A run that is not in "
                "there needs --features too"]
    entry = runs.get(name)
    if entry is not None and features not in (None, entry.features):
        return [f"run {name} is on {entry.features} in {params}, not on {features}; give another "
                "--run"]
    return []


def new_run(values: Mapping[str, Any], entry_class: type) -> Any:
    """Make the settings of a run that the settings file does not have.

    Parameters
    ----------
    values : mapping of str to object
        Of train's settings: the run has those of its own section, on ``features``.
    entry_class : type
        The dataclass of an entry in section ``runs``.

    Returns
    -------
    entry_class or None
        None if a value is missing.
    """
    names = [field.name for field in fields(entry_class)]
    return entry_class(**{n: values[n] for n in names}) if values.keys() >= {*names} else None


def choose_run(settings: Any, entry_class: type) -> tuple[RunFolder, Any]:
    """Return RUNS/NAME and the run's settings: its entry in params.yaml, or one made of the flags.

    Parameters
    ----------
    settings : pipeline.train.Settings
        Free of :func:`choice_problems`.
    entry_class : type
        The dataclass of an entry in section ``runs``.

    Raises
    ------
    UsageError
        If no run is named.
    """
    runs = {**settings.runs, **settings.follow_ups}
    name = settings.run or settings.features
    if name is None:
        raise UsageError(f"no run is named; give --run NAME, one of {', '.join(runs)}")
    entry = runs.get(name) or new_run(vars(settings), entry_class)
    return RunFolder(settings.runs_dir, name), entry


def trained_runs(runs_dir: Path, names: Iterable[str], *, params: Path) -> tuple[str, ...]:
    """Return the names of all runs of a settings file, for a stage that was told none.

    Raises
    ------
    UsageError
        If some are not trained yet.
    """
    names = tuple(names)
    if missing := [name for name in names if not RunFolder(runs_dir, name).is_run]:
        raise UsageError(
            f"not trained yet, of the runs in {params}: {listed(missing)}. Train them "
            f"(python -m pipeline.train --run {missing[0]}), or name others with --runs"
        )
    return names
