"""Train a network a fold on a store, and leave its scores on the clips that it did not see.

  python -m pipeline.train --features mfcc
  python -m pipeline.train --features waveform --run waveform-noisy --noisy
  python -m pipeline.train --features logmel --fold 0 --epochs 3       one fold, to try
  python -m pipeline.train --features logmel --jobs 2                  two folds side by side

Writes RUNS/NAME/run.json, and for each fold in RUNS/NAME/folds/K/: model.keras (best epoch),
oof.npz (its scores on the fold's validation clips), history.csv, and logs/ for TensorBoard.

After Ctrl-C, a kill or a loss of power, the same command goes on at the last epoch and ends with
the scores it would have had; folds that are done with the same settings are not trained again.
With other settings a run of the same name is trained anew; --resume refuses to instead.

exit codes: 0 done or nothing to do, 1 the training diverged or the like, 2 usage, 4 a corrupt
store or state, 130 and 143 stopped by a signal
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Section
from pipeline.runtime.choices import LabelMode, Monitor, Normalization, Pad
from pipeline.runtime.errors import UsageError

if TYPE_CHECKING:
    from pipeline.dataset.tables import Label
    from pipeline.runs.recipe import FoldTask


@dataclass(frozen=True)
class Settings:
    features: Annotated[str, Help("feature to train on; it names the store")]
    model: Annotated[str | None, Help(
        "network: conv1d, conv2d, dummy1d or dummy2d; none: conv1d for waveforms, else conv2d"
    )]
    data: Annotated[Path, Help("folder that prepare wrote, with the labels and folds")]
    stores: Annotated[Path, Help("folder of the stores that extract wrote")]
    runs_dir: Annotated[Path, Help("folder of all runs")]
    run: Annotated[str | None, Help("name of the run, a folder in --runs-dir; none: the feature's")]
    labels: Annotated[LabelMode | None, Help(
        "labels per clip; multi: any number, single: exactly one; none: as prepared"
    )]
    folds: Annotated[int | None, Ge(1), Help(
        "train only the first N of the folds that prepare made; none: all"
    )]
    fold: Annotated[int | None, Ge(0), Help("train only this fold, counted from 0; none: all")]
    noisy: Annotated[bool, Help("train on the noisy clips too, in every fold")]
    seconds: Annotated[float, Ge(0.001), Help("length of the crops that the network sees (s)")]
    pad: Annotated[Pad, Help("how to fill up clips that are shorter than a crop")]
    normalization: Annotated[Normalization, Help(
        "standardize: by mean and variance of the training clips; "
        "min-max: each crop by its own minimum and maximum"
    )]
    batch_size: Annotated[int, Ge(1), Help("number of crops per training step")]
    epochs: Annotated[int, Ge(1), Help(
        "maximum number of epochs (one random crop per training clip and epoch)"
    )]
    learning_rate: Annotated[float, Ge(1e-12), Help("learning rate of the Adam optimizer")]
    patience: Annotated[int, Ge(1), Help(
        "stop after this many epochs without improvement of --monitor"
    )]
    monitor: Annotated[Monitor, Help(
        "measure on the validation clips that picks the best epoch"
    )]
    seed: Annotated[int, Ge(0), Le(2**32 - 1), Help(
        "random seed of initial weights, crops and dropout"
    )]
    mixed_precision: Annotated[bool, Help(
        "compute in float16 where it is safe; faster on GPUs only"
    )]
    jobs: Annotated[int, Ge(-1), Section("machine"), Help(
        "number of folds to train in parallel; 1 if they share a GPU; -1: one per CPU core"
    )]
    resume: Annotated[bool, FlagOnly(), Help(
        "only resume an unfinished run; refuse to start one from scratch"
    )] = False


def run(settings: Settings) -> None:
    from pipeline.dataset import tables as clips
    from pipeline.runs import records as runs
    from pipeline.runs.recipe import FoldTask, make_recipe
    from pipeline.runs.scores import fold_folder
    from pipeline.runtime.parallel import imap, worker_count
    from pipeline.store.partial import store_path
    from pipeline.store.reader import open_store
    from pipeline.training import examples

    folder = run_folder(settings)
    dataset, labels = clips.read_dataset(settings.data), clips.read_labels(settings.data)
    recipe = make_recipe(settings, dataset.label_mode)
    store = open_store(store_path(settings.stores, settings.features))
    chosen, notes = examples.select(
        labels, dataset, store, label_mode=recipe.labels, noisy=recipe.noisy
    )
    folds = examples.folds_of(chosen)
    wanted = examples.wanted_folds(folds, first=settings.folds, only=settings.fold)
    splits = {fold: examples.split(chosen, fold) for fold in wanted}
    identity = runs.identity(recipe, store, dataset.classes, chosen)
    left, earlier = runs.unfinished_folds(folder, identity, wanted, resume=settings.resume)

    print(f"{folder}: {recipe.model} on {store.path}, {len(dataset.classes)} classes, "
          f"{recipe.labels}-label; folds {', '.join(map(str, wanted))} of {len(folds)}")
    for note in notes + earlier:
        print(f"  note: {note}")
    side_by_side = max(1, min(worker_count(settings.jobs), len(left)))
    tasks = [
        FoldTask(recipe, identity, fold, fold_folder(folder, fold), store.path,
                 dataset.classes, *splits[fold], side_by_side=side_by_side)
        for fold in left
    ]
    runs.write_run(folder, identity, store.spec, recipe, folds)
    for _ in imap(train_one, tasks, jobs=side_by_side, backend="loky"):
        runs.write_run(folder, identity, store.spec, recipe, folds)
    if not left:
        print("train: nothing to do: trained with these settings already")
    report(folder, labels)


def run_folder(settings: Settings) -> Path:
    """RUNS/NAME; raises a UsageError for names and numbers of workers that cannot be."""
    from pipeline.runs.scores import is_folder_name

    name, errors = settings.run or settings.features, []
    if not is_folder_name(name):
        errors.append(f"--run is {name!r}; needs the name of a folder, not a path")
    if settings.jobs == 0:
        errors.append("--jobs is 0; it needs 1 or more, or -1 for one a core")
    if errors:
        raise UsageError("\n".join(errors))
    return settings.runs_dir / name


def train_one(task: FoldTask) -> int:
    """Train a fold, in this process or in a worker's; returns the fold."""
    from pipeline.training import tensorflow_setup as backend

    backend.start(task.side_by_side)
    from pipeline.training.fold import train_fold

    return train_fold(task)


def report(folder: Path, labels: Sequence[Label]) -> None:
    """Print the out-of-fold lwlrap of what is trained by now."""
    from pipeline.runs.scores import load_run
    from pipeline.scoring.evaluation import truth_of
    from pipeline.scoring.metrics import lwlrap

    oof, _ = load_run(folder.parent, folder.name)
    truth = truth_of({x.clip_id: x for x in labels}, oof)
    print(f"train: {folder}: out-of-fold lwlrap {lwlrap(truth, oof.values):.4f} over "
          f"{len(truth)} clips")


if __name__ == "__main__":
    stage.main("train", Settings, run, __doc__)
