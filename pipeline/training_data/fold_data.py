"""Clips of one fold as batches. NumPy only.

An epoch takes one random crop of every training clip, so clips count the same however long they
are; with ``noisy_share`` of every curated clip, and with ``balance`` of as many clips, each class
equally often. Everything random follows from the seed, the fold and the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.batches import cut
from pipeline.batching.crops import Crops, Ints, random_crops
from pipeline.batching.sampling import Sampling, clips_by_class
from pipeline.batching.source import CropSource, open_source
from pipeline.pseudo_labelling.student import read_pseudo_labels
from pipeline.runtime import memory
from pipeline.runtime.progress import size
from pipeline.store.reader import Store
from pipeline.training_data.crop_lengths import tiling_of, training_frames
from pipeline.training_data.examples import targets
from pipeline.training_data.fold_task import FoldTask

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
    noisy : np.ndarray [shape=(n_clips,), dtype=float32]
        1 for noisy clips, else 0.
    sampling : Sampling
        Of the training clips.
    lengths : np.ndarray [shape=(n_lengths,), dtype=int64]
        Frames that the crops of a training batch may have.
    sound : np.ndarray [shape=(n_clips, 2), dtype=int64], or None
        Bounds of the sound, if training crops are to lie within.
    """

    task: FoldTask
    source: CropSource
    targets: Floats
    validation: Crops
    noisy: Floats
    sampling: Sampling
    lengths: Ints
    sound: Ints | None

    @property
    def n_training(self) -> int:
        """Number of training clips."""
        return len(self.task.training)

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches per epoch."""
        return self.sampling.batches_per_epoch

    @property
    def batch_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of one clip's features, targets and noisiness; None where lengths differ."""
        length = int(self.lengths[0]) if len(self.lengths) == 1 else None
        return (length, *self.source.crop_shape[1:]), self.targets.shape[1:], ()

    @property
    def summary(self) -> str:
        """Clips, crops and where the frames are, in one line."""
        task, source = self.task, self.source
        place = f"{size(source.n_bytes)} in memory" if source.in_memory else (
            f"{size(source.n_bytes)} mapped from {task.store}: more than may be held in memory"
        )
        return (f"{self.n_training} training clips, {len(task.validation)} validation clips "
                f"({len(self.validation)} crops), {place}")

    def training_batches(self, first_epoch: int) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Yield (features, targets, noisy) from epoch `first_epoch` (from 1) to the recipe's last.

        The features have the shape (b, n_frames, width) or (b, n_frames), the targets
        (b, n_classes), and noisy is (b,): 1 for a noisy clip, else 0.
        """
        recipe, source = self.task.recipe, self.source
        for epoch in range(first_epoch, recipe.epochs + 1):
            rng = np.random.default_rng([recipe.seed, self.task.fold, epoch])
            parts = self.sampling.batches(epoch, rng)
            sizes = [len(part) for part in parts]
            lengths = self.lengths
            if len(lengths) > 1:
                lengths = rng.choice(lengths, len(parts))
            crops = random_crops(
                source.length, np.concatenate(parts),
                np.repeat(np.broadcast_to(lengths, len(parts)), sizes), rng, self.sound,
            )
            ends = np.cumsum(sizes)
            for rows, end in zip(parts, ends.tolist(), strict=True):
                features = cut(source, crops[end - len(rows):end])
                yield features, self.targets[rows], self.noisy[rows]


def open_fold_data(task: FoldTask, store: Store) -> FoldData:
    """Open the clips of a fold, read into memory if they fit."""
    recipe, examples = task.recipe, (*task.training, *task.validation)
    lengths, tiling = training_frames(recipe, store.spec), tiling_of(recipe, store.spec)
    source = open_source(
        store, [x.clip_id for x in examples], n_frames=int(lengths[0]), pad=recipe.pad,
        budget=memory.budget(task.side_by_side), longest=max(int(lengths[-1]), tiling.least),
    )
    sound = store.sound[[store.index_of(x.clip_id) for x in examples]]
    validation = tiling.crops(
        source.length, rows=np.arange(len(task.training), len(examples)), sound=sound
    )
    soft = {} if task.teacher is None else read_pseudo_labels(task.teacher, task.classes)
    wanted = targets(examples, task.classes, soft)
    noisy = np.array([x.split == "noisy" for x in examples], np.float32)
    return FoldData(
        task, source, wanted, validation, noisy, _sampling(task, wanted, noisy), lengths,
        sound if recipe.crops == "sound" else None,
    )


def _sampling(task: FoldTask, wanted: Floats, noisy: Floats) -> Sampling:
    recipe, rows = task.recipe, np.arange(len(task.training))
    mixed_in, n_noisy = rows[:0], 0
    if recipe.noisy_share is not None:
        is_noisy = noisy[rows] > 0
        rows, mixed_in = rows[~is_noisy], rows[is_noisy]
        n_noisy = recipe.noisy_per_batch
    return Sampling(
        (recipe.seed, task.fold), recipe.batch_size, rows,
        clips_by_class(wanted, rows) if recipe.balance else None, mixed_in, n_noisy,
    )
