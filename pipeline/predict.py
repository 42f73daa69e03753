"""Score the test clips with every fold's model of a run.

  python -m pipeline.predict --run mfcc

Writes RUNS/NAME/test/K.npz: for each test clip that the store has, the mean of the model's
scores over crops that cover the whole clip. A store that was extracted with other settings than
the run was trained from is refused, with the differences.

exit codes: 0 done, 1 no space left or the like, 2 usage, 4 a store of another kind, or a corrupt
store, run or model
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pipeline.cli import main as stage
from pipeline.cli.markers import Help
from pipeline.runtime.errors import UsageError

if TYPE_CHECKING:
    from pipeline.runs.records import TrainedRun
    from pipeline.store.reader import Store


@dataclass(frozen=True)
class Settings:
    run: Annotated[str, Help("name of the run whose models score the test clips")]
    runs_dir: Annotated[Path, Help("folder of all runs")]
    data: Annotated[Path, Help("folder that prepare wrote, with the test clips' table")]
    stores: Annotated[Path, Help("folder of the stores that extract wrote")]


def run(settings: Settings) -> None:
    from pipeline.batching.batches import open_source
    from pipeline.batching.crops import covering_crops, crop_frames
    from pipeline.runs import records as runs
    from pipeline.runs import scores
    from pipeline.runtime import memory
    from pipeline.store.partial import store_path
    from pipeline.store.reader import open_store
    from pipeline.training import tensorflow_setup as backend

    trained = runs.read_trained(settings.runs_dir, settings.run)
    store = open_store(store_path(settings.stores, trained.spec.feature))
    runs.check_store(trained, store)
    clip_ids = test_clips(settings.data, trained, store)
    backend.start()
    import numpy as np

    from pipeline.training.prediction import crop_scores, load_model, mean_by_clip

    source = open_source(
        store, clip_ids, n_frames=crop_frames(store.spec, trained.recipe.seconds),
        pad=trained.recipe.pad, budget=memory.budget(),
    )
    crops = covering_crops(source.length, np.arange(len(clip_ids)), source.n_frames)
    print(f"{trained.folder}: {len(clip_ids)} test clips ({len(crops)} crops) of {store.path}")
    for fold in trained.folds:
        folder = trained.fold_folder(fold)
        model = load_model(
            folder, crop_shape=source.crop_shape, n_classes=len(trained.classes)
        )
        values = crop_scores(model, source, crops, trained.recipe.batch_size)
        path = scores.test_path(trained.folder, fold)
        scores.save(path, scores.Scores(
            tuple(clip_ids), trained.classes, mean_by_clip(values, crops)
        ))
        print(f"  fold {fold}: {path}", flush=True)


def test_clips(data: Path, trained: TrainedRun, store: Store) -> list[str]:
    """The test clips that the store has; those that it lacks are listed on stderr.

    Raises
    ------
    UsageError
        If there are none, or the run has other classes than the data.
    """
    from pipeline.dataset.tables import read_dataset, read_labels
    from pipeline.runs.scores import listed

    classes = read_dataset(data).classes
    if set(classes) != set(trained.classes):
        raise UsageError(
            f"{data} has other classes than {trained.folder}; only one of them has "
            f"{listed(sorted(set(classes) ^ set(trained.classes)))}. Train the run again"
        )
    wanted = [x.clip_id for x in read_labels(data) if x.split == "test"]
    if not wanted:
        raise UsageError(f"{data}: labels.csv has no test clips")
    there = [clip_id for clip_id in wanted if clip_id in store]
    if not there:
        raise UsageError(f"{store.path} has none of the {len(wanted)} test clips; extract again")
    if len(there) < len(wanted):
        missing = [clip_id for clip_id in wanted if clip_id not in store]
        print(f"  note: {store.path} lacks {len(missing)} test clips, which get no scores: "
              f"{listed(missing)}", file=sys.stderr)
    return there


if __name__ == "__main__":
    stage.main("predict", Settings, run, __doc__)
