"""Score the clips that a run was not trained on with the models of its folds.

TensorFlow is imported only once there is something to score.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.batching.crops import crop_frames, mean_by_clip
from pipeline.batching.source import open_source
from pipeline.dataset.tables import read_dataset, read_labels
from pipeline.runs.folder import RunFolder, RunRecord
from pipeline.runs.scores import Scores
from pipeline.runtime import memory
from pipeline.runtime.errors import UsageError, listed
from pipeline.store.reader import Store
from pipeline.training_data.crop_lengths import network_shape, tiling_of


def select_clips(
    data: Path, folder: RunFolder, trained: RunRecord, store: Store, *, noisy: bool
) -> dict[str, list[str]]:
    """Select the test clips, and the noisy clips if asked for, that the store has.

    Prints to stderr which clips the store lacks. A run that was trained on noisy clips has none
    here: its models know their labels by heart, so that their scores say little about them.

    Returns
    -------
    dict of str to list of str
        Clip ids by split, ``test`` first; without the splits that have none.

    Raises
    ------
    UsageError
        If there are no test clips, or the run has other classes than the data.
    """
    classes = read_dataset(data).classes
    if set(classes) != set(trained.classes):
        raise UsageError(
            f"{data} has other classes than {folder.path}; only one of them has "
            f"{listed(sorted(set(classes) ^ set(trained.classes)))}. Train the run again"
        )
    labels = read_labels(data)
    wanted = {"test": [label.clip_id for label in labels if label.split == "test"]}
    if not wanted["test"]:
        raise UsageError(f"{data}: labels.csv has no test clips")
    if noisy and (unseen := [label.clip_id for label in labels if label.split == "noisy"]):
        if trained.recipe.noisy:
            print(f"  note: {folder.path} was trained on the noisy clips, so it does not score "
                  "them", file=sys.stderr)
        else:
            wanted["noisy"] = unseen
    found = {split: [c for c in ids if c in store] for split, ids in wanted.items()}
    if not found["test"]:
        raise UsageError(f"{store.path} has none of the {len(wanted['test'])} test clips; extract "
                         "again")
    for split, ids in wanted.items():
        if missing := [clip_id for clip_id in ids if clip_id not in store]:
            print(f"  note: {store.path} lacks {len(missing)} {split} clips, which get no scores: "
                  f"{listed(missing)}", file=sys.stderr)
    return {split: ids for split, ids in found.items() if ids}


def score_clips(
    folder: RunFolder, trained: RunRecord, store: Store, split: str, clip_ids: Sequence[str],
    inputs: dict[int, dict[str, Any]],
) -> None:
    """Score the clips of a split with the models of the folds of `inputs`; write the scores."""
    from pipeline.training import tensorflow_setup as backend

    backend.start()
    from pipeline.training.prediction import crop_scores, load_model

    recipe = trained.recipe
    tiling = tiling_of(recipe, store.spec)
    source = open_source(
        store, clip_ids, n_frames=crop_frames(store.spec, recipe.seconds), pad=recipe.pad,
        budget=memory.budget(), longest=tiling.least,
    )
    sound = store.sound[[store.index_of(clip_id) for clip_id in clip_ids]]
    crops = tiling.crops(source.length, sound=sound)
    print(f"{folder.path}: {len(clip_ids)} {split} clips ({len(crops)} crops) of {store.path}")
    for fold in map(folder.fold, inputs):
        model = load_model(fold, crop_shape=network_shape(recipe, store.spec),
                           n_classes=len(trained.classes))
        values = crop_scores(model, source, crops, recipe.batch_size)
        scores = Scores(tuple(clip_ids), trained.classes, mean_by_clip(values, crops))
        fold.save_predicted(split, scores, inputs[fold.fold])
        print(f"  fold {fold.fold}: {fold.predicted(split)}", flush=True)
