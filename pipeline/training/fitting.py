"""One epoch: a pass over the training clips, then the scores of the validation clips.

A pass takes one random crop of every training clip, so clips count the same however long they are.
What is watched does likewise: the validation loss is the mean over clips of the mean loss over the
crops that cover the clip. Scores and lwlrap are of clips too, not of crops.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.batching.batches import CropSource, batch_slices, batches, open_source
from pipeline.batching.crops import Crops, covering_crops, crop_frames, random_crops
from pipeline.runs.recipe import FoldTask
from pipeline.runtime import memory
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.progress import size
from pipeline.scoring import metrics
from pipeline.store.reader import Store
from pipeline.training import tensorflow_setup as backend
from pipeline.training.checkpoint import Row
from pipeline.training.epochs import EpochDisplay
from pipeline.training.examples import targets
from pipeline.training.prediction import crop_scores, mean_by_clip

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FoldData:
    """A fold's training under way.

    Attributes
    ----------
    task : FoldTask
    model : keras.Model
        Compiled.
    source : CropSource
        The training clips in its first rows, then the validation clips.
    targets : np.ndarray [shape=(n_clips, n_classes), dtype=float32]
        Of these rows.
    validation : Crops
        What covers the validation clips.
    display : EpochDisplay
    """

    task: FoldTask
    model: keras.Model
    source: CropSource
    targets: Floats
    validation: Crops
    display: EpochDisplay

    @property
    def n_training(self) -> int:
        """Training clips."""
        return len(self.task.training)

    @property
    def summary(self) -> str:
        """Clips, crops, and where the frames are, in a line."""
        task, source = self.task, self.source
        place = f"{size(source.n_bytes)} in memory" if source.in_memory else (
            f"{size(source.n_bytes)} mapped from {task.store}: more than may be held in memory"
        )
        return (f"{self.n_training} training clips, {len(task.validation)} validation clips "
                f"({len(self.validation)} crops), {place}")


def open_fold_data(
    task: FoldTask, store: Store, model: keras.Model, display: EpochDisplay
) -> FoldData:
    """Get the fold's clips ready, in memory if they fit."""
    recipe, examples = task.recipe, (*task.training, *task.validation)
    source = open_source(
        store, [x.clip_id for x in examples], n_frames=crop_frames(store.spec, recipe.seconds),
        pad=recipe.pad, budget=memory.budget(task.side_by_side),
    )
    rows = np.arange(len(task.training), len(examples))
    validation = covering_crops(source.length, rows, source.n_frames)
    return FoldData(task, model, source, targets(examples, task.classes), validation, display)


def run_epoch(session: FoldData, epoch: int) -> tuple[Row, Floats]:
    """Train an epoch, then score the validation clips.

    Returns
    -------
    row : dict
        ``epoch``, the metrics over the training crops, and ``val_…`` over the validation clips.
    of_clips : np.ndarray [shape=(n_validation, n_classes), dtype=float32]

    Raises
    ------
    PipelineError
        If a loss is no number any more.
    """
    recipe = session.task.recipe
    row: Row = {"epoch": epoch, **fit_epoch(session, epoch)}
    if math.isfinite(row["loss"]):
        val_loss, of_clips = validate(session)
        if math.isfinite(val_loss) and np.isfinite(of_clips).all():
            truth = session.targets[session.n_training:]
            row |= {"val_loss": val_loss, "val_lwlrap": metrics.lwlrap(truth, of_clips)}
            if recipe.labels == "single":
                row["val_accuracy"] = metrics.accuracy(truth, of_clips)
            return row, of_clips
    raise PipelineError(
        f"fold {session.task.fold}, epoch {epoch}: the loss is not a finite number any more: the "
        f"training diverged. Try a lower --learning-rate than {recipe.learning_rate:g}"
        + (", or --no-mixed-precision" if recipe.mixed_precision else "")
    )


def fit_epoch(session: FoldData, epoch: int) -> Row:
    """One pass over the training clips in random order, a random crop of each; the metrics."""
    recipe, source, model = session.task.recipe, session.source, session.model
    rng = np.random.default_rng([recipe.seed, session.task.fold, epoch])
    order = rng.permutation(session.n_training)
    crops = random_crops(source.length, order, source.n_frames, rng)

    def make() -> Iterator[tuple[Any, ...]]:
        for rows, features in batches(source, crops, recipe.batch_size):
            yield features, session.targets[rows]

    n_batches = len(batch_slices(len(crops), recipe.batch_size))
    with session.display.bar(epoch, n_batches) as bar:
        def after(batch: int, logs: dict[str, float]) -> None:
            bar.update()
            if not math.isfinite(logs["loss"]):
                model.stop_training = True

        fitted = model.fit(
            backend.dataset(make, n_batches, source.crop_shape, session.targets.shape[1:]),
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=after)],
            verbose=0, shuffle=False,
        )
    return {name: float(values[-1]) for name, values in fitted.history.items()}


def validate(session: FoldData) -> tuple[float, Floats]:
    """The validation loss, and the clips' scores [shape=(n_validation, n_classes)]."""
    crops, model = session.validation, session.model
    of_crops = crop_scores(model, session.source, crops, session.task.recipe.batch_size)
    losses = model.loss.call(session.targets[crops.row], of_crops)
    of_clips = mean_by_clip(of_crops, crops)
    loss = mean_by_clip(keras.ops.convert_to_numpy(losses), crops).mean(dtype=np.float64)
    return float(loss), of_clips
