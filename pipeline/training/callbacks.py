"""Callbacks of the one ``model.fit`` per fold: validation, early stopping, exact resuming, output.

Keras' ``EarlyStopping``, ``CSVLogger`` and ``BackupAndRestore`` are not used, because they cannot
resume exactly: the counters of the first start again at 0, and weights and epoch are two files, so
that a kill between them leaves the weights of one epoch with the number of another.
``TerminateOnNaN`` ends a training as if it had succeeded; ours raises an error.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from pipeline.batching.crops import mean_by_clip
from pipeline.runs import scores
from pipeline.runs.recipe import Recipe
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import atomic_write
from pipeline.runtime.rows import write_rows
from pipeline.scoring import metrics
from pipeline.training import checkpoint
from pipeline.training.checkpoint import EpochRow
from pipeline.training.event_file import append_scalars, event_path
from pipeline.training.prediction import crop_scores
from pipeline.training_data.fold_data import Floats, FoldData

# The column of the history that decides, and its sign: the larger the better.
MONITORS = {"loss": ("val_loss", -1), "lwlrap": ("val_lwlrap", 1)}


def is_over(history: Sequence[EpochRow], recipe: Recipe) -> bool:
    """Whether the last epoch is done, or `patience` epochs in a row brought no improvement.

    Where the last epoch is kept, all are trained: stopping early would leave the learning rate of
    a schedule anywhere, and its place would be a choice by the validation clips.
    """
    n = len(history)
    if n >= recipe.epochs or recipe.keep == "last":
        return n >= recipe.epochs
    return n - best_epoch(history, recipe.monitor) >= recipe.patience


def kept_epoch(history: Sequence[EpochRow], recipe: Recipe) -> int:
    """The epoch whose model is kept, from 1; 0 if there is none yet."""
    if recipe.keep == "best":
        return best_epoch(history, recipe.monitor)
    return len(history) if len(history) >= recipe.epochs else 0


def plateau_scale(history: Sequence[EpochRow], recipe: Recipe) -> float:
    """The factor of the learning rate that ``{kind: plateau}`` has come to after some epochs.

    It falls by `factor` after every `patience` epochs without improvement of `monitor`. It follows
    from the history alone, so that a resumed training has the same.
    """
    schedule, scale, waited = recipe.schedule, 1.0, 0
    for n in range(1, len(history) + 1):
        waited = 0 if best_epoch(history[:n], recipe.monitor) == n else waited + 1
        if waited >= schedule["patience"]:
            scale, waited = scale * schedule["factor"], 0
    return scale


def best_epoch(history: Sequence[EpochRow], monitor: str) -> int:
    """The first of the best epochs, from 1; 0 without any."""
    column, sign = MONITORS[monitor]
    return 1 + max(range(len(history)), key=lambda i: sign * history[i][column], default=-1)


class EpochDisplay:
    """Table of epochs on stdout, one row each, and a progress bar on a terminal.

    Parameters
    ----------
    fold : int
    epochs : int
        The maximum.
    alone : bool
        Whether no other fold is trained at the same time: then there is a progress bar, and rows
        need not name their fold.
    """

    def __init__(self, fold: int, epochs: int, *, alone: bool) -> None:
        self._fold = f"fold {fold}: "
        self._epochs, self._alone = epochs, alone
        self._width = max(len("epoch"), 2 * len(str(epochs)) + 1)
        self._has_header = False

    def say(self, text: str) -> None:
        """Print a line of text."""
        self._write(self._fold + text)

    def bar(self, epoch: int, n_batches: int) -> Any:
        """A progress bar over an epoch's batches, to be updated and closed."""
        return tqdm(
            total=n_batches, disable=not (self._alone and sys.stderr.isatty()), leave=False,
            desc=f"  epoch {epoch}/{self._epochs}", unit="batch", dynamic_ncols=True,
        )

    def row(self, values: Mapping[str, float], seconds: float, *, mark: str) -> None:
        """Print an epoch: its number, metrics, duration, and `mark` if it is the one to keep."""
        names = [name for name in values if name != "epoch"]
        if not self._has_header:
            self._cells([f"{'epoch':>{self._width}}", *(f"{n:>12}" for n in names),
                         f"{'seconds':>8}"])
            self._has_header = True
        epoch = f"{int(values['epoch'])}/{self._epochs}"
        cells = ("" if math.isnan(values[name]) else f"{values[name]:.4f}" for name in names)
        self._cells([f"{epoch:>{self._width}}", *(f"{cell:>12}" for cell in cells),
                     f"{seconds:8.1f}", *([f" * {mark}"] if mark else [])])

    def _cells(self, cells: list[str]) -> None:
        self._write(("" if self._alone else self._fold) + " ".join(cells))

    @staticmethod
    def _write(line: str) -> None:
        # In one piece: several processes may write to one terminal.
        sys.stdout.write(f"  {line}\n")
        sys.stdout.flush()


