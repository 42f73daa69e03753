"""Measure whole runs and print a table of the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.dataset.tables import Dataset, Label
from pipeline.ensembling.means import mean_over_folds
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores, select
from pipeline.runs.staleness import stale
from pipeline.runtime.errors import UsageError, listed
from pipeline.scoring.evaluation import Result, confusions, measure, subsets, truth_of


def check_runs(folders: Iterable[RunFolder], dataset: Dataset, *, data: Path) -> None:
    """Check that runs have the data set's classes, and ensembles the scores of their members.

    Parameters
    ----------
    folders : iterable of RunFolder
    dataset : Dataset
    data : Path
        Its folder, for the messages.

    Raises
    ------
    UsageError
        Lists the runs that are of another task, or older than a member.
    """
    errors = []
    # All are read first: a name that is no run is the first thing to correct.
    for folder, record in [(each, each.read()) for each in folders]:
        if odd := sorted(set(record.classes) ^ set(dataset.classes)):
            errors.append(f"{record.name} and {data} differ in their classes: {listed(odd)}: "
                          "train the run again, or prepare with the earlier settings")
        errors += stale(folder.runs_dir, folder.name)
    if errors:
        raise UsageError("\n".join(errors))


def scored_sets(
    folder: RunFolder, labels: Mapping[str, Label], *, drop_unlabelled: bool = False
) -> tuple[dict[str, Scores], list[str]]:
    """Read a run's scores on every set of clips whose labels are known.

    Parameters
    ----------
    folder : RunFolder
    labels : mapping of str to Label
        By clip id.
    drop_unlabelled : bool
        Leave out the clips out of fold that have no labels, or too many for the run, since the data
        was prepared again. Measuring them is an error otherwise, and where no other clip is left.

    Returns
    -------
    sets : dict of str to Scores
        By the names of :func:`pipeline.scoring.evaluation.subsets`.
    notes : list of str
        Which clips are left out.
    """
    name, single = folder.name, folder.read().label_mode == "single"
    oof, folds = folder.load()
    left_out = list[str]()
    if drop_unlabelled:
        oof, left_out = _labelled(name, oof, labels, single=single)
    known, trained = set(oof.clip_ids), {labels[c].fold for c in oof.clip_ids if c in labels}
    several = {c: label for c, label in labels.items() if len(label.labels) > 1 and c not in known}
    if single and several:
        counts = {
            "out of fold": sum(label.split != "test" and label.fold in trained - {None}
                               for label in several.values()),
            "test": sum(label.split == "test" for label in several.values()) if folds else 0,
        }
        if any(counts.values()):
            left_out.append(
                f"{name} predicts one label per clip; clips with several are left out: "
                + ", ".join(f"{n} {what}" for what, n in counts.items() if n))
        labels = {c: label for c, label in labels.items() if c not in several}
    test = mean_over_folds(name, folds, single=single) if folds else None
    found, notes = subsets(oof, test, labels)
    return found, left_out + [f"{name}, {note}" for note in notes]


def _labelled(
    name: str, oof: Scores, labels: Mapping[str, Label], *, single: bool
) -> tuple[Scores, list[str]]:
    """Select the clips that the labels can measure, if any, with a note on those without labels."""
    without = [c for c in oof.clip_ids if c not in labels or not labels[c].labels]
    usable = set(oof.clip_ids).difference(without, (
        c for c, label in labels.items() if single and len(label.labels) > 1))
    if not usable:
        return oof, []
    rest = select(oof, [c for c in oof.clip_ids if c in usable], oof.classes)
    if not without:
        return rest, []
    clips = "1 clip" if len(without) == 1 else f"{len(without)} clips"
    return rest, [f"{name} has out-of-fold scores of {clips} without labels in labels.csv, left "
                  f"out here: {listed(without)}"]


def measure_run(
    folder: RunFolder, labels: Mapping[str, Label], *, seed: int, resamples: int
) -> dict[str, Result]:
    """Measure a run on every set of clips; prints which clips are left out.

    Parameters
    ----------
    folder : RunFolder
    labels : mapping of str to Label
        By clip id.
    seed, resamples : int
        Of the bootstrap, see :func:`pipeline.scoring.evaluation.measure`.

    Returns
    -------
    dict of str to Result
        By the names of :func:`pipeline.scoring.evaluation.subsets`.
    """
    found, notes = scored_sets(folder, labels)
    for note in notes:
        print(note)
    return measure_sets(folder, found, labels, seed=seed, resamples=resamples)


def measure_sets(
    folder: RunFolder, sets: Mapping[str, Scores], labels: Mapping[str, Label], *, seed: int,
    resamples: int,
) -> dict[str, Result]:
    """Measure what :func:`scored_sets` returned; parameters as in :func:`measure_run`."""
    single = folder.read().label_mode == "single"
    return {
        kind: measure(f"{folder.name}, {kind}", scores, truth_of(labels, scores), single=single,
                      seed=seed, resamples=resamples)
        for kind, scores in sets.items()
    }


def print_table(measured: Mapping[str, Mapping[str, Result]]) -> None:
    """Print a table of runs and their measures, and the classes most often confused."""
    columns = {"mean_average_precision": "mAP", "map_at_3": "MAP@3", "accuracy": "accuracy"}
    rows = [(name, kind, result.summary) for name, sets in measured.items()
            for kind, result in sets.items()]
    width = max(3, *(len(name) for name, _, _ in rows))
    shown = [key for key in columns if key in rows[0][2]]
    print(f"{'run':{width}}  {'clips':13}  lwlrap  95 % interval  "
          + "  ".join(f"{columns[key]:>8}" for key in shown))
    for name, kind, s in rows:
        print(f"{name:{width}}  {kind:7} {s['clips']:5}  {s['lwlrap']:.4f}  "
              f"{s['lwlrap_low']:.3f} - {s['lwlrap_high']:.3f}  "
              + "  ".join(f"{s[key]:8.4f}" for key in shown))
    for name, sets in measured.items():
        if pairs := confusions(sets["oof"], 3):
            print(f"{name} most often confuses "
                  + ", ".join(f"{a} with {p} ({n})" for a, p, n in pairs))
