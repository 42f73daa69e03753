"""Choose the run that a command names, and the settings that it is trained with."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pipeline.runs.folder import RunFolder, is_folder_name
from pipeline.runtime.errors import UsageError, suggestion


def choose_run(settings: Any, entry_class: type) -> tuple[RunFolder, Any]:
    """Return RUNS/NAME and the run's settings: its entry in params.yaml, or one made of the flags.

    Parameters
    ----------
    settings : pipeline.train.Settings
    entry_class : type
        The dataclass of an entry in section ``runs``.

    Raises
    ------
    UsageError
        If no run is named, it is unknown, or its name or the number of jobs is invalid.
    """
    name, features, errors = settings.run or settings.features, settings.features, []
    if settings.jobs == 0:
        errors.append("--jobs is 0; it needs 1 or more, or -1 for one per CPU core")
    if name is None:
        errors.append(f"no run is named; give --run NAME, in params.yaml: "
                      f"{', '.join(settings.runs)}")
    elif not is_folder_name(name):
        errors.append(f"--run is {name!r}; needs the name of a folder, not a path")
    elif name not in settings.runs and features is None:
        errors.append(f"no run {name!r} in params.yaml; {suggestion(name, settings.runs)} "
                      "Or give its --features too")
    elif name in settings.runs and features not in (None, settings.runs[name].features):
        errors.append(f"run {name} is on {settings.runs[name].features} in params.yaml, not on "
                      f"{features}; give another --run")
    if errors:
        raise UsageError("\n".join(errors))
    assert name is not None
    entry = settings.runs.get(name)
    if entry is None:
        entry = entry_class(features=features, **{
            f.name: getattr(settings, f.name) for f in fields(entry_class) if f.name != "features"
        })
    return RunFolder(settings.runs_dir, name), entry
