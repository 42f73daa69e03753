"""What the sections are made of: the runs, what was found out about them, and clips to hear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from pipeline.dataset.tables import Clip, Dataset, Label
from pipeline.diagnostics.clip_lwlrap import clip_lwlrap, worst
from pipeline.diagnostics.ensemble_steps import Step, ensemble_steps
from pipeline.diagnostics.reported_runs import ReportedRun
from pipeline.diagnostics.run_differences import Difference, compare
from pipeline.diagnostics.suspect_clips import Search, Searched, names_where, search_labels
from pipeline.reports.clip_card import Card, ClipSources, anchor, make_cards
from pipeline.runs.scores import Scores
from pipeline.store.reader import Store

# What the sets of clips are called on the page.
SETS = {"oof": "out of fold", "test": "test", "public": "public test", "private": "private test"}

# Classes of a clip that are shown as the prediction.
TOP = 3


@dataclass(frozen=True, eq=False)
class Material:
    """Runs, and what was found out about them.

    Attributes
    ----------
    dataset : Dataset
    labels : mapping of str to Label
        By clip id.
    runs : sequence of ReportedRun
        The first one is shown in most detail.
    steps : dict of str to list of Step
        By run.
    differences : list of Difference
        Of the second run to the first, if exactly two were named.
    search : Search
        For label errors, with the first run's scores.
    table : str
        The file of likely label errors, relative to the page.
    anchors : dict of (str, str) to str
        Anchor of each card, by section and clip id.
    cards : dict of str to Markup
        By anchor.
    seed, resamples : int
        Of the bootstrap.
    """

    dataset: Dataset
    labels: Mapping[str, Label]
    runs: Sequence[ReportedRun]
    steps: dict[str, list[Step]]
    differences: list[Difference]
    search: Search
    table: str
    anchors: dict[tuple[str, str], str]
    cards: dict[str, Markup]
    seed: int
    resamples: int

    @property
    def main(self) -> ReportedRun:
        """The run that is shown in most detail."""
        return self.runs[0]

    def linked(self, section: str, clip_id: str) -> str | tuple[str, str]:
        """Return a table cell: the clip's id, as a link if the section has a card of it."""
        key = self.anchors.get((section, clip_id))
        return (clip_id, f"#{key}") if key else clip_id

    def cards_of(self, section: str) -> list[Markup]:
        """Return the cards of a section."""
        return [self.cards[key] for (name, _), key in self.anchors.items() if name == section]


@dataclass(frozen=True)
class Sources:
    """Where clips can be heard and seen.

    Attributes
    ----------
    root : Path
        The data set's folder.
    clips : sequence of Clip
    stores : dict of str to Store
    """

    root: Path
    clips: Sequence[Clip]
    stores: dict[str, Store]


def gather(
    dataset: Dataset, labels: Mapping[str, Label], runs: Sequence[ReportedRun], sources: Sources, *,
    pair: bool, n_clips: int, seconds: float, table: str, seed: int, resamples: int, jobs: int,
) -> Material:
    """Find out what the page shows, and make the cards of the clips to hear.

    Parameters
    ----------
    dataset : Dataset
    labels : mapping of str to Label
        By clip id.
    runs : sequence of ReportedRun
        At least one.
    sources : Sources
    pair : bool
        Whether to compare the second run with the first.
    n_clips : int
        Number of clips to hear per section, and per set of clips of label errors.
    seconds : float
        How much of each clip to hear.
    table : str
        See :class:`Material`.
    seed, resamples : int
        Of the bootstrap.
    jobs : int
        Number of threads; -1: one per CPU core.

    Returns
    -------
    Material
    """
    steps = {run.name: ensemble_steps(run, seed=seed, resamples=resamples) for run in runs}
    differences = compare(*runs, seed=seed, resamples=resamples) if pair else []
    search = search_labels(runs[0], labels)
    wanted = [("worst", *each) for each in _worst(runs[0], labels, n_clips)]
    for found in search.found:
        wanted += [(f"suspect-{found.split}", *each) for each in _suspects(found, n_clips)]
    for difference in differences[:1]:
        wanted += [("difference", *each)
                   for each in _furthest(difference, runs[0].name, runs[1].name, n_clips)]
    anchors = {(section, clip_id): anchor(section, i)
               for i, (section, clip_id, _) in enumerate(wanted)}
    made = make_cards(
        (Card(anchors[section, clip_id], clip_id, labels[clip_id].labels, notes=notes)
         for section, clip_id, notes in wanted),
        ClipSources(sources.root, {clip.clip_id: clip.path for clip in sources.clips},
                    sources.stores, seconds),
        jobs=jobs,
    )
    return Material(dataset, labels, runs, steps, differences, search, table, anchors, made,
                    seed, resamples)


def prediction(scores: Scores, row: int, most: int = TOP) -> str:
    """Describe the classes that score highest in a clip: ``Bark 0.91, Meow 0.20``."""
    values = scores.values[row]
    order = np.argsort(-values, kind="stable")[:most]
    return ", ".join(f"{scores.classes[k]} {values[k]:.2f}" for k in order)


def ranks(scores: Scores, row: int, names: Iterable[str]) -> str:
    """Describe the ranks of some classes in a clip: ``Rain is number 4 of 80 with 0.05``."""
    values, column = scores.values[row], {name: k for k, name in enumerate(scores.classes)}
    return ", ".join(
        f"{name} is number {np.count_nonzero(values >= values[column[name]])} of {len(values)} "
        f"with {values[column[name]]:.2f}" for name in names
    )


Cards = list[tuple[str, tuple[str, ...]]]


def _worst(run: ReportedRun, labels: Mapping[str, Label], most: int) -> Cards:
    result = run.sets["oof"]
    scores = result.scores
    per_clip, _ = clip_lwlrap(result.truth, scores.values)
    return [(clip_id, (
        f"Predicted: {prediction(scores, k)}",
        f"Labels: {ranks(scores, k, labels[clip_id].labels)}",
        f"lwlrap {per_clip[k]:.3f}" + _fold(labels[clip_id]),
    )) for k in worst(per_clip, most) for clip_id in [scores.clip_ids[k]]]


def _fold(label: Label) -> str:
    return "" if label.fold is None else f", fold {label.fold}"


def _suspects(found: Searched, most: int) -> Cards:
    classes, errors = found.scores.classes, found.errors

    def notes(k: int) -> tuple[str, ...]:
        wrong, missing, suggested = (names_where(chosen[k], classes) for chosen in (
            errors.wrong, errors.missing, errors.suggested))
        lines = [f"Likely {what}: {', '.join(names)}"
                 for what, names in (("wrong", wrong), ("missing", missing)) if names]
        lines.append(f"Suggested: {', '.join(suggested) or 'none'}")
        return (*lines, f"Predicted: {prediction(found.scores, k)}",
                f"Self-confidence {errors.confidence[k]:.3f}")

    return [(found.scores.clip_ids[k], notes(int(k))) for k in errors.ranked[:most]]


def _furthest(difference: Difference, old: str, new: str, most: int) -> Cards:
    return [(difference.new.clip_ids[k], (
        f"{old}: lwlrap {difference.per_clip[k, 0]:.3f}; {prediction(difference.old, k)}",
        f"{new}: lwlrap {difference.per_clip[k, 1]:.3f}; {prediction(difference.new, k)}",
    )) for k in difference.furthest[:most]]
