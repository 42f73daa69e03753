"""What is on record of a training: run.json, and fold.json beside each fold's files. No TensorFlow.

::

    RUNS/NAME/run.json               "kind": "train": feature, classes, settings, finished folds
    RUNS/NAME/folds/K/fold.json       what fold K is trained with, and how it went once it is done
    RUNS/NAME/folds/K/training.npz    the state after the last epoch, while it is not
    RUNS/NAME/folds/K/model.keras     the best epoch's model
    RUNS/NAME/folds/K/oof.npz         its scores on the fold's validation clips
    RUNS/NAME/test/K.npz        its scores on the test clips, by predict
    RUNS/NAME/folds/K/history.csv     a row an epoch
    RUNS/NAME/folds/K/logs/           the same for TensorBoard

A training's *identity* is everything that decides its scores: the recipe, the feature's
configuration, the classes, and a digest over clips, labels, folds and the clips' checksums in the
store. Equal identities make a stopped training go on and a finished one stay as it is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.dataset.tables import Label
from pipeline.runs.recipe import Recipe
from pipeline.runs.scores import atomic_write, fold_folder, read_run, test_path
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.store.reader import Store
from pipeline.store.schema import FeatureSpec

RUN, FOLD = "run.json", "fold.json"
CHECKPOINT, MODEL, OOF = "training.npz", "model.keras", "oof.npz"
HISTORY, LOGS = "history.csv", "logs"

# What a training's identity has beyond its recipe.
_DATA = ("feature", "classes", "clips")


@dataclass(frozen=True)
class TrainedRun:
    """run.json of a training.

    Attributes
    ----------
    folder : Path
        RUNS/NAME.
    spec : FeatureSpec
        Of the store that it was trained from.
    classes : tuple of str
        The columns of its scores.
    folds : tuple of int
        Those that are done.
    recipe : Recipe
    """

    folder: Path
    spec: FeatureSpec
    classes: tuple[str, ...]
    folds: tuple[int, ...]
    recipe: Recipe

    def fold_folder(self, fold: int) -> Path:
        """Where a fold's files are."""
        return fold_folder(self.folder, fold)


def identity(
    recipe: Recipe, store: Store, classes: Sequence[str], labels: Iterable[Label]
) -> dict[str, Any]:
    """All that decides the scores of a training on these clips, as JSON has it."""
    digest = hashlib.sha256()
    for x in labels:
        crc32 = int(store.crc32[store.index_of(x.clip_id)])
        digest.update(json.dumps([x.clip_id, x.labels, x.split, x.fold, crc32]).encode())
    return {
        **asdict(recipe), "feature": describe(store.spec), "classes": list(classes),
        "clips": digest.hexdigest(),
    }


