"""Score the test clips with the models of all folds of a run.

  python -m pipeline.predict --run mfcc

Writes RUNS/NAME/test/K.npz: for each test clip in the store, the mean of the model's scores over
crops that cover the whole clip; and K.json, what they were computed from. Scores of the same model,
store and test clips are not computed again. A store that was extracted with other
settings than the run was trained on is refused, with the differences.

exit codes: 0 done or nothing to do, 1 no space left or the like, 2 usage, 4 a store of another
feature, or a corrupt store, run or model
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.runtime.errors import UsageError


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
    from pipeline.training.predict_run import score_clips, select_test_clips

    if settings.run is None:
        raise UsageError("no run is named; give --run NAME")
    folder = RunFolder(settings.runs_dir, settings.run)
    trained, spec = identities.read_training(folder)
    store = open_store(store_path(settings.stores, trained.recipe.features))
    identities.check_store(folder, spec, store)
    clip_ids = select_test_clips(settings.data, folder, trained, store)
    inputs = {
        k: identities.make_test_inputs(folder.fold(k), trained, store, clip_ids)
        for k in trained.folds
    }
    left = [k for k in trained.folds if not folder.fold(k).test_is_current(inputs[k])]
    if left:
        score_clips(folder, trained, store, clip_ids, {k: inputs[k] for k in left})
    else:
        print(f"predict: nothing to do: {folder.path} has the scores of these {len(clip_ids)} "
              "test clips already")
    write_digest(folder)


if __name__ == "__main__":
    stage.main("predict", Settings, run, __doc__)
