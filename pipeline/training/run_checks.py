"""Check all runs of a settings file before any of them is trained, without data and without Keras.

What depends on a store (whether crops are long enough for a network) or on labels is checked when
a run is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from features import FEATURES, feature_class
from features.base import Feature
from models.augmentation.compatibility import feature_problems
from models.names import MODELS, WAVE_MODELS, default_model
from models.network_options import NETWORKS
from models.optimization_options import schedule_problems
from pipeline.runs.choice import choice_problems, new_run
from pipeline.runs.contradictions import contradictions, wrong_order
from pipeline.runtime.choices import NO_JOBS
from pipeline.runtime.errors import suggestion


class Origin(Protocol):
    """Where a value is from; as text, it begins a line on the value."""

    @property
    def file(self) -> Any:
        """The file; None for the command line."""

    def line_start(self, value: Any) -> str:
        """With the value, for the beginning of a line."""

    def with_value(self, value: Any) -> str:
        """The same for the middle of a line."""


class Words(Protocol):
    """Where the values of all settings are from."""

    @property
    def file_of(self) -> Callable[[str, str], Path]:
        """Returns the file that a section's key is from."""

    def origin(self, section: str, entry: str, key: str, /, *within: str) -> Origin:
        """Where one is from."""


@dataclass(frozen=True)
class _Run:
    """One run: its place in the settings, and how lines name what it has."""

    section: str
    name: str
    entry: Any
    words: Words

    def at(self, *keys: str) -> Origin:
        """Where a setting is from."""
        # A run that the file does not have consists of the stage's own settings.
        entry = "" if self.section == "train" else self.name
        return self.words.origin(self.section, entry, *keys)

    def value(self, *keys: str) -> Any:
        """A setting, or a key within it."""
        first, *within = keys
        value = getattr(self.entry, first)
        for key in within:
            value = value[key]
        return value

    def head(self, *keys: str) -> str:
        """A setting with its value and its file."""
        return self.at(*keys).line_start(self.value(*keys))

    def said(self, *keys: str) -> str:
        """A setting with its value."""
        return self.at(*keys).with_value(self.value(*keys))

    def is_in_file(self, *keys: str) -> bool:
        """Whether a setting is from a file."""
        return self.at(*keys).file is not None


def run_problems(
    valid: Mapping[str, Any], words: Words, features: Any, entry_class: type
) -> list[str]:
    """List what is wrong with all runs, beside single values.

    Parameters
    ----------
    valid : mapping of str to object
        Train's settings by field, those that are valid by themselves; None for a run that is not.
    words : Words
    features : object
        Section ``features`` of the settings file, unchecked.
    entry_class : type
        The dataclass of a run.

    Returns
    -------
    list of str
        One line each; what several runs share is in there once for each.
    """
    runs, follow_ups = valid.get("runs", {}), valid.get("follow_ups", {})
    known = {**runs, **follow_ups}
    run, on = valid.get("run"), valid.get("features")
    errors = [NO_JOBS] if valid.get("jobs") == 0 else []
    if {"runs", "follow_ups"} <= valid.keys():
        errors += choice_problems(run, on, known, params=words.file_of("runs", ""))
    errors += [f"{name} is in the sections runs and follow_ups; give one another name"
               for name in follow_ups if name in runs]
    found = [_Run(section, name, entry, words)
             for section, entries in (("runs", runs), ("follow_ups", follow_ups))
             for name, entry in entries.items() if entry is not None]
    for each in found:
        errors += wrong_order(each.name, each.entry, known, each)
    if on is not None and (run or on) not in known and (made := new_run(valid, entry_class)):
        found.append(_Run("train", run or on, made, words))
    if not isinstance(features, dict):
        errors.append(f"{words.file_of('features', '')}: no section 'features'")
    for each in found:
        errors += _problems(each, features if isinstance(features, dict) else None)
    return errors


def _problems(run: _Run, features: Mapping[str, Any] | None) -> Iterator[str]:
    """What is wrong with one run; without features, as far as that can be told."""
    entry = run.entry
    yield from contradictions(entry, run)
    for problem in schedule_problems(entry.schedule, entry.epochs):
        yield f"{run.at('schedule', *problem.path)} {problem.text}"
    if features is not None and entry.features not in features:
        yield (f"{run.at('features')} is {entry.features!r}: no such feature; "
               f"{suggestion(entry.features, map(str, features))}")
    feature = _feature(entry.features, features or {})
    model = entry.model or (feature and default_model(feature.width))
    if model:
        for problem in NETWORKS.networks[model].check(entry.network, model)[1]:
            yield f"{run.at('network', *problem.path)} {problem.text}"
    if feature is None:
        return
    if entry.model and (feature.width == 0) != (entry.model in WAVE_MODELS):
        needed = [name for name in MODELS if (name in WAVE_MODELS) == (feature.width == 0)]
        takes = "waves" if entry.model in WAVE_MODELS else "frames of several values"
        yield (f"{run.at('model')} is {entry.model}: takes {takes}, unlike feature "
               f"{entry.features}; needs one of {', '.join(needed)}")
    bands = feature.channels == 1 and bool(feature.axis.hz)
    for name, values in entry.augment.items():
        for problem in feature_problems(name, values, unit=feature.units, bands=bands):
            yield (f"{run.at('augment', name, *problem.path)} {problem.text} "
                   f"(feature {entry.features})")


def _feature(
    name: Any, features: Mapping[str, Any], inside: tuple[str, ...] = ()
) -> Feature | None:
    """The feature of a name with its kind's own settings: what its values are is up to the kind.

    None if there is no such feature, or it cannot be made.
    """
    entry = features.get(name) if isinstance(name, str) else None
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or kind not in FEATURES or name in inside:
        return None
    made_of, settings = feature_class(kind), {}
    for field in fields(made_of):
        if isinstance(getattr(made_of(), field.name), Feature):
            settings[field.name] = _feature(entry.get(field.name), features, (*inside, name))
    try:
        return None if None in settings.values() else made_of(**settings)
    except ValueError:
        return None
