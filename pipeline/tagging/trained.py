"""Trained runs and ensembles of them as taggers.

All that is needed is in the run's folder: its record names the feature with every setting, and the
mean and variance of the training clips are inside the models. No store is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batching.batches import batch_slices
from pipeline.batching.crops import Crops, crop_frames, mean_by_clip
from pipeline.batching.source import make_source
from pipeline.ensembling.means import MEANS, combine_tests, mean_over_folds
from pipeline.extraction.targets import Target
from pipeline.runs import identity
from pipeline.runs.folder import RunFolder, RunRecord
from pipeline.runs.scores import Scores
from pipeline.runs.staleness import stale
from pipeline.runtime.errors import PipelineError, StoreError, UsageError
from pipeline.tagging.tagger import Clips, Floats, SegmentModel, Segments, Tagger
from pipeline.training_data.crop_lengths import network_shape, tiling_of

# Crops that are scored between two looks at the keyboard: some seconds.
_PIECE = 1024


class TrainedRun:
    """A run whose networks, one per fold, score segments as predict scores clips.

    Parameters
    ----------
    folder : RunFolder

    Raises
    ------
    UsageError
        If there is no such run.
    StoreError
        If run.json is damaged, or the feature is computed differently by now.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._record, self._spec = identity.read_training(folder)
        identity.check_feature(folder, self._spec, use="tag")
        self._models: list[Any] = []

    @property
    def name(self) -> str:
        """The run's name."""
        return self._folder.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The run's classes."""
        return self._record.classes

    @property
    def target(self) -> Target:
        """The run's feature; its name is the fingerprint, which equal features share."""
        return Target(self._spec.fingerprint[:16], self._spec.declaration, self._spec)

    @property
    def seconds(self) -> float:
        """Length of a crop that scores; where these are whole clips, of one in training."""
        return self._record.recipe.score_seconds or self._record.recipe.seconds

    @property
    def _threads(self) -> int:
        return max(1, min(len(self._record.folds), len(os.sched_getaffinity(0))))

    def start(self) -> None:
        """Load the networks of all folds."""
        from pipeline.training import tensorflow_setup as backend

        backend.start(side_by_side=self._threads)
        from pipeline.training.prediction import load_model

        shape = network_shape(self._record.recipe, self._spec)
        self._models = [
            load_model(self._folder.fold(k), crop_shape=shape, n_classes=len(self.classes))
            for k in self._record.folds
        ]

    def scores(self, clips: Clips, segments: Segments) -> list[Floats]:
        """Score each segment by the mean over crops that cover it, once per fold.

        The folds' networks run side by side, because one of them alone leaves a third of two cores
        idle: its layers are too small to be shared out. The scores are the same bits.
        """
        from pipeline.training.prediction import crop_scores_at_once

        recipe = self._record.recipe
        tiling = tiling_of(recipe, self._spec)
        source = make_source(
            clips.spec, [str(i) for i in range(len(clips.length))], clips.frames, clips.start,
            clips.length, n_frames=crop_frames(self._spec, recipe.seconds), pad=recipe.pad,
            longest=tiling.least,
        )
        # A window without sound has an empty piece of it, and is covered as a whole.
        sound = np.clip(clips.sound[segments.row] - segments.first[:, None], 0,
                        segments.length[:, None])
        within = tiling.crops(segments.length, sound=sound)
        crops = Crops(segments.row[within.row], segments.first[within.row] + within.first,
                      within.n_frames)
        pieces = [crops[part] for part in batch_slices(len(crops), _PIECE)]
        with ThreadPoolExecutor(self._threads) as pool:
            of_pieces = [
                list(pool.map(lambda model, piece=piece: crop_scores_at_once(
                    model, source, piece, recipe.batch_size), self._models))
                for piece in pieces
            ]
        return [mean_by_clip(np.concatenate(of_model), within)
                for of_model in zip(*of_pieces, strict=True)]


@dataclass(frozen=True)
class _Run:
    """A run's part in a combination: the scores of each of its folds."""

    name: str

    def folds(self, scores: Mapping[str, Sequence[Scores]]) -> Sequence[Scores]:
        return scores[self.name]


