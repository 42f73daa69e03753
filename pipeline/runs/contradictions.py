"""Find what contradicts each other in the settings of a run, each of them valid by itself.

Settings are named as they were given, which the caller knows: ``train.seconds: 2.0`` in a file,
``--seconds 2.0`` on the command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from pipeline.runs.recipe import noisy_per_batch
from pipeline.runtime.errors import suggestion

# Settings that name another run, which has to be trained before.
BUILDS_ON = ("start_from", "teacher")


class RunWords(Protocol):
    """How lines name the settings of one run."""

    def head(self, *keys: str) -> str:
        """A setting, or a key within it, with its value and its file, as a line begins."""

    def said(self, *keys: str) -> str:
        """The same within a line."""

    def is_in_file(self, *keys: str) -> bool:
        """Whether it is from a file, not from the command line."""


def contradictions(run: Any, words: RunWords) -> list[str]:
    """List what contradicts each other in how a run is trained.

    Parameters
    ----------
    run : object
        The settings of the run, with the attributes of :class:`~pipeline.runs.recipe.Recipe`.
    words : RunWords

    Returns
    -------
    list of str
        One line each.
    """
    head, said, errors = words.head, words.said, []
    if run.seconds_max is not None and run.seconds_max < run.seconds:
        errors.append(f"{head('seconds_max')} is less than {said('seconds')}")
    if not (run.curated or run.noisy):
        errors.append(f"{head('curated')} and {said('noisy')} leave no clips to train on")
    if run.noisy_share is not None:
        missing = [key for key in ("curated", "noisy") if not getattr(run, key)]
        errors += [f"{head('noisy_share')} contradicts {said(key)}; it needs curated and noisy "
                   "clips" for key in missing]
        if not missing and not 0 < (n_noisy := noisy_per_batch(run)) < run.batch_size:
            errors.append(f"{head('noisy_share')} of {said('batch_size')} is {n_noisy} noisy clips "
                          "per batch; a batch needs at least one noisy and one curated clip")
    if run.validate_every > 1:
        errors += [f"{head('validate_every')} contradicts {said(*keys)}, which needs a validation "
                   "after every epoch" for keys, needs in (
                       (("keep",), run.keep == "best"),
                       (("schedule", "kind"), run.schedule["kind"] == "plateau")) if needs]
    if run.averaging["kind"] == "snapshots":
        errors += _of_snapshots(run, words)
    if not run.noisy:
        errors += [f"{head(key)} contradicts {said('noisy')}; it is for noisy clips"
                   for key in ("noisy_loss", "noisy_head", "teacher") if getattr(run, key)]
    if run.noisy_head and not run.curated:
        errors.append(f"{head('noisy_head')} contradicts {said('curated')}; nothing would train "
                      "the output layer that is kept")
    return errors


def _of_snapshots(run: Any, words: RunWords) -> list[str]:
    head, said = words.head("averaging", "kind"), words.said
    errors = []
    if run.keep != "last":
        errors.append(f"{head} contradicts {said('keep')}; it needs last")
    if run.schedule["kind"] != "cosine":
        errors.append(f"{head} contradicts {said('schedule', 'kind')}; it needs cosine")
    elif run.schedule["cycles"] < run.averaging["last"]:
        errors.append(f"{words.head('averaging', 'last')} is more than "
                      f"{said('schedule', 'cycles')}")
    return errors


def wrong_order(
    name: str, run: Any, names: Iterable[str], words: RunWords
) -> list[str]:
    """List why dvc.yaml would not train what a run of the settings file builds on before it.

    Parameters
    ----------
    name : str
    run : object
        Its settings; in section ``follow_ups`` they have ``follows``, in section ``runs`` not.
    names : iterable of str
        All runs of both sections.
    words : RunWords
        Of the run.

    Returns
    -------
    list of str
        One line each.
    """
    others = {key: getattr(run, key) for key in BUILDS_ON if getattr(run, key) is not None}
    if not hasattr(run, "follows"):
        return [
            f"{words.head(key)} names another run: move {name} into section follow_ups, with "
            f"follows: {other}" if words.is_in_file(key) else
            f"{words.head(key)} names another run: give another --run, with --features"
            for key, other in others.items()
        ]
    errors = []
    if run.follows not in (known := [each for each in names if each != name]):
        errors.append(f"{words.head('follows')} is no other run of the sections runs and "
                      f"follow_ups; {suggestion(run.follows, known)}")
    errors += [f"{words.head(key)} is not the run that {name} follows, {run.follows}"
               for key, other in others.items() if other != run.follows]
    if not (others or errors):
        errors.append(f"{words.head('follows')}, but nothing is taken from it; needs "
                      f"{' or '.join(f'{key}: {run.follows}' for key in BUILDS_ON)}, or the "
                      "section runs")
    return errors
