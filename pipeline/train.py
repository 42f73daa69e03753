"""Train one network per fold on a feature store and write out-of-fold scores.

  python -m pipeline.train --run mfcc                                  as params.yaml says
  python -m pipeline.train --features logmel                           section train's settings
  python -m pipeline.train --features waveform --run waveform-noisy --noisy
  python -m pipeline.train --run mfcc --fold 0 --epochs 3              one fold, to try

Runs have names: params.yaml's section `runs` says what each one is trained on and how, and its
section `train` what those share that say nothing themselves. A flag wins over both.

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from annotated_types import Ge, Le

from models.names import Model, default_model
from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Section, SharedBy
from pipeline.runtime.choices import LabelMode, Monitor, Normalization, Pad
from pipeline.runtime.errors import UsageError, suggestion

if TYPE_CHECKING:
    from pipeline.dataset.tables import Label
    from pipeline.runs.folder import RunFolder
    from pipeline.training.task import FoldTask, NetworkTask


def run_entries() -> list[type]:
    """What params.yaml may say of a run: its feature, and all that runs share in section train."""
    hints = get_type_hints(Settings, include_extras=True)
    shared = [(f.name, hints[f.name]) for f in fields(Settings)
              if any(isinstance(m, SharedBy) for m in getattr(hints[f.name], "__metadata__", ()))]
    return [make_dataclass("RunEntry", [("features", str), *shared], frozen=True)]


@dataclass(frozen=True)
class Settings:
    data: Annotated[Path, Help("folder that prepare wrote, with the labels and folds")]
    stores: Annotated[Path, Help("folder of the stores that extract wrote")]
    runs_dir: Annotated[Path, Help("folder of all runs")]
    runs: Annotated[Mapping[str, Any], Section("runs", run_entries), Help("the runs by name")]
    folds: Annotated[int | None, Ge(1), Help(
        "train only the first N of the folds that prepare made; none: all"
    )]
    fold: Annotated[int | None, Ge(0), Help("train only this fold, counted from 0; none: all")]
    model: Annotated[Model | None, SharedBy("runs"), Help(
        "network; none: conv1d for waveforms, else conv2d"
    )]
    labels: Annotated[LabelMode | None, SharedBy("runs"), Help(
        "labels per clip; multi: any number, single: exactly one; none: as prepared"
    )]
    noisy: Annotated[bool, SharedBy("runs"), Help("train on the noisy clips too, in every fold")]
    seconds: Annotated[float, Ge(0.001), SharedBy("runs"), Help(
        "length of the crops that the network sees (s)"
    )]
    pad: Annotated[Pad, SharedBy("runs"), Help("how to fill up clips that are shorter than a crop")]
    normalization: Annotated[Normalization, SharedBy("runs"), Help(
        "standardize: by mean and variance of the training clips; "
        "min-max: each crop by its own minimum and maximum"
    )]
    batch_size: Annotated[int, Ge(1), SharedBy("runs"), Help("number of crops per training step")]
    epochs: Annotated[int, Ge(1), SharedBy("runs"), Help(
        "maximum number of epochs (one random crop per training clip and epoch)"
    )]
    learning_rate: Annotated[float, Ge(1e-12), SharedBy("runs"), Help(
        "learning rate of the Adam optimizer"
    )]
    patience: Annotated[int, Ge(1), SharedBy("runs"), Help(
        "stop after this many epochs without improvement of --monitor"
    )]
    monitor: Annotated[Monitor, SharedBy("runs"), Help(
        "measure on the validation clips that picks the best epoch"
    )]
    seed: Annotated[int, Ge(0), Le(2**32 - 1), SharedBy("runs"), Help(
        "random seed of initial weights, crops and dropout"
    )]
    mixed_precision: Annotated[bool, SharedBy("runs"), Help(
        "compute in float16 where it is safe; faster on GPUs only"
    )]
    jobs: Annotated[int, Ge(-1), Section("machine"), Help(
        "number of folds to train in parallel; 1 if they share a GPU; -1: one per CPU core"
    )]
    run: Annotated[str | None, FlagOnly(), Help(
        "the run of this name; one that params.yaml does not have needs --features"
    )] = None
    features: Annotated[str | None, FlagOnly(), Help(
        "the run of this feature's name, or section train's settings on this feature"
    )] = None
    resume: Annotated[bool, FlagOnly(), Help(
        "only resume an unfinished run; refuse to start one from scratch"
    )] = False


def run(settings: Settings) -> None:
    from pipeline.dataset import tables as clips
    from pipeline.runs import identity as identities
    from pipeline.runs.recipe import make_recipe
    from pipeline.runtime.parallel import imap, worker_count
    from pipeline.store.partial import store_path
    from pipeline.store.reader import open_store
    from pipeline.training import examples
    from pipeline.training.task import FoldTask, NetworkTask, sources_digest

    folder, chosen_run = choose_run(settings)
    dataset, labels = clips.read_dataset(settings.data), clips.read_labels(settings.data)
    store = open_store(store_path(settings.stores, chosen_run.features))
    recipe = make_recipe(chosen_run, label_mode=dataset.label_mode,
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


def choose_run(settings: Settings) -> tuple[RunFolder, Any]:
    """RUNS/NAME and the run's settings.

    Raises
    ------
    UsageError
        If no run is named, it is unknown, or its name or the number of jobs is invalid.
    """
    from pipeline.runs.folder import RunFolder, is_folder_name

    name, features, errors = settings.run or settings.features, settings.features, []
    if settings.jobs == 0:
        errors.append("--jobs is 0; it needs 1 or more, or -1 for one per core")
    if name is None:
        errors.append(f"which run? --run NAME; in params.yaml: {', '.join(settings.runs)}")
    elif not is_folder_name(name):
        errors.append(f"--run is {name!r}; needs the name of a folder, not a path")
    elif name not in settings.runs and features is None:
        errors.append(f"no run {name!r} in params.yaml; {suggestion(name, settings.runs)} "
                      "Or give its --features too")
    elif name in settings.runs and features not in (None, settings.runs[name].features):
        errors.append(f"run {name} is on {settings.runs[name].features} in params.yaml, not on "
                      f"{features}; give another --run")
    if errors:
        raise UsageError("\n".join(errors))
    assert name is not None
    entry = settings.runs.get(name)
    if entry is None:
        (entry_class,) = run_entries()
        entry = entry_class(features=features, **{
            f.name: getattr(settings, f.name) for f in fields(entry_class) if f.name != "features"
        })
    return RunFolder(settings.runs_dir, name), entry


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
