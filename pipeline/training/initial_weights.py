"""Initial weights from another run: the network that it trained for the same fold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.dataset.tables import Label
from pipeline.runs import scores
from pipeline.runs.folder import RunFolder
from pipeline.runs.recipe import Recipe
from pipeline.runtime.errors import UsageError, listed

if TYPE_CHECKING:
    import keras


def initial_models(
    source: RunFolder, recipe: Recipe, classes: Sequence[str],
    validation: Mapping[int, Sequence[Label]],
) -> dict[int, Path]:
    """Find the model files that a run's folds start from.

    Parameters
    ----------
    source : RunFolder
        The run that they start from.
    recipe : Recipe
        Of the run that starts from it.
    classes : sequence of str
    validation : mapping of int to sequence of Label
        Validation clips by fold.

    Returns
    -------
    models : dict of int to Path
        By fold. Weights belong to this fold alone: those of another one learned from its
        validation clips.

    Raises
    ------
    UsageError
        If the source is not trained, keeps several snapshots, or has another network, other classes
        or other validation clips; everything that is wrong is listed.
    """
    record = source.read()
    if not record.folds:
        raise UsageError(f"--start-from {source.name}: it is an ensemble, without a network of its "
                         "own; name one of its members")
    errors = []
    if record.recipe.averaging["kind"] == "snapshots":
        errors.append("its averaging is snapshots, several networks per fold, none of which is "
                      "better than the others; name a run with other averaging")
    for name in ("model", "network"):
        own, other = getattr(recipe, name), getattr(record.recipe, name)
        if own != other:
            errors.append(f"its {name} is {other}, not {own}")
    if list(record.classes) != list(classes):
        odd = sorted(set(record.classes) ^ set(classes))
        errors.append(f"it has other classes: {listed(odd) if odd else 'in another order'}")
    models = {}
    for fold, labels in validation.items():
        if fold not in record.folds:
            errors.append(f"its fold {fold} is not trained")
            continue
        needed = (source.fold(fold).model, source.fold(fold).oof)
        if missing := [path.name for path in needed if not path.is_file()]:
            errors.append(f"its fold {fold} lacks {' and '.join(missing)}; train it again")
            continue
        seen = set(scores.load(source.fold(fold).oof, made_by="python -m pipeline.train").clip_ids)
        if odd := sorted(seen ^ {label.clip_id for label in labels}):
            errors.append(f"its fold {fold} has other validation clips: {listed(odd)}")
        models[fold] = source.fold(fold).model
    if errors:
        raise UsageError("\n".join(f"--start-from {source.name}: {error}" for error in errors))
    return models


def model_digests(source: RunFolder, folds: Iterable[int]) -> dict[str, str]:
    """SHA-256 of the model of each fold that has one, for the identities of the trainings."""
    paths = {str(fold): source.fold(fold).model for fold in folds}
    return {fold: hashlib.sha256(path.read_bytes()).hexdigest()
            for fold, path in paths.items() if path.is_file()}


def set_initial_weights(network: keras.Model, path: Path) -> None:
    """Give a network the weights of a model file.

    How the input is scaled stays the network's own: that follows from its training clips.

    Raises
    ------
    UsageError
        If the file's layers are others.
    StoreError
        If the file is damaged.
    """
    from pipeline.training.prediction import read_model

    source = read_model(path)
    if [v.shape for v in network.weights] != [v.shape for v in source.weights]:
        raise UsageError(f"{path}: cannot start from these weights: the network has other layers, "
                         "or was trained on another width of frames")
    network.set_weights(source.get_weights())

