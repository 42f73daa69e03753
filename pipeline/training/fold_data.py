"""Clips of one fold as batches. NumPy only.

An epoch takes one random crop of every training clip, so clips count the same however long they
are. Everything random follows from the seed, the fold and the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.batches import batch_slices, batches
from pipeline.batching.crops import Crops, covering_crops, crop_frames, random_crops
from pipeline.batching.source import CropSource, open_source
from pipeline.runtime import memory
from pipeline.runtime.progress import size
from pipeline.store.reader import Store
from pipeline.training.examples import targets
from pipeline.training.task import FoldTask

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FoldData:
    """Training and validation clips of one fold.

    Attributes
    ----------
    task : FoldTask
    source : CropSource
        The training clips in its first rows, then the validation clips.
    targets : np.ndarray [shape=(n_clips, n_classes), dtype=float32]
        Of these rows.
    validation : Crops
        Crops that cover the validation clips.
    """

    task: FoldTask
    source: CropSource
    targets: Floats
    validation: Crops

    @property
    def n_training(self) -> int:
        """Number of training clips."""
        return len(self.task.training)

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches per epoch."""
        return len(batch_slices(self.n_training, self.task.recipe.batch_size))

    @property
    def summary(self) -> str:
        """Clips, crops and where the frames are, in one line."""
        task, source = self.task, self.source
        place = f"{size(source.n_bytes)} in memory" if source.in_memory else (
            f"{size(source.n_bytes)} mapped from {task.store}: more than may be held in memory"
        )
        return (f"{self.n_training} training clips, {len(task.validation)} validation clips "
                f"({len(self.validation)} crops), {place}")

    def training_batches(self, first_epoch: int) -> Iterator[tuple[Floats, Floats]]:
        """Yield (features, targets) from epoch `first_epoch` (from 1) to the recipe's last.

        The features have the shape (b, \\*crop_shape), the targets (b, n_classes).
        """
        recipe, source = self.task.recipe, self.source
        for epoch in range(first_epoch, recipe.epochs + 1):
            rng = np.random.default_rng([recipe.seed, self.task.fold, epoch])
            order = rng.permutation(self.n_training)
            crops = random_crops(source.length, order, source.n_frames, rng)
            for rows, features in batches(source, crops, recipe.batch_size):
                yield features, self.targets[rows]


def open_fold_data(task: FoldTask, store: Store) -> FoldData:
    """Open the clips of a fold, read into memory if they fit."""
    recipe, examples = task.recipe, (*task.training, *task.validation)
    source = open_source(
        store, [x.clip_id for x in examples], n_frames=crop_frames(store.spec, recipe.seconds),
        pad=recipe.pad, budget=memory.budget(task.side_by_side),
    )
    rows = np.arange(len(task.training), len(examples))
    validation = covering_crops(source.length, rows, source.n_frames)
    return FoldData(task, source, targets(examples, task.classes), validation)