@dataclass(frozen=True)
class _Ensemble:
    """An ensemble's part: one set of scores."""

    record: RunRecord
    parts: tuple[_Run | _Ensemble, ...]

    @property
    def name(self) -> str:
        return self.record.name

    def folds(self, scores: Mapping[str, Sequence[Scores]]) -> Sequence[Scores]:
        record = self.record
        return [combine_tests(
            record.method, [(part.name, part.folds(scores)) for part in self.parts],
            record.weights or (1.0,) * len(self.parts), single=record.label_mode == "single",
        )]


@dataclass(frozen=True)
class RunCombination:
    """What evaluate and submit take as a run's scores: the mean of its folds, or its ensemble's."""

    part: _Run | _Ensemble
    single: bool

    def __call__(self, scores: Mapping[str, Sequence[Scores]]) -> Scores:
        """Combine the scores of the folds of all runs."""
        return mean_over_folds(self.part.name, self.part.folds(scores), single=self.single)


def open_run(runs_dir: Path, name: str) -> Tagger:
    """Make a tagger of a trained run, or of an ensemble and the runs that it is made of.

    Parameters
    ----------
    runs_dir : Path
    name : str

    Raises
    ------
    UsageError
        If there is no such run, or an ensemble cannot be computed for new files: what it
        learned is not on record, or a member is missing or was trained again since. Everything
        wrong is listed.
    StoreError
        If a record is damaged, or a feature is computed differently by now.
    """
    models: dict[str, SegmentModel] = {}
    folder = RunFolder(runs_dir, name)
    record = folder.read()
    part = _part(folder, models, ())
    if errors := stale(runs_dir, name):
        raise UsageError("\n".join(errors))
    single = record.label_mode == "single"
    return Tagger(
        name, "ensemble" if record.kind == "ensemble" else "run", _about(record),
        record.label_mode, record.classes, scale_of(record.label_mode, record.method),
        tuple(models.values()), RunCombination(part, single),
    )


def _part(
    folder: RunFolder, models: dict[str, SegmentModel], inside: tuple[str, ...]
) -> _Run | _Ensemble:
    record = folder.read()
    if record.kind != "ensemble":
        if folder.name not in models:
            models[folder.name] = TrainedRun(folder)
        return _Run(folder.name)
    if record.method in ("stack", "boost"):
        raise UsageError(
            f"{folder.path} was made by {record.method}, and what that learned is not on record, "
            f"so it cannot score new files. Tag with a member (--run {record.members[0]}), or make "
            "an ensemble by a mean: python -m pipeline.ensemble --method geometric"
        )
    if (record.method not in MEANS or not record.members or folder.name in inside
            or len(record.weights) not in (0, len(record.members))):
        raise StoreError(f"{folder.record_path}: not a valid ensemble: method {record.method!r} of "
                         f"{', '.join(record.members) or 'no runs'}, weights "
                         f"{list(record.weights)}. Run `python -m pipeline.ensemble` again")
    parts, errors = [], list[PipelineError]()
    for member in record.members:
        try:
            parts.append(_part(RunFolder(folder.runs_dir, member), models, (*inside, folder.name)))
        except PipelineError as error:
            errors.append(error)
    if errors:
        text = "\n".join(map(str, errors))
        raise type(errors[0])(f"{folder.path} is an ensemble of {', '.join(record.members)}:\n"
                              f"{text}")
    return _Ensemble(record, tuple(parts))


def _about(record: RunRecord) -> str:
    if record.kind == "ensemble":
        shares = " ".join(f"{weight:g}" for weight in record.weights)
        weights = f", weights {shares}" if shares else ""
        return f"{record.method} mean of {', '.join(record.members)}{weights}"
    recipe, n = record.recipe, len(record.folds)
    folds = f"geometric mean of {n} folds" if n > 1 else "1 fold"
    return f"{recipe.model} on {recipe.features}, {folds}"


def scale_of(label_mode: str, method: str = "") -> str:
    """Say what scores are, in a line for people.

    Parameters
    ----------
    label_mode : {"multi", "single"}
    method : str
        Of an ensemble, if it is one.
    """
    if method == "rank":
        return "mean ranks from 0 (lowest) to 1 (the top tag of every model), not probabilities"
    if label_mode == "single":
        return "one tag per file; its scores add up to 1 (softmax)"
    return "any number of tags per file; each scored by itself, 0 to 1 (sigmoid)"
