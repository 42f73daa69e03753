"""Train one fold, from a store to its best model and out-of-fold scores.

Everything random follows from the seed, the fold and the epoch, and after each epoch the whole
state is written. So a training that was killed resumes after its last epoch, and ends with the
scores it would have had. Another machine, or another number of threads, rounds differently.
"""

from __future__ import annotations

from pipeline.runtime.errors import StoreError
from pipeline.store.reader import open_store
from pipeline.training import checkpoint
from pipeline.training import tensorflow_setup as backend
from pipeline.training.callbacks import (
    ClipValidation,
    EpochDisplay,
    FoldState,
    Plateau,
    Progress,
    ScalarLog,
    is_over,
    kept_epoch,
)
from pipeline.training.checkpoint import EpochRow
from pipeline.training.initial_weights import set_initial_weights
from pipeline.training.network import make_model
from pipeline.training.trainer import BATCH, Trainer
from pipeline.training_data.fold_data import FoldData, open_fold_data
from pipeline.training_data.fold_task import FoldTask


def train_fold(task: FoldTask) -> int:
    """Train a fold to its end, resuming where it was stopped; returns the fold.

    Raises
    ------
    UsageError
        If the model cannot take such crops or settings.
    StoreError
        If the state to resume from is damaged, or the store was replaced since the run began.
    PipelineError
        If the loss becomes NaN or infinite, or another process trains this fold.
    """
    with task.folder.locked():
        # Another process may have finished it meanwhile.
        if not task.folder.is_finished(task.identity):
            _train(task)
    return task.fold


def _train(task: FoldTask) -> None:
    recipe, folder = task.recipe, task.folder
    display = EpochDisplay(task.fold, recipe.epochs, alone=task.side_by_side == 1)
    store = open_store(task.store)
    if store.digest != task.store_digest:
        raise StoreError(f"{store.path} was replaced while the run was trained. To train it on the "
                         "new store, rerun the same command")
    # Of the training clips alone.
    moments = store.moments(x.clip_id for x in task.training)
    data = open_fold_data(task, store)
    strategy = backend.strategy(side_by_side=task.side_by_side)
    model = make_model(recipe, store.spec, len(task.classes), fold=task.fold, mean=moments.mean,
                       variance=moments.variance, steps_per_epoch=data.batches_per_epoch,
                       strategy=strategy)
    replicas = strategy.num_replicas_in_sync
    if replicas > 1:
        display.say(f"{replicas} GPUs share each batch")
    history: list[EpochRow] = []
    if folder.is_resumable(task.identity):
        history = checkpoint.restore(folder.checkpoint, model)
        display.say(f"resumes after epoch {len(history)}")
        # A replica sums its share of a batch, and batch normalization takes the moments of that.
        if (begun := (folder.read() or {}).get("replicas", replicas)) != replicas:
            display.say(f"note: begun on {_devices(begun)}, continued on {_devices(replicas)}: its "
                        "scores are not those of a training that never stopped")
    else:
        if task.initial is not None:
            set_initial_weights(model.network, task.initial)
        folder.begin(task.identity, sources=task.sources, threads=task.threads,
                     replicas=replicas)
    display.say(data.summary)
    if not is_over(history, recipe):
        fit(model, data, history, display)
    kept = history[kept_epoch(history, recipe) - 1]
    folder.finish(epochs=len(history), best=kept)
    measured = (f"{k} {v:.4f}" for k, v in kept.items() if k.startswith("val_"))
    display.say(f"{recipe.keep} epoch {kept['epoch']:.0f} of {len(history)}: {', '.join(measured)}")


def _devices(n: int) -> str:
    return f"{n} GPUs" if n > 1 else "one device"


def fit(model: Trainer, data: FoldData, history: list[EpochRow], display: EpochDisplay) -> None:
    """Train a model after the epochs of `history`, which grows, until the training is over."""
    first = len(history) + 1
    validation = ClipValidation(data)
    # A step that creates variables is traced twice, and that takes as long as many steps.
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    batches = backend.dataset(lambda: data.training_batches(first), *data.batch_shapes)
    model.fit(
        batches.map(lambda *arrays: dict(zip(BATCH, arrays, strict=True))),
        steps_per_epoch=data.batches_per_epoch, initial_epoch=first - 1,
        epochs=data.task.recipe.epochs, verbose=0, shuffle=False,
        callbacks=[
            Progress(data, display), validation, FoldState(data, validation, history, display),
            Plateau(data.task.recipe, history),
            ScalarLog(data.task.folder.logs),
        ],
    )
