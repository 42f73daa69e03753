"""Search the clips of a data set for label errors, with scores of models that never saw them.

Curated clips have out-of-fold scores. Noisy clips have the mean over all folds of a run that was
not trained on them (``pipeline.predict`` writes them); a run that was knows their labels by heart,
and a search would only find what it failed to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.dataset.tables import Label
from pipeline.diagnostics.calibration import is_probability
from pipeline.diagnostics.label_errors import LabelErrors, find_label_errors
from pipeline.diagnostics.reported_runs import ReportedRun
from pipeline.ensembling.means import MEANS, combine, combine_tests, mean_over_folds
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores, select
from pipeline.runtime.errors import listed
from pipeline.scoring.evaluation import truth_of
from pipeline.scoring.metrics import Bools

SPLITS = ("curated", "noisy")


@dataclass(frozen=True, eq=False)
class Searched:
    """The clips of a split that were searched for label errors.

    Attributes
    ----------
    split : {"curated", "noisy"}
    scores : Scores
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        The labels as they are given.
    errors : LabelErrors
    """

    split: str
    scores: Scores
    truth: Bools
    errors: LabelErrors


@dataclass(frozen=True, eq=False)
class Search:
    """What was searched, and what could not be.

    Attributes
    ----------
    found : list of Searched
    notes : list of str
        Sentences: which split was not searched, and what to do.
    """

    found: list[Searched]
    notes: list[str]


def search_labels(run: ReportedRun, labels: Mapping[str, Label]) -> Search:
    """Search curated and noisy clips for label errors.

    Parameters
    ----------
    run : ReportedRun
        An ensemble whose scores are no probabilities (ranks, stacked scores) is replaced by the
        geometric mean of the trained runs that it is made of.
    labels : mapping of str to Label
        By clip id.
    """
    found, notes = list[Searched](), list[str]()
    curated: Scores | None = run.sets["oof"].scores
    noisy, note = _noisy_scores(run.folder, plain=not run.gives_probabilities)
    if not run.gives_probabilities or not is_probability(run.sets["oof"].scores.values):
        curated, why = _plain_mean(run)
        notes.append(why)
    if any(label.split == "noisy" for label in labels.values()) and note:
        notes.append(note)
    for split, scores in zip(SPLITS, (curated, noisy), strict=True):
        if scores is None:
            continue
        ids = [c for c in scores.clip_ids if c in labels and labels[c].split == split
               and (len(labels[c].labels) == 1 or not run.single)]
        if left_out := sum(c in labels and labels[c].split == split
                           for c in scores.clip_ids) - len(ids):
            notes.append(f"{left_out} {split} clips with several labels were not checked: "
                         f"{run.name} predicts one label per clip.")
        if ids:
            chosen = select(scores, ids, run.record.classes)
            truth = truth_of(labels, chosen)
            errors = find_label_errors(truth, chosen.values, single=run.single)
            found.append(Searched(split, chosen, truth, errors))
    return Search(found, notes)


def names_where(chosen: Bools, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes chosen in one row."""
    return tuple(name for name, wanted in zip(classes, chosen, strict=True) if wanted)


def _plain_mean(run: ReportedRun) -> tuple[Scores | None, str]:
    """Out-of-fold probabilities from the trained runs that are there, and what was done."""
    runs = _trained(run.folder)
    there = [r for r in runs if r.is_run]
    why = f"The scores of {run.name} are not probabilities, so the labels were checked with "
    if not there:
        return None, (f"The scores of {run.name} are not probabilities, and none of the runs that "
                      "it is made of is there any more, so the curated clips were not checked.")
    why += f"the geometric mean of {', '.join(r.name for r in there)}."
    if gone := [r.name for r in runs if not r.is_run]:
        why += f" Of the curated clips it lacks {', '.join(gone)}, not there any more."
    oofs = [(r.name, r.load_out_of_fold()) for r in there]
    return combine("geometric", oofs, [1.0] * len(oofs), single=run.single), why


def _trained(folder: RunFolder) -> list[RunFolder]:
    """The trained runs that a run is made of, in the ensembles within it too; some may be gone."""
    if not folder.is_run:
        return [folder]
    record = folder.read()
    if record.kind == "train":
        return [folder]
    members = [RunFolder(folder.runs_dir, member) for member in record.members]
    return list({r.name: r for m in members for r in _trained(m)}.values())


def _noisy_scores(folder: RunFolder, *, plain: bool) -> tuple[Scores | None, str]:
    """Scores of the noisy clips, and why there are none or others than the run's own.

    `plain` ignores methods and weights.
    """
    record = folder.read()
    single = record.label_mode == "single"
    if record.kind != "train" and not plain and record.method not in MEANS:
        scores, note = _noisy_scores(folder, plain=True)
        return scores, note or (
            f"What {folder.name} learned by {record.method} is not on record, so the noisy clips "
            f"were checked with the geometric mean of "
            f"{', '.join(run.name for run in _trained(folder))}.")
    if record.kind == "train":
        if record.settings.get("noisy"):
            return None, (f"{folder.name} was trained on the noisy clips, so it has no scores of "
                          "them that could contradict their labels.")
        folds = folder.load_noisy()
        if not folds:
            missing = [path for k in record.folds
                       if not (path := folder.fold(k).predicted("noisy")).is_file()]
            which = "" if len(missing) == len(record.folds) else (
                f" of every fold: {listed([str(path) for path in missing])} "
                f"{'is' if len(missing) == 1 else 'are'} missing")
            return None, (f"{folder.name} has no scores of the noisy clips{which}. `python -m "
                          f"pipeline.predict --run {folder.name} --noisy` writes them.")
        return mean_over_folds(folder.name, folds, single=single), ""
    members = (_trained(folder) if plain
               else [RunFolder(folder.runs_dir, member) for member in record.members])
    named, notes = [], []
    for member in members:
        if not member.is_run:
            return None, (f"{member.name}, a run that {folder.name} is made of, is not there any "
                          "more, so the noisy clips have no scores.")
        scores, note = _noisy_scores(member, plain=plain)
        if scores is None:
            return None, note
        named.append((member.name, [scores]))
        notes += [note] if note else []
    weights = (1.0,) * len(named) if plain or not record.weights else record.weights
    method = "geometric" if plain else record.method
    return combine_tests(method, named, weights, single=single), " ".join(notes)
