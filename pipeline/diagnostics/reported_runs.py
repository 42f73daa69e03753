"""Read the runs of a report: their scores, labels and measures on every set of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.dataset.tables import Label
from pipeline.diagnostics.evaluated_runs import measure_sets, scored_sets
from pipeline.runs.folder import RunFolder, RunRecord
from pipeline.runs.scores import Scores
from pipeline.scoring.evaluation import Result


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """A run and what is known of it.

    Attributes
    ----------
    folder : RunFolder
    record : RunRecord
    sets : dict of str to Result
        By the names of :func:`pipeline.scoring.evaluation.subsets`; ``oof`` is always there.
    fold_tests : list of Scores
        Test scores of each fold's model; one entry for an ensemble, none before predict.
    notes : list of str
        Clips that are left out, and why.
    """

    folder: RunFolder
    record: RunRecord
    sets: dict[str, Result]
    fold_tests: list[Scores]
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.record.name

    @property
    def single(self) -> bool:
        """Whether the run predicts exactly one label per clip."""
        return self.record.label_mode == "single"

    @property
    def gives_probabilities(self) -> bool:
        """Whether its scores estimate probabilities; ranks and stacked scores do not."""
        return self.record.method not in ("rank", "stack")


def read_run(
    folder: RunFolder, labels: Mapping[str, Label], *, seed: int, resamples: int
) -> ReportedRun:
    """Read and measure a run; clips that were dropped since it was trained are left out.

    Parameters
    ----------
    folder : RunFolder
    labels : mapping of str to Label
        By clip id.
    seed, resamples : int
        Of the bootstrap intervals.
    """
    sets, notes = scored_sets(folder, labels, drop_unlabelled=True)
    _, fold_tests = folder.load()
    measured = measure_sets(folder, sets, labels, seed=seed, resamples=resamples)
    record = folder.read()
    gone = [m for m in record.members if not RunFolder(folder.runs_dir, m).is_run]
    if gone:
        notes.append(f"{folder.name} is made of {', '.join(record.members)}, of which "
                     f"{', '.join(gone)} {'is' if len(gone) == 1 else 'are'} not there any more; "
                     "what each member gains cannot be computed")
    return ReportedRun(folder, record, measured, fold_tests, notes)


def label_modes(runs: Sequence[ReportedRun]) -> str:
    """Describe how many labels runs predict: ``one label per clip``, and whose where it differs."""
    kinds = {what: [run.name for run in runs if run.single == single] for what, single in (
        ("one label per clip", True), ("several labels per clip", False))}
    used = {what: names for what, names in kinds.items() if names}
    if len(used) == 1:
        return next(iter(used))
    return ", ".join(f"{what} ({', '.join(names)})" for what, names in used.items())


def all_notes(runs: Sequence[ReportedRun]) -> list[str]:
    """Return the notes of all runs, each once, without a full stop."""
    return list(dict.fromkeys(note for run in runs for note in run.notes))


def same_clips(runs: Sequence[ReportedRun]) -> bool:
    """Return whether all runs are measured on the same clips, as far as they have such a set."""
    return not uneven_clips(runs)


def uneven_clips(runs: Sequence[ReportedRun]) -> list[str]:
    """Return a sentence for each set of clips, ``oof`` and ``test``, that differs between runs."""
    notes = []
    for kind, what in (("oof", "out of fold"), ("test", "test")):
        clips = {run.name: set(run.sets[kind].scores.clip_ids) for run in runs if kind in run.sets}
        if len({frozenset(each) for each in clips.values()}) > 1:
            counts = ", ".join(f"{name} {len(each):,}" for name, each in clips.items())
            common = len(set.intersection(*clips.values()))
            notes.append(f"The runs cover different clips, {what}: {counts}; {common:,} in common. "
                         "Their scores cannot be compared as they are")
    return notes


def default_runs(runs_dir: Path, ensemble: str, trained: Sequence[str]) -> tuple[str, ...]:
    """Return the ensemble and its members, or the trained runs where there is no ensemble.

    Parameters
    ----------
    runs_dir : Path
    ensemble : str
        The name of the ensemble in params.yaml.
    trained : sequence of str
        The names of the runs in params.yaml.
    """
    folder = RunFolder(runs_dir, ensemble)
    if folder.is_run:
        members = folder.read().members
        return (ensemble, *(m for m in members if RunFolder(runs_dir, m).is_run))
    return tuple(name for name in trained if RunFolder(runs_dir, name).is_run)
