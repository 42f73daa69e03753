"""Train one network per fold on a feature store and write out-of-fold scores.

  python -m pipeline.train --features mfcc
  python -m pipeline.train --features waveform --run waveform-noisy --noisy
  python -m pipeline.train --features logmel --fold 0 --epochs 3       one fold, to try
  python -m pipeline.train --features logmel --jobs 2                  two folds side by side

Writes RUNS/NAME/run.json, and for each fold in RUNS/NAME/folds/K/: model.keras (best epoch),
oof.npz (its scores on the fold's validation clips), history.csv, and logs/ for TensorBoard.

To resume after Ctrl-C, a kill or a power failure, run the same command again: it continues after
the last epoch and ends with the same scores. Folds that are finished with the same settings,
clips and network are not trained again; after a change they are, and train says what changed.
--resume refuses to retrain. Each fold gets its share of the cores, by --jobs; a run keeps the
number of threads that it was begun with.

exit codes: 0 done or nothing to do, 1 the training diverged or its fold is in use, 2 usage,
4 a corrupt store or state, 130 and 143 stopped by a signal
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.names import MODELS, default_model
from pipeline.cli import main as stage
from pipeline.cli.settings import setting
from pipeline.runtime.errors import UsageError

if TYPE_CHECKING:
    from pipeline.dataset.tables import Label
    from pipeline.runs.folder import RunFolder
    from pipeline.training.task import FoldTask, NetworkTask

FEATURES = ("waveform", "mfcc", "logmel")


@dataclass(frozen=True)
class Settings:
    features: str = setting("what to train on", choices=FEATURES)
    model: str | None = setting("the network; none: conv1d for waveforms, else conv2d",
                                choices=MODELS)
    data: Path = setting("the folder that prepare wrote")
    stores: Path = setting("the stores' folder")
    runs_dir: Path = setting("the folder of all runs")
    run: str | None = setting("the run's name; none: the feature's")
    labels: str | None = setting("labels a clip: exactly one, or any number; none: as prepared",
                                 choices=("multi", "single"))
    folds: int | None = setting("train the first so many of the folds that prepare made; "
                                "none: all", minimum=1)
    fold: int | None = setting("train this fold alone; none: all", minimum=0)
    noisy: bool = setting("train on the noisy clips too, in every fold")
    seconds: float = setting("length of a crop (s)", minimum=0.001)
    pad: str = setting("what makes up for shorter clips", choices=("silence", "repeat"))
    normalization: str = setting(
        "by the training clips' mean and variance, or each crop by its extremes",
        choices=("standardize", "min-max"))
    batch_size: int = setting("crops a step", minimum=1)
    epochs: int = setting("at most; a random crop of every training clip each", minimum=1)
    learning_rate: float = setting("of Adam", minimum=1e-12)
    patience: int = setting("stop after so many epochs that brought nothing better", minimum=1)
    monitor: str = setting("what better means, on the validation clips",
                           choices=("loss", "lwlrap"))
    seed: int = setting("of weights, crops and dropout", minimum=0, maximum=2**32 - 1)
    mixed_precision: bool = setting("compute in float16 where it is safe: faster on a GPU only")
    jobs: int = setting("folds to train side by side; -1 is one a core", minimum=-1)
    resume: bool = setting("only resume what was begun; refuse to retrain",
                           flag_only=True, default=False)


def run(settings: Settings) -> None:
    from pipeline.dataset import tables as clips
    from pipeline.runs import identity as identities
    from pipeline.runs.recipe import make_recipe
    from pipeline.runtime.parallel import imap, worker_count
    from pipeline.store.partial import store_path
    from pipeline.store.reader import open_store
    from pipeline.training import examples
    from pipeline.training.task import FoldTask, NetworkTask, sources_digest

    folder = run_folder(settings)
    dataset, labels = clips.read_dataset(settings.data), clips.read_labels(settings.data)
    store = open_store(store_path(settings.stores, settings.features))
    recipe = make_recipe(settings, label_mode=dataset.label_mode,
                         default_model=default_model(store.spec.width))
    chosen, notes = examples.select(
        labels, dataset, store, label_mode=recipe.labels, noisy=recipe.noisy
    )
    folds = examples.folds_of(chosen)
    wanted = examples.wanted_folds(folds, first=settings.folds, only=settings.fold)
    splits = {fold: examples.split(chosen, fold) for fold in wanted}
    identity = identities.make_identity(recipe, store, dataset.classes, chosen)
    jobs, sources = worker_count(settings.jobs), sources_digest()
    # By all folds, not those that are wanted or left: the scores must not depend on these.
    asked = max(1, worker_count(-1) // max(1, min(jobs, len(folds))))
    threads = identities.known_threads(folder, identity) or asked
    network = identities.known_network(folder, identity, sources)
    if network is None:
        task = NetworkTask(recipe, store.spec, len(dataset.classes), threads)
        # In a worker that will train a fold, so that TensorFlow starts no more often.
        (network,) = imap(build_network, [task], jobs=min(jobs, len(wanted)), backend="loky")
    identity["network"] = network
    left, earlier = identities.unfinished_folds(folder, identity, wanted, resume=settings.resume)

    print(f"{folder.path}: {recipe.model} on {store.path}, {len(dataset.classes)} classes, "
          f"{recipe.labels}-label; folds {', '.join(map(str, wanted))} of {len(folds)}")
    if left and threads != asked:
        earlier.append(f"{threads} threads per fold, as the run was begun with, so that its scores "
                       f"stay the same; delete {folder.path} to use {asked}")
    for note in notes + earlier:
        print(f"  note: {note}")
    side_by_side = max(1, min(jobs, len(left)))
    tasks = [
        FoldTask(recipe, identity, sources, folder.fold(fold), store.path, dataset.classes,
                 *splits[fold], threads=threads, side_by_side=side_by_side)
        for fold in left
    ]
    identities.write_record(folder, identity, store.spec, recipe, folds)
    for _ in imap(train_one, tasks, jobs=side_by_side, backend="loky"):
        identities.write_record(folder, identity, store.spec, recipe, folds)
    if not left:
        print("train: nothing to do: trained with these settings already")
    report(folder, labels)


def run_folder(settings: Settings) -> RunFolder:
    """RUNS/NAME; raises a UsageError for invalid names and numbers of jobs."""
    from pipeline.runs.folder import RunFolder, is_folder_name

    name, errors = settings.run or settings.features, []
    if not is_folder_name(name):
        errors.append(f"--run is {name!r}; needs the name of a folder, not a path")
    if settings.jobs == 0:
        errors.append("--jobs is 0; it needs 1 or more, or -1 for one per core")
    if errors:
        raise UsageError("\n".join(errors))
    return RunFolder(settings.runs_dir, name)


def build_network(task: NetworkTask) -> str:
    """Digest of a recipe's network, computed in this process or in a worker's."""
    from pipeline.training import tensorflow_setup as backend

    backend.start(task.threads)
    from pipeline.training.network import network_digest

    return network_digest(task)


def train_one(task: FoldTask) -> int:
    """Train a fold, in this process or in a worker's; returns the fold."""
    from pipeline.training import tensorflow_setup as backend

    backend.start(task.threads)
    from pipeline.training.fold import train_fold

    return train_fold(task)


def report(folder: RunFolder, labels: Sequence[Label]) -> None:
    """Print the out-of-fold lwlrap of the folds that are finished."""
    from pipeline.scoring.evaluation import truth_of
    from pipeline.scoring.metrics import lwlrap

    oof, _ = folder.load()
    truth = truth_of({x.clip_id: x for x in labels}, oof)
    print(f"train: {folder.path}: out-of-fold lwlrap {lwlrap(truth, oof.values):.4f} over "
          f"{len(truth)} clips")


if __name__ == "__main__":
    stage.main("train", Settings, run, __doc__)
