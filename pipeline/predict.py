"""Score the test clips with the models of all folds of a run.

  python -m pipeline.predict --run mfcc

Writes RUNS/NAME/test/K.npz: for each test clip in the store, the mean of the model's scores over
crops that cover the whole clip; and K.json, what they were computed from. Where model, store and
test clips are the same as before, there is nothing to do. A store that was extracted with other
settings than the run was trained on is refused, with the differences.

exit codes: 0 done or nothing to do, 1 no space left or the like, 2 usage, 4 a store of another
feature, or a corrupt store, run or model
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.runtime.errors import UsageError

# Grows with every edit of this stage or pipeline/batching that changes the scores of a model.
SCORING_VERSION = 1

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.runs.folder import FoldFolder, RunFolder, RunRecord
    from pipeline.store.reader import Store


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    data: Annotated[Path, Help("folder that prepare wrote, with the test clips' table")]
    stores: Annotated[Path, Help("folder of the stores that extract wrote")]
    run: Annotated[str | None, FlagOnly(), Help(
        "name of the run whose models score the test clips"
    )] = None


def run(settings: Settings) -> None:
    from pipeline.runs import identity as identities
    from pipeline.runs.folder import RunFolder
    from pipeline.runs.staleness import write_digest
    from pipeline.store.partial import store_path
    from pipeline.store.reader import open_store

    if settings.run is None:
        raise UsageError("which run? name it with --run NAME")
    folder = RunFolder(settings.runs_dir, settings.run)
    trained, spec = identities.read_training(folder)
    store = open_store(store_path(settings.stores, trained.recipe.features))
    identities.check_store(folder, spec, store)
    clip_ids = test_clips(settings.data, folder, trained, store)
    inputs = {k: inputs_of(folder.fold(k), trained, store, clip_ids) for k in trained.folds}
    left = [k for k in trained.folds if not folder.fold(k).test_is_current(inputs[k])]
    if left:
        score(folder, trained, store, clip_ids, {k: inputs[k] for k in left})
    else:
        print(f"predict: nothing to do: {folder.path} has the scores of these {len(clip_ids)} "
              "test clips already")
    write_digest(folder)


def inputs_of(
    fold: FoldFolder, trained: RunRecord, store: Store, clip_ids: Sequence[str]
) -> dict[str, Any]:
    """Everything that decides a fold's test scores, for JSON."""
    import hashlib
    import json

    crc32 = [int(store.crc32[store.index_of(clip_id)]) for clip_id in clip_ids]
    clips = json.dumps([list(clip_ids), crc32])
    model = fold.model.read_bytes() if fold.model.is_file() else b""
    recipe = trained.recipe
    return {
        "model": hashlib.sha256(model).hexdigest(), "fingerprint": store.spec.fingerprint,
        "clips": hashlib.sha256(clips.encode()).hexdigest(), "classes": list(trained.classes),
        "seconds": recipe.seconds, "pad": recipe.pad, "batch_size": recipe.batch_size,
        "scoring_version": SCORING_VERSION,
    }


def score(
    folder: RunFolder, trained: RunRecord, store: Store, clip_ids: Sequence[str],
    inputs: dict[int, dict[str, Any]],
) -> None:
    """Score the test clips with the models of the folds of `inputs`, and write the scores."""
    import numpy as np

    from pipeline.batching.batches import open_source
    from pipeline.batching.crops import covering_crops, crop_frames
    from pipeline.runs.scores import Scores
    from pipeline.runtime import memory
    from pipeline.training import tensorflow_setup as backend

    backend.start()
    from pipeline.training.prediction import crop_scores, load_model, mean_by_clip

    source = open_source(
        store, clip_ids, n_frames=crop_frames(store.spec, trained.recipe.seconds),
        pad=trained.recipe.pad, budget=memory.budget(),
    )
    crops = covering_crops(source.length, np.arange(len(clip_ids)), source.n_frames)
    print(f"{folder.path}: {len(clip_ids)} test clips ({len(crops)} crops) of {store.path}")
    for fold in map(folder.fold, inputs):
        model = load_model(fold, crop_shape=source.crop_shape, n_classes=len(trained.classes))
        values = crop_scores(model, source, crops, trained.recipe.batch_size)
        fold.save_test(
            Scores(tuple(clip_ids), trained.classes, mean_by_clip(values, crops)),
            inputs[fold.fold],
        )
        print(f"  fold {fold.fold}: {fold.test}", flush=True)


def test_clips(
    data: Path, folder: RunFolder, trained: RunRecord, store: Store
) -> list[str]:
    """The test clips in the store; prints those that it lacks to stderr.

    Raises
    ------
    UsageError
        If there are none, or the run has other classes than the data.
    """
    from pipeline.dataset.tables import read_dataset, read_labels
    from pipeline.runtime.errors import listed

    classes = read_dataset(data).classes
    if set(classes) != set(trained.classes):
        raise UsageError(
            f"{data} has other classes than {folder.path}; only one of them has "
            f"{listed(sorted(set(classes) ^ set(trained.classes)))}. Train the run again"
        )
    wanted = [x.clip_id for x in read_labels(data) if x.split == "test"]
    if not wanted:
        raise UsageError(f"{data}: labels.csv has no test clips")
    available = [clip_id for clip_id in wanted if clip_id in store]
    if not available:
        raise UsageError(f"{store.path} has none of the {len(wanted)} test clips; extract again")
    if len(available) < len(wanted):
        missing = [clip_id for clip_id in wanted if clip_id not in store]
        print(f"  note: {store.path} lacks {len(missing)} test clips, which get no scores: "
              f"{listed(missing)}", file=sys.stderr)
    return available


if __name__ == "__main__":
    stage.main("predict", Settings, run, __doc__)
