"""Score a run's test clips with the models of its folds.

TensorFlow is imported only once there is something to score.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batching.batches import open_source
from pipeline.batching.crops import covering_crops, crop_frames, mean_by_clip
from pipeline.dataset.tables import read_dataset, read_labels
from pipeline.runs.folder import RunFolder, RunRecord
from pipeline.runs.scores import Scores
from pipeline.runtime import memory
from pipeline.runtime.errors import UsageError, listed
from pipeline.store.reader import Store


def select_test_clips(
    data: Path, folder: RunFolder, trained: RunRecord, store: Store
) -> list[str]:
    """Select the test clips that the store has; prints those that it lacks to stderr.

    Raises
    ------
    UsageError
        If there are none, or the run has other classes than the data.
    """
    classes = read_dataset(data).classes
    if set(classes) != set(trained.classes):
        raise UsageError(
            f"{data} has other classes than {folder.path}; only one of them has "
            f"{listed(sorted(set(classes) ^ set(trained.classes)))}. Train the run again"
        )
    wanted = [label.clip_id for label in read_labels(data) if label.split == "test"]
    if not wanted:
        raise UsageError(f"{data}: labels.csv has no test clips")
    available = [clip_id for clip_id in wanted if clip_id in store]
    if not available:
        raise UsageError(f"{store.path} has none of the {len(wanted)} test clips; extract again")
    if len(available) < len(wanted):
        missing = [clip_id for clip_id in wanted if clip_id not in store]
        print(f"  note: {store.path} lacks {len(missing)} test clips, which get no scores: "
              f"{listed(missing)}", file=sys.stderr)
    return available


def score_clips(
    folder: RunFolder, trained: RunRecord, store: Store, clip_ids: Sequence[str],
    inputs: dict[int, dict[str, Any]],
) -> None:
    """Score the test clips with the models of the folds of `inputs`, and write the scores."""
    from pipeline.training import tensorflow_setup as backend

    backend.start()
    from pipeline.training.prediction import crop_scores, load_model

    source = open_source(
        store, clip_ids, n_frames=crop_frames(store.spec, trained.recipe.seconds),
        pad=trained.recipe.pad, budget=memory.budget(),
    )
    crops = covering_crops(source.length, np.arange(len(clip_ids)), source.n_frames)
    print(f"{folder.path}: {len(clip_ids)} test clips ({len(crops)} crops) of {store.path}")
    for fold in map(folder.fold, inputs):
        model = load_model(fold, crop_shape=source.crop_shape, n_classes=len(trained.classes))
        values = crop_scores(model, source, crops, trained.recipe.batch_size)
        fold.save_test(
            Scores(tuple(clip_ids), trained.classes, mean_by_clip(values, crops)),
            inputs[fold.fold],
        )
        print(f"  fold {fold.fold}: {fold.test}", flush=True)
