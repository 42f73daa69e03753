"""Train one network per fold on a feature store and write out-of-fold scores.

  python -m pipeline.train --run mfcc                                  as params.yaml says
  python -m pipeline.train --features logmel                           section train's settings
  python -m pipeline.train --features waveform --run waveform-noisy --noisy
  python -m pipeline.train --run mfcc --fold 0 --epochs 3              one fold, to try

Runs have names: section `runs` of params.yaml says what each one is trained on and how, section
`train` has the values that runs share unless they set their own. A flag wins over both. A run that
builds on another one (start_from, teacher) is in section `follow_ups`, with `follows`: that run.

Writes RUNS/NAME/run.json, and for each fold in RUNS/NAME/folds/K/: model.keras (its epoch: --keep),
oof.npz (its scores on the fold's validation clips), history.csv, and logs/ for TensorBoard. It
shows the curves of folds and runs, clips and the confusion matrix: `tensorboard --logdir runs`.

To resume after Ctrl-C, a kill or a power failure, run the same command again: it continues after
the last epoch and ends with the same scores. Folds that are finished with the same settings,
clips and network are not trained again; after a change they are, and train says what changed.
--resume refuses to retrain. Each fold gets its share of the cores, by --jobs; a run keeps the
number of threads that it was begun with.

exit codes: 0 done or nothing to do, 1 the training diverged or its fold is in use, 2 usage,
4 a corrupt store or state, 130 and 143 stopped by a signal
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, Lt

from models.augmentation_options import AUGMENTATIONS
from models.loss_options import LOSSES
from models.names import Model
from models.network_options import NETWORKS
from models.optimization_options import AVERAGING, OPTIMIZERS, SCHEDULES
from pipeline.cli import main as stage
from pipeline.cli.declaration import entry_class
from pipeline.cli.markers import FlagOnly, Group, Help, Options, Section, SharedBy
from pipeline.cli.origins import Words
from pipeline.cli.params_file import PARAMS, read_params
from pipeline.runtime.choices import (
    CropPlace,
    Keep,
    LabelMode,
    Monitor,
    Normalization,
    Pad,
    Precision,
)

_Runs = SharedBy("runs", chosen_by=("run", "features"))
_NETWORK, _CROPS = Group("network"), Group("clips, crops and batches")
_AUGMENT, _LOSS = Group("augmentation"), Group("loss")
_OPTIMIZE = Group("optimization")


@cache  # parsing asks for each setting of each run
def run_entries() -> list[type]:
    """List what params.yaml may say of a run: its feature, and what runs share in section train."""
    return [entry_class("RunEntry", {"features": str}, Settings, section="runs")]


@cache
def follow_up_entries() -> list[type]:
    """List what params.yaml may say of a run that builds on another one."""
    own = {"features": str, "follows": str}
    return [entry_class("FollowUpEntry", own, Settings, section="runs")]


@dataclass(frozen=True)
class Settings:
    data: Annotated[Path, Help("folder that prepare wrote, with the labels and folds")]
    stores: Annotated[Path, Help("folder of the stores that extract wrote")]
    runs_dir: Annotated[Path, Help("folder of all runs")]
    runs: Annotated[Mapping[str, Any], Section("runs", run_entries), Help(
        "KEY of the run NAME, such as --runs.mfcc.epochs 80"
    )]
    follow_ups: Annotated[
        Mapping[str, Any], Section("follow_ups", follow_up_entries, like="runs"),
        Help("the same of a run that follows another one"),
    ]
    folds: Annotated[int | None, Ge(1), Help(
        "train only the first N of the folds that prepare made; none: all"
    )]
    fold: Annotated[int | None, Ge(0), Help("train only this fold, counted from 0; none: all")]
    model: Annotated[Model | None, _NETWORK, _Runs, Help(
        f"network; none: conv1d for waveforms, else conv2d; {NETWORKS.summary}"
    )]
    network: Annotated[Mapping[str, Any], Options(NETWORKS, of="model"), _NETWORK, _Runs, Help(
        "settings of the network, such as {size: tiny}; a network not named below has none; "
        "another --model drops those of the file"
    )]
    start_from: Annotated[str | None, _NETWORK, _Runs, Help(
        "run whose network of the same fold has the initial weights; none: random ones"
    )]
    labels: Annotated[LabelMode | None, _CROPS, _Runs, Help(
        "labels per clip; multi: any number, single: exactly one; none: as prepared"
    )]
    noisy: Annotated[bool, _CROPS, _Runs, Help("train on the noisy clips too, in every fold")]
    seconds: Annotated[float, Ge(0.001), _CROPS, _Runs, Help(
        "length of the crops that the network sees (s)"
    )]
    pad: Annotated[Pad, _CROPS, _Runs, Help("how to fill up clips that are shorter than a crop")]
    normalization: Annotated[Normalization, _CROPS, _Runs, Help(
        "standardize: by mean and variance of the training clips; "
        "min-max: each crop by its own minimum and maximum"
    )]
    crops: Annotated[CropPlace, _CROPS, _Runs, Help(
        "what crops are cut from; clip: all of it, sound: what is not leading or trailing silence"
    )]
    seconds_max: Annotated[float | None, Ge(0.001), _CROPS, _Runs, Help(
        "draw the length of the crops of each training batch, from --seconds to this (s); "
        "none: always --seconds"
    )]
    overlap: Annotated[float, Ge(0), Lt(1), _CROPS, _Runs, Help(
        "least share of a crop that the next one has too, where crops cover a clip to score it"
    )]
    score_seconds: Annotated[float | None, Ge(0), _CROPS, _Runs, Help(
        "length of the crops that score a clip (s); 0: the whole clip at once, "
        "none: as long as --seconds"
    )]
    curated: Annotated[bool, _CROPS, _Runs, Help("train on the curated clips")]
    noisy_share: Annotated[float | None, Ge(0), Lt(1), _CROPS, _Runs, Help(
        "share of noisy clips in every batch, where an epoch is one pass over the curated clips; "
        "none: as many as there are, and an epoch is one pass over both"
    )]
    balance: Annotated[bool, _CROPS, _Runs, Help(
        "train on clips of each class equally often"
    )]
    teacher: Annotated[str | None, _CROPS, _Runs, Help(
        "run whose labels the noisy clips get in place of their own; none: their own"
    )]
    batch_size: Annotated[int, Ge(1), _CROPS, _Runs, Help("number of crops per training step")]
    augment: Annotated[Mapping[str, Any], Options(AUGMENTATIONS), _AUGMENT, _Runs, Help(
        "random changes of training crops, by name; {NAME: {}} has a method's defaults"
    )]
    loss: Annotated[Mapping[str, Any], Options(LOSSES), _LOSS, _Runs, Help(
        "what training minimizes"
    )]
    noisy_loss: Annotated[Mapping[str, Any] | None, Options(LOSSES), _LOSS, _Runs, Help(
        "the same for noisy clips; none: as --loss"
    )]
    noisy_head: Annotated[bool, _LOSS, _Runs, Help(
        "learn the noisy clips' labels with an output layer of their own, which training alone has"
    )]
    optimizer: Annotated[Mapping[str, Any], Options(OPTIMIZERS), _OPTIMIZE, _Runs, Help(
        "how weights follow the gradient"
    )]
    learning_rate: Annotated[float, Ge(1e-12), _OPTIMIZE, _Runs, Help(
        "learning rate of the optimizer, the highest of the schedule"
    )]
    schedule: Annotated[Mapping[str, Any], Options(SCHEDULES), _OPTIMIZE, _Runs, Help(
        "how the learning rate changes"
    )]
    averaging: Annotated[Mapping[str, Any], Options(AVERAGING), _OPTIMIZE, _Runs, Help(
        "weights that are validated and kept"
    )]
    epochs: Annotated[int, Ge(1), _OPTIMIZE, _Runs, Help(
        "maximum number of epochs (one random crop per training clip and epoch)"
    )]
    patience: Annotated[int, Ge(1), _OPTIMIZE, _Runs, Help(
        "with --keep best, stop after this many epochs without improvement of --monitor"
    )]
    monitor: Annotated[Monitor, _OPTIMIZE, _Runs, Help(
        "measure on the validation clips that picks the best epoch"
    )]
    keep: Annotated[Keep, _OPTIMIZE, _Runs, Help(
        "epoch whose model is kept and gives the out-of-fold scores; last: no early stopping"
    )]
    validate_every: Annotated[int, Ge(1), _OPTIMIZE, _Runs, Help(
        "epochs from one validation to the next, always after the last one; above 1 only where no "
        "decision needs it: with --keep last, and no plateau"
    )]
    precision: Annotated[Precision, _OPTIMIZE, _Runs, Help(
        "numbers that layers compute with; mixed_bfloat16: faster on GPUs and on CPUs with AMX, "
        "mixed_float16: on GPUs"
    )]
    seed: Annotated[int, Ge(0), Le(2**32 - 1), _OPTIMIZE, _Runs, Help(
        "random seed of initial weights, crops, augmentation and dropout"
    )]
    jobs: Annotated[int, Ge(-1), Section("machine"), Help(
        "number of folds to train in parallel; 1 if they share a GPU; -1: one per CPU core")]
    run: Annotated[str | None, FlagOnly(), Help(
        "the run of this name; one that params.yaml does not have needs --features"
    )] = None
    features: Annotated[str | None, FlagOnly(), Help(
        "the run of this feature's name, or section train's settings on this feature"
    )] = None
    resume: Annotated[bool, FlagOnly(), Help(
        "only resume an unfinished run; refuse to start one from scratch"
    )] = False
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings, or those that differ from params.yaml; a flag wins over its key"
    )] = PARAMS

    @staticmethod
    def problems(valid: Mapping[str, Any], words: Words) -> list[str]:
        """List what is wrong with all runs, beside single values."""
        from pipeline.training.run_checks import run_problems

        features = read_params(valid["params"]).sections.get("features")
        return run_problems(valid, words, features, *run_entries())


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_dataset, read_labels
    from pipeline.runs.choice import choose_run
    from pipeline.store.partial import store_path
    from pipeline.store.reader import open_store
    from pipeline.training.train_run import report, train_run

    folder, chosen = choose_run(settings, *run_entries())
    dataset, labels = read_dataset(settings.data), read_labels(settings.data)
    store = open_store(store_path(settings.stores, chosen.features))
    if not train_run(folder, chosen, dataset, labels, store, first_folds=settings.folds,
                     only_fold=settings.fold, jobs=settings.jobs, resume=settings.resume):
        print("train: nothing to do: trained with these settings already")
    report(folder, labels)


if __name__ == "__main__":
    stage.main("train", Settings, run, __doc__)
