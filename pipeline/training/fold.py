"""One fold's training, from a store to its best model and its out-of-fold scores.

Everything random follows from the seed, the fold and the epoch, and after each epoch the whole
state is written. So a training that was killed goes on at its last epoch, and ends with the scores
that it would have had. Another machine, or another number of threads, rounds differently.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.build import build, compile_for
from pipeline.batching.crops import crop_frames
from pipeline.runs import records as runs
from pipeline.runs import scores
from pipeline.runs.recipe import FoldTask, Recipe
from pipeline.runs.scores import Scores, atomic_write
from pipeline.runtime.errors import UsageError
from pipeline.store.reader import Store, open_store
from pipeline.training import checkpoint as checkpoints
from pipeline.training.checkpoint import Row
from pipeline.training.epochs import EpochDisplay
from pipeline.training.fitting import open_fold_data, run_epoch

# The column of the history that decides, and its sign: the larger the better.
MONITORS = {"loss": ("val_loss", -1), "lwlrap": ("val_lwlrap", 1)}


def train_fold(task: FoldTask) -> int:
    """Train a fold from where it stands to its end; returns the fold.

    Raises
    ------
    UsageError
        If the model does not take such crops or settings.
    StoreError
        If the state to go on from is damaged.
    PipelineError
        If the loss is no number any more.
    """
    recipe, folder = task.recipe, task.folder
    display = EpochDisplay(task.fold, recipe.epochs, alone=task.side_by_side == 1)
    store = open_store(task.store)
    model = make_model(task, store)
    history: list[Row] = []
    if runs.is_resumable(folder, task.identity):
        history = checkpoints.restore(folder / runs.CHECKPOINT, model)
        display.say(f"goes on after epoch {len(history)}")
    else:
        # RUNS/NAME is the parent of folds/K's parent.
        runs.begin_fold(folder.parent.parent, task.fold, task.identity)
    session = open_fold_data(task, store, model, display)
    display.say(session.summary)
    writers = {part: tf.summary.create_file_writer(str(folder / runs.LOGS / part))
               for part in ("train", "validation")}
    while not is_over(history, recipe):
        began = time.monotonic()
        row, of_clips = run_epoch(session, len(history) + 1)
        history.append(row)
        best = best_epoch(history, recipe.monitor) == len(history)
        if best:
            _save_model(folder / runs.MODEL, model)
            ids = tuple(x.clip_id for x in task.validation)
            scores.save(folder / runs.OOF, Scores(ids, task.classes, of_clips))
        checkpoints.save(folder / runs.CHECKPOINT, model, history)
        _write_history(folder / runs.HISTORY, history)
        _log(writers, row)
        display.row(row, time.monotonic() - began, best=best)
    best_row = history[best_epoch(history, recipe.monitor) - 1]
    runs.finish_fold(folder, task.identity, {"epochs": len(history), "best": best_row})
    measured = (f"{k} {v:.4f}" for k, v in best_row.items() if k.startswith("val_"))
    display.say(f"best epoch {best_row['epoch']:.0f} of {len(history)}: {', '.join(measured)}")
    return task.fold


def make_model(task: FoldTask, store: Store) -> keras.Model:
    """The fold's model before its first epoch; the same for the same seed and fold.

    Mean and variance are those of the training clips alone.
    """
    recipe = task.recipe
    keras.utils.clear_session()
    keras.utils.set_random_seed(_seed(recipe.seed, task.fold))
    keras.config.set_dtype_policy("mixed_float16" if recipe.mixed_precision else "float32")
    n_frames = crop_frames(store.spec, recipe.seconds)
    moments = store.moments(x.clip_id for x in task.training)
    try:
        model = build(
            recipe.model, (n_frames, store.spec.width) if store.spec.width else (n_frames,),
            len(task.classes), labels=recipe.labels, normalization=recipe.normalization,
            mean=moments.mean, variance=moments.variance,
        )
    except ValueError as error:
        raise UsageError(
            f"--model {recipe.model} on {recipe.features}, crops of {recipe.seconds:g} s: {error}"
        ) from None
    compile_for(model, recipe.labels, recipe.learning_rate)
    return model


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def is_over(history: Sequence[Row], recipe: Recipe) -> bool:
    """Whether the last epoch was reached, or `patience` epochs brought nothing better."""
    n = len(history)
    return n >= recipe.epochs or n - best_epoch(history, recipe.monitor) >= recipe.patience


def best_epoch(history: Sequence[Row], monitor: str) -> int:
    """The first of the best epochs, from 1; 0 when there is none yet."""
    column, sign = MONITORS[monitor]
    return 1 + max(range(len(history)), key=lambda i: sign * history[i][column], default=-1)


def _save_model(path: Path, model: keras.Model) -> None:
    # Keras insists on the suffix, so the partial file's name ends like the whole one's.
    partial = path.with_name(f"partial.{path.name}")
    model.save(partial)
    os.replace(partial, path)


def _write_history(path: Path, history: Sequence[Row]) -> None:
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(history[0])
        writer.writerows([int(row["epoch"]), *list(row.values())[1:]] for row in history)


def _log(writers: dict[str, Any], row: Row) -> None:
    """The epoch for TensorBoard, under the names that Keras's own callback gives.

    What ``tf.summary.scalar`` writes; that one needs TensorBoard to be installed.
    """
    scalar = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class=1
    )
    for name, value in row.items():
        if name != "epoch":
            part = "validation" if name.startswith("val_") else "train"
            tag = f"epoch_{name.removeprefix('val_')}"
            with writers[part].as_default(step=int(row["epoch"])):
                tf.summary.write(tag, tf.constant(value, tf.float32), metadata=scalar)
    for writer in writers.values():
        writer.flush()
