"""Choose the run that a command names, and the settings that it is trained with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    runs = {**settings.runs, **settings.follow_ups}
    name, asked, errors = settings.run or settings.features, settings.features, []
    if settings.jobs == 0:
        errors.append(NO_JOBS)
    if name is None:
        errors.append(f"no run is named; give --run NAME, in params.yaml: "
                      f"{', '.join(runs)}")
    elif not is_folder_name(name):
        errors.append(f"--run is {name!r}; needs the name of a folder, not a path or hidden")
    elif name not in runs and asked is None:
        errors.append(f"no run {name!r} in params.yaml; {suggestion(name, runs)}. "
                      "A run that is not in there needs --features too")
    elif name in runs and asked not in (None, runs[name].features):
        errors.append(f"run {name} is on {runs[name].features} in params.yaml, not on "
                      f"{asked}; give another --run")
    errors += _wrong_order(name, settings.runs, settings.follow_ups)
    used = runs[name].features if name in runs else asked
    if not errors and used not in (names := list(features)):
        section = "runs" if name in settings.runs else "follow_ups"
        where = f"{section}.{name}.features" if name in runs else "--features"
        errors.append(f"{where} is {used!r}: no such feature in params.yaml; "
                      f"{suggestion(used, names)}")
    if errors:
        raise UsageError("\n".join(errors))
    assert name is not None
    entry = runs.get(name)
    if entry is None:
        entry = entry_class(features=asked, **{
            f.name: getattr(settings, f.name) for f in fields(entry_class) if f.name != "features"
        })
    return RunFolder(settings.runs_dir, name), entry


# Settings that name another run, which has to be trained before.
_BUILDS_ON = ("start_from", "teacher")


def _wrong_order(
    name: str | None, runs: Mapping[str, Any], follow_ups: Mapping[str, Any]
) -> list[str]:
    """List why dvc.yaml would not train the run that `name` builds on before it."""
    errors = [f"{each} is in the sections runs and follow_ups; give one another name"
              for each in follow_ups if each in runs]
    if name is None:
        return errors
    if name in runs:
        return errors + [f"runs.{name}.{key} is {other}: move the run into section follow_ups, "
                         f"with follows: {other}"
                         for key, other in _builds_on(runs[name]).items()]
    if name not in follow_ups:
        return errors
    entry, others = follow_ups[name], _builds_on(follow_ups[name])
    if entry.follows not in (known := [each for each in (*runs, *follow_ups) if each != name]):
        errors.append(f"follow_ups.{name}.follows is {entry.follows!r}: no such run in "
                      f"params.yaml; {suggestion(entry.follows, known)}")
    errors += [f"follow_ups.{name}.{key} is {other}; needs the run that it follows, "
               f"{entry.follows}" for key, other in others.items() if other != entry.follows]
    if not others:
        errors.append(f"follow_ups.{name} takes nothing from {entry.follows}; needs "
                      f"{' or '.join(_BUILDS_ON)}: {entry.follows}, or the section runs")
    return errors


def _builds_on(entry: Any) -> dict[str, str]:
    return {key: other for key in _BUILDS_ON if (other := getattr(entry, key, None)) is not None}


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
