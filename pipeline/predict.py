"""Score the test clips, and the noisy ones, with the models of all folds of a run.

  python -m pipeline.predict --run mfcc

Writes RUNS/NAME/test/K.npz: for each test clip in the store, the mean of the model's scores over
crops that cover the whole clip; and K.json, what they were computed from. Scores of the same model,
store and clips are not computed again. A store that was extracted with other settings than the run
was trained on is refused, with the differences.

Unless --no-noisy, RUNS/NAME/noisy has the same of the noisy clips, for the likely label errors of
`pipeline.report`. FSDKaggle2019 has 80 hours of these, six times as much as test clips. A run that
was trained on them does not score them.

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
    noisy: Annotated[bool, Help(
        "score the noisy clips too, where the run was not trained on them: report ranks their "
        "labels by these scores"
    )]
    run: Annotated[str | None, FlagOnly(), Help(
        "name of the run whose models score the test clips"
    )] = None


def run(settings: Settings) -> None:
    from pipeline.runs import identity as identities
    from pipeline.runs.folder import RunFolder
    from pipeline.runs.staleness import write_digest
    from pipeline.store.partial import store_path
    from pipeline.store.reader import open_store
    from pipeline.training.predict_run import score_clips, select_clips

    if settings.run is None:
        raise UsageError("no run is named; give --run NAME")
    folder = RunFolder(settings.runs_dir, settings.run)
    trained, spec = identities.read_training(folder)
    store = open_store(store_path(settings.stores, trained.recipe.features))
    identities.check_store(folder, spec, store)
    clips = select_clips(settings.data, folder, trained, store, noisy=settings.noisy)
    # DVC wants to find every output, where there are no noisy clips too.
    folder.fold(0).predicted("noisy").parent.mkdir(exist_ok=True)
    idle = True
    for split, ids in clips.items():
        inputs = {
            k: identities.make_predict_inputs(folder.fold(k), trained, store, ids)
            for k in trained.folds
        }
        left = {k: inputs[k] for k in trained.folds
                if not folder.fold(k).is_predicted(split, inputs[k])}
        if left:
            score_clips(folder, trained, store, split, ids, left)
            idle = False
    if idle:
        counts = " and ".join(f"{len(ids)} {split}" for split, ids in clips.items())
        print(f"predict: nothing to do: {folder.path} has the scores of these {counts} clips "
              "already")
    write_digest(folder)


if __name__ == "__main__":
    stage.main("predict", Settings, run, __doc__)