class Progress(keras.callbacks.Callback):
    """Progress bar within an epoch; raises a PipelineError as soon as the loss is not finite."""

    def __init__(self, data: FoldData, display: EpochDisplay) -> None:
        super().__init__()
        self._data, self._display = data, display
        self._epoch = 0
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1
        self._bar = self._display.bar(self._epoch, self._data.batches_per_epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._bar.update()
        if not math.isfinite(logs["loss"]):
            self._bar.close()
            raise diverged(self._data, self._epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._bar.close()


class ClipValidation(keras.callbacks.Callback):
    """Score the validation clips, and add ``val_…`` to the metrics of the epoch.

    They are scored after every epoch, or every `validate_every` epochs and after the last one. On a
    small data set overlapping tiles can take as long as the epoch's training.

    The validation loss is the mean over clips of the mean loss over the crops that cover the clip;
    lwlrap and accuracy are of clips too, not of crops. `clip_scores` [shape=(n_validation,
    n_classes), dtype=float32] are those after the last epoch. Of ``snapshots`` these are the mean
    of all; before, the network is scored as it is.
    """

    def __init__(self, data: FoldData) -> None:
        super().__init__()
        self._data = data
        self.clip_scores: Floats = np.empty((0, 0), np.float32)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        data, crops, recipe = self._data, self._data.validation, self._data.task.recipe
        if recipe.adds_to_average(epoch + 1):
            self.model.average_epoch()
        if (epoch + 1) % recipe.validate_every and epoch + 1 < recipe.epochs:
            return
        with self.model.averaged() as network:
            of_crops = crop_scores(network, data.source, crops, recipe.batch_size)
        losses = self.model.curated_loss.call(data.targets[crops.row], of_crops)
        self.clip_scores = mean_by_clip(of_crops, crops)
        loss = float(mean_by_clip(keras.ops.convert_to_numpy(losses), crops).mean(dtype=np.float64))
        if not (math.isfinite(loss) and np.isfinite(self.clip_scores).all()):
            raise diverged(data, epoch + 1)
        truth = data.targets[data.n_training:]
        logs |= {"val_loss": loss, "val_lwlrap": metrics.lwlrap(truth, self.clip_scores)}
        if recipe.labels == "single":
            logs["val_accuracy"] = metrics.accuracy(truth, self.clip_scores)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the metrics that a validation adds."""
        single = self._data.task.recipe.labels == "single"
        return ("val_loss", "val_lwlrap", *(["val_accuracy"] if single else []))


class FoldState(keras.callbacks.Callback):
    """Write the kept model, its scores, the state for resuming and the history after each epoch.

    Stops the training when it is over.

    Parameters
    ----------
    data : FoldData
    validation : ClipValidation
        Comes earlier in the list of callbacks.
    history : list of dict
        The epochs so far; it grows.
    display : EpochDisplay
    """

    def __init__(
        self, data: FoldData, validation: ClipValidation, history: list[EpochRow],
        display: EpochDisplay,
    ) -> None:
        super().__init__()
        self._data, self._validation, self._display = data, validation, display
        self._history = history
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        task, history = self._data.task, self._history
        row: EpochRow = {"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}}
        # An epoch without a validation has the columns all the same: all rows are of one table.
        row |= {name: math.nan for name in self._validation.columns if name not in row}
        history.append(row)
        is_kept = kept_epoch(history, task.recipe) == len(history)
        if is_kept:
            with self.model.averaged() as network:
                _save_model(task.folder.model, network)
            ids = tuple(label.clip_id for label in task.validation)
            scores.save(task.folder.oof, Scores(ids, task.classes, self._validation.clip_scores))
        checkpoint.save(task.folder.checkpoint, self.model, history)
        write_rows(task.folder.history, list(row), (
            [int(each["epoch"]), *("" if math.isnan(v) else v for v in list(each.values())[1:])]
            for each in history
        ))
        self._display.row(row, time.monotonic() - self._began,
                          mark=task.recipe.keep if is_kept else "")
        self.model.stop_training = is_over(history, task.recipe)


class ScalarLog(keras.callbacks.Callback):
    """Write the metrics of each epoch and the learning rate for TensorBoard.

    Tags, folders and numbers of epochs, from 0, are those of Keras' ``TensorBoard``.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._training, self._validation = (
            event_path(folder / part, str(os.getpid())) for part in ("train", "validation")
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        validation = {k.removeprefix("val_"): v for k, v in logs.items() if k.startswith("val_")}
        training = {k: v for k, v in logs.items() if not k.startswith("val_")}
        for path, values in ((self._training, {**training, "learning_rate": rate}),
                             (self._validation, validation)):
            if values:
                append_scalars(path, epoch, {f"epoch_{k}": float(v) for k, v in values.items()})


class Plateau(keras.callbacks.Callback):
    """Set the learning rate of ``{kind: plateau}`` before each epoch, as the history says."""

    def __init__(self, recipe: Recipe, history: Sequence[EpochRow]) -> None:
        super().__init__()
        self._recipe, self._history = recipe, history

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._recipe.schedule["kind"] == "plateau":
            scale = plateau_scale(self._history, self._recipe)
            self.model.optimizer.learning_rate = self._recipe.learning_rate * scale


def diverged(data: FoldData, epoch: int) -> PipelineError:
    """The error of a training whose loss is not finite."""
    recipe = data.task.recipe
    return PipelineError(
        f"fold {data.task.fold}, epoch {epoch}: training diverged: the loss became NaN or "
        f"infinite. Try a lower --learning-rate than {recipe.learning_rate:g}"
        + (", or --precision float32" if recipe.precision != "float32" else "")
    )


def _save_model(path: Path, model: keras.Model) -> None:
    # Keras insists on the suffix.
    with atomic_write(path, suffix=".partial.keras") as partial:
        model.save(partial)
