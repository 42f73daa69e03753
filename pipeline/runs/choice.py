"""Choose the run that a command names, and the settings that it is trained with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline.runs.folder import RunFolder, is_folder_name
from pipeline.runtime.choices import NO_JOBS
from pipeline.runtime.errors import UsageError, listed, suggestion


def choose_run(
    settings: Any, entry_class: type, *, features: Iterable[str]
) -> tuple[RunFolder, Any]:
    """Return RUNS/NAME and the run's settings: its entry in params.yaml, or one made of the flags.

    Parameters
    ----------
    settings : pipeline.train.Settings
    entry_class : type
        The dataclass of an entry in section ``runs``.
    features : iterable of str
        The names in section ``features``.

    Raises
    ------
    UsageError
        If no run is named, it is unknown, or its name or the number of jobs is invalid.
    """
    name, asked, errors = settings.run or settings.features, settings.features, []
    if settings.jobs == 0:
        errors.append(NO_JOBS)
    if name is None:
        errors.append(f"no run is named; give --run NAME, in params.yaml: "
                      f"{', '.join(settings.runs)}")
    elif not is_folder_name(name):
        errors.append(f"--run is {name!r}; needs the name of a folder, not a path or hidden")
    elif name not in settings.runs and asked is None:
        errors.append(f"no run {name!r} in params.yaml; {suggestion(name, settings.runs)}. "
                      "A run that is not in there needs --features too")
    elif name in settings.runs and asked not in (None, settings.runs[name].features):
        errors.append(f"run {name} is on {settings.runs[name].features} in params.yaml, not on "
                      f"{asked}; give another --run")
    used = settings.runs[name].features if name in settings.runs else asked
    if not errors and used not in (names := list(features)):
        where = f"runs.{name}.features" if name in settings.runs else "--features"
        errors.append(f"{where} is {used!r}: no such feature in params.yaml; "
                      f"{suggestion(used, names)}")
    if errors:
        raise UsageError("\n".join(errors))
    assert name is not None
    entry = settings.runs.get(name)
    if entry is None:
        entry = entry_class(features=asked, **{
            f.name: getattr(settings, f.name) for f in fields(entry_class) if f.name != "features"
        })
    return RunFolder(settings.runs_dir, name), entry


def trained_runs(runs_dir: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all runs of params.yaml, for a stage that was told none.

    Raises
    ------
    UsageError
        If some are not trained yet.
    """
    names = tuple(names)
    if missing := [name for name in names if not RunFolder(runs_dir, name).is_run]:
        raise UsageError(
            f"not trained yet, of the runs in params.yaml: {listed(missing)}. Train them "
            f"(python -m pipeline.train --run {missing[0]}), or name others with --runs"
        )
    return names