def describe(spec: FeatureSpec) -> dict[str, Any]:
    """A feature's specification, as JSON has it; its fingerprint follows from the first four."""
    return {
        "name": spec.feature, "version": spec.version, "dtype": spec.dtype, "config": spec.config,
        "width": spec.width, "units": spec.units,
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """A line for each key whose values differ, ``key: OLD, now NEW``; nested keys with a dot."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += [f"{key}.{line}" for line in differences(a, b)]
        elif a != b and key == "clips":
            lines.append("clips: other clips, labels, folds or audio")
        elif a != b:
            lines.append(f"{key}: {json.dumps(a)}, now {json.dumps(b)}")
    return lines


def read_fold(folder: Path) -> dict[str, Any] | None:
    """fold.json; None if there is none, or none that can be read: the fold is trained anew then."""
    result = _read(folder / FOLD)
    return result if result and isinstance(result.get("identity"), dict) else None


def is_finished(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a fold was trained to its end with this identity, and all of it is still there."""
    fold = read_fold(folder)
    return bool(
        fold and fold["identity"] == identity and fold.get("finished")
        and all((folder / name).is_file() for name in (MODEL, OOF, HISTORY))
    )


def is_resumable(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a fold's training with this identity was stopped after at least one epoch."""
    fold = read_fold(folder)
    return bool(
        fold and fold["identity"] == identity and not fold.get("finished")
        and (folder / CHECKPOINT).is_file()
    )


def unfinished_folds(
    run: Path, identity: Mapping[str, Any], folds: Iterable[int], *, resume: bool
) -> tuple[list[int], list[str]]:
    """The folds that are not done with this identity, and notes on what was there before.

    Parameters
    ----------
    run : Path
        RUNS/NAME.
    identity : mapping
    folds : iterable of int
        Those that are wanted.
    resume : bool
        Refuse to begin anew where something else, or nothing at all, was begun.

    Raises
    ------
    UsageError
        If `resume` is so refused, with the settings that differ, key by key; or if the run is an
        ensemble.
    """
    if (_read(run / RUN) or {}).get("kind") == "ensemble":
        raise UsageError(f"{run} is an ensemble; give the training another --run")
    left = [k for k in folds if not is_finished(fold_folder(run, k), identity)]
    begun = {k: fold["identity"] for k in left if (fold := read_fold(fold_folder(run, k)))}
    if left and resume and not begun:
        raise UsageError(f"{run}: nothing to resume: no training was begun. Leave --resume out")
    others: dict[str, list[int]] = {}
    for k, earlier in begun.items():
        if earlier != identity:
            others.setdefault("\n    ".join(differences(earlier, identity)), []).append(k)
    notes = [f"begun with other settings, fold {', '.join(map(str, folds))}:\n    {lines}"
             for lines, folds in others.items()]
    if notes and resume:
        raise UsageError(f"{run}: " + "\n".join(notes)
                         + "\nGo on with the old ones, or leave --resume out to train anew")
    return left, notes


def begin_fold(run: Path, fold: int, identity: Mapping[str, Any]) -> None:
    """Make way for a fold's training from its first epoch on: nothing of an earlier one stays.

    A run.json that names the fold goes too, so that nothing reads half of a run as all of it.
    """
    folder = fold_folder(run, fold)
    if fold in (_read(run / RUN) or {}).get("folds", ()):
        (run / RUN).unlink()
    for name in (FOLD, CHECKPOINT, MODEL, OOF, HISTORY):
        (folder / name).unlink(missing_ok=True)
    test_path(run, fold).unlink(missing_ok=True)
    shutil.rmtree(folder / LOGS, ignore_errors=True)
    _write(folder / FOLD, {"identity": identity, "finished": False})


def finish_fold(folder: Path, identity: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Say that a fold is done; its state is not needed any more."""
    _write(folder / FOLD, {"identity": identity, "finished": True, **results})
    (folder / CHECKPOINT).unlink(missing_ok=True)


def write_run(
    run: Path, identity: Mapping[str, Any], spec: FeatureSpec, recipe: Recipe,
    folds: Iterable[int],
) -> None:
    """Write run.json over those of `folds` that are done, if any."""
    done = tuple(k for k in folds if is_finished(fold_folder(run, k), identity))
    if done:
        _write(run / RUN, {
            "kind": "train", "label_mode": recipe.labels, "seed": recipe.seed, "folds": done,
            "fingerprint": spec.fingerprint, "settings": asdict(recipe),
            **{key: identity[key] for key in _DATA},
        })


def read_trained(runs: Path, name: str) -> TrainedRun:
    """Read run.json of a training.

    Raises
    ------
    UsageError
        If there is no such run, or it is an ensemble, which has no models.
    StoreError
        If run.json is damaged.
    """
    plain = read_run(runs, name)
    folder = runs / name
    result = _read(folder / RUN) or {}
    if result.get("kind") == "ensemble":
        raise UsageError(f"{folder} is an ensemble, without a model of its own; name one of its "
                         f"members: {', '.join(result.get('members', ()))}")
    try:
        feature = result["feature"]
        spec = FeatureSpec(feature["name"], feature["version"], feature["dtype"], feature["width"],
                           feature["units"], feature["config"])
        recipe = Recipe(**{f.name: result["settings"][f.name] for f in fields(Recipe)})
        if spec.fingerprint != result["fingerprint"]:
            raise ValueError("the fingerprint does not fit the feature")
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{folder / RUN}: not a sound run.json ({error!r}); train the run again"
        ) from None
    return TrainedRun(folder, spec, plain.classes, plain.folds, recipe)


def check_store(run: TrainedRun, store: Store) -> None:
    """Hold a store against what a run was trained from.

    Raises
    ------
    StoreError
        If its fingerprint is another; with the differences, key by key.
    """
    if store.spec.fingerprint == run.spec.fingerprint:
        return
    lines = differences(describe(run.spec), describe(store.spec))
    raise StoreError(
        f"{store.path} is not of the kind that {run.folder} was trained from "
        f"({run.spec.fingerprint[:16]}, now {store.spec.fingerprint[:16]}):\n  "
        + "\n  ".join(lines)
        + "\nExtract with the run's settings, or train again from this store"
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def _write(path: Path, result: Mapping[str, Any]) -> None:
    with atomic_write(path) as partial:
        partial.write_text(
            json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
