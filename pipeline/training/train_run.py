"""Train the folds of a run that are not finished, in parallel workers.

TensorFlow is imported where a network is built or trained: in a worker, or in this process with
one job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.names import default_model
from pipeline.dataset.tables import Dataset, Label
from pipeline.pseudo_labelling import student
from pipeline.pseudo_labelling.teacher import check_labels
from pipeline.runs import identity as identities
from pipeline.runs.folder import RunFolder
from pipeline.runs.recipe import make_recipe
from pipeline.runtime.errors import UsageError
from pipeline.runtime.parallel import imap, worker_count
from pipeline.scoring.evaluation import truth_of
from pipeline.scoring.metrics import lwlrap
from pipeline.store.reader import Store
from pipeline.training import initial_weights
from pipeline.training.network_task import NetworkTask, sources_digest
from pipeline.training.slow_precision import has_gpu, precision_note
from pipeline.training_data import examples
from pipeline.training_data.fold_task import FoldTask

# Training and validation clips of a fold.
Split = tuple[tuple[Label, ...], tuple[Label, ...]]


def train_run(
    folder: RunFolder, settings: Any, dataset: Dataset, labels: Sequence[Label], store: Store, *,
    first_folds: int | None, only_fold: int | None, jobs: int, resume: bool,
) -> bool:
    """Train the wanted folds that are not finished, and write run.json after each.

    Parameters
    ----------
    folder : RunFolder
    settings : object
        Of the run, see :func:`pipeline.runs.recipe.make_recipe`.
    dataset : Dataset
    labels : sequence of Label
    store : Store
        Of the run's feature.
    first_folds : int or None
        Train the first folds only; None: all.
    only_fold : int or None
        Train this fold only; None: all.
    jobs : int
        Folds to train at a time; -1 is one per CPU core.
    resume : bool
        Refuse to start from scratch.

    Returns
    -------
    bool
        False if all wanted folds are finished already.

    Raises
    ------
    UsageError
        If the clips, the folds or `resume` do not allow it.
    """
    recipe = make_recipe(settings, label_mode=dataset.label_mode,
                         default_model=default_model(store.spec.width))
    chosen, notes = examples.select(
        labels, dataset, store, label_mode=recipe.labels, noisy=recipe.noisy
    )
    needs_noisy = recipe.noisy_share is not None or not recipe.curated
    if needs_noisy and not any(label.split == "noisy" for label in chosen):
        raise UsageError("labels.csv has no noisy clips; leave out --noisy-share and --no-curated")
    folds = examples.folds_of(chosen)
    wanted = examples.wanted_folds(folds, first=first_folds, only=only_fold)
    splits = {fold: examples.split(chosen, fold, curated=recipe.curated) for fold in wanted}
    teachers: dict[int, Path] = {}
    digests = None
    if recipe.teacher is not None:
        check_labels(folder, RunFolder(folder.runs_dir, recipe.teacher),
                     {label.clip_id: label for label in labels})
        teachers = {fold: folder.fold(fold).pseudo_labels for fold in wanted}
        splits, of_teacher = _taught(splits, teachers, dataset.classes)
        notes += of_teacher
        digests = student.pseudo_label_digests(folder, folds)
    initial: dict[int, Path] = {}
    if recipe.start_from is not None:
        source = RunFolder(folder.runs_dir, recipe.start_from)
        if source.name == folder.name:
            raise UsageError(f"--start-from is {source.name}, the run itself; name another --run")
        initial = initial_weights.initial_models(
            source, recipe, dataset.classes, {fold: splits[fold][1] for fold in wanted})
    identity = identities.make_identity(
        recipe, store, dataset.classes, chosen, pseudo_labels=digests,
        initial_weights=initial_weights.model_digests(source, folds) if initial else None,
    )
    jobs, sources = worker_count(jobs), sources_digest()
    # By all folds, not those that are wanted or left: the scores must not depend on these.
    asked = max(1, worker_count(-1) // max(1, min(jobs, len(folds))))
    threads = identities.known_threads(folder, identity) or asked
    network = identities.known_network(folder, identity, sources)
    if network is None:
        task = NetworkTask(recipe, store.spec, len(dataset.classes), threads)
        # In a worker that will train a fold, so that TensorFlow starts no more often.
        (network,) = imap(build_network, [task], jobs=min(jobs, len(wanted)), backend="loky")
    identity["network_digest"] = network
    left, earlier = identities.unfinished_folds(folder, identity, wanted, resume=resume)

    print(f"{folder.path}: {recipe.model} on {store.path}, {len(dataset.classes)} classes, "
          f"{recipe.labels}-label; folds {', '.join(map(str, wanted))} of {len(folds)}")
    if left and threads != asked:
        earlier.append(f"{threads} threads per fold, as the run was begun with, so that its scores "
                       f"stay the same; delete {folder.path} to use {asked}")
    if left and recipe.precision != "float32":
        earlier += _slow_precision(recipe.precision)
    for note in notes + earlier:
        print(f"  note: {note}")
    side_by_side = max(1, min(jobs, len(left)))
    tasks = [
        FoldTask(recipe, identities.fold_identity(identity, fold), sources, folder.fold(fold),
                 store.path, store.digest, dataset.classes, *splits[fold], threads=threads,
                 side_by_side=side_by_side, teacher=teachers.get(fold),
                 initial=initial.get(fold))
        for fold in left
    ]
    identities.write_record(folder, identity, store.spec, recipe, folds)
    for _ in imap(train_one, tasks, jobs=side_by_side, backend="loky"):
        identities.write_record(folder, identity, store.spec, recipe, folds)
    # A kill may have come before they were written.
    if left or not folder.is_logged:
        from pipeline.training.tensorboard_logs import log_run  # matplotlib

        log_run(folder, store, labels)
    return bool(left)


def _slow_precision(precision: str) -> list[str]:
    from features.kernels.processor import instruction_sets  # LLVM

    note = precision_note(precision, instruction_sets(), gpu=has_gpu())
    return [] if note is None else [note]


def _taught(
    splits: Mapping[int, Split], teachers: Mapping[int, Path], classes: Sequence[str]
) -> tuple[dict[int, Split], list[str]]:
    """Leave out the noisy clips that their fold's teacher gave no label; and notes of them."""
    result, notes, errors = dict(splits), list[str](), list[str]()
    for fold, path in teachers.items():
        training, validation = splits[fold]
        try:
            kept = student.keep_labelled(training, student.read_pseudo_labels(path, classes))
        except UsageError as error:
            errors.append(str(error))
            continue
        if not any(label.split == "noisy" for label in kept):
            errors.append(f"{path} has a label for none of the noisy clips")
        if left_out := len(training) - len(kept):
            notes.append(f"fold {fold}: {left_out} noisy clips without a label of the teacher are "
                         "left out")
        result[fold] = (kept, validation)
    if errors:
        raise UsageError("\n".join(errors))
    return result, notes


def build_network(task: NetworkTask) -> str:
    """Compute the digest of a recipe's network, in this process or in a worker's."""
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
    oof = folder.load_out_of_fold()  # a fold that was trained again has no test scores yet
    truth = truth_of({label.clip_id: label for label in labels}, oof)
    print(f"train: {folder.path}: out-of-fold lwlrap {lwlrap(truth, oof.values):.4f} over "
          f"{len(truth)} clips")
