"""Models of another run that a run's folds start from. Importable without TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.dataset.tables import Label
from pipeline.runs import scores
from pipeline.runs.folder import RunFolder
from pipeline.runtime.errors import StoreError, UsageError, listed

if TYPE_CHECKING:
    import keras


def initial_models(
    source: RunFolder, validation: Mapping[int, Sequence[Label]]
) -> dict[int, Path]:
    """Find the model of each fold of another run that has not seen the fold's validation clips.

    Parameters
    ----------
    source : RunFolder
        The run to start from.
    validation : mapping of int to sequence of Label
        Validation clips of the folds to train.

    Returns
    -------
    models : dict of int to Path
        By fold.

    Raises
    ------
    UsageError
        If a fold of `source` is not trained, or was validated on other clips, so that it may have
        been trained on some of these; all folds are listed.
    """
    models, errors = {}, []
    for k, labels in validation.items():
        fold = source.fold(k)
        if not (fold.model.is_file() and fold.oof.is_file()):
            errors.append(f"fold {k} of {source.path} is not trained; "
                          f"python -m pipeline.train --run {source.name} trains it")
            continue
        held_out = scores.load(fold.oof, made_by="python -m pipeline.train").clip_ids
        if seen := sorted({label.clip_id for label in labels} - set(held_out)):
            errors.append(f"fold {k} of {source.path} was validated on other clips, so it may have "
                          f"been trained on {listed(seen)}")
        models[k] = fold.model
    if errors:
        raise UsageError("--start-from " + source.name + ": " + "\n".join(errors))
    return models


def model_digests(models: Mapping[int, Path]) -> dict[str, str]:
    """SHA-256 of each fold's model file, for the identities of the trainings."""
    return {str(fold): hashlib.sha256(path.read_bytes()).hexdigest()
            for fold, path in models.items()}


def copy_weights(path: Path, network: keras.Model) -> None:
    """Give a network the weights of a model file, and moving averages with them.

    Raises
    ------
    UsageError
        If its weights have other shapes: another network, size or number of classes.
    StoreError
        If the file is damaged.
    """
    import keras

    try:
        weights = keras.saving.load_model(path, compile=False, safe_mode=True).get_weights()
    except (ValueError, TypeError, KeyError, OSError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise StoreError(f"{path}: damaged or not a model ({reason})") from None
    shapes = [tuple(weight.shape) for weight in weights]
    wanted = [tuple(variable.shape) for variable in network.weights]
    if shapes != wanted:
        raise UsageError(f"--start-from: the network of {path} is another one: it has "
                         f"{len(shapes)} arrays of weights, and {len(wanted)} are needed"
                         if len(shapes) != len(wanted) else
                         f"--start-from: the network of {path} has weights of other shapes")
    network.set_weights(weights)
