"""Measure runs (ensembles too) on the clips whose labels are known.

  python -m pipeline.evaluate --runs mfcc logmel ensemble
  dvc metrics diff; dvc plots diff

Computes lwlrap, overall and per class, with 95 % bootstrap intervals, mean average precision, the
classes most often confused and, if every clip has one label, MAP@3 and accuracy: out of fold, and
on the test clips with known labels, Public and Private together and separately.

Writes into OUT: metrics.json (run -> set of clips -> measure), and one file per run in per_class/,
confusion/, curves/ (what `dvc plots` draws) and figures/ (PNG). The same scores and labels give the
same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.cli.params_file import PARAMS, file_of, read_values, run_names
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    runs: Annotated[tuple[str, ...] | None, Help(
        "names of the runs to measure; none: all of params.yaml, and its ensemble"
    )]
    data: Annotated[Path, Help("folder that prepare wrote, with the labels")]
    out: Annotated[Path, Help("folder to write metrics.json and the plots to")]
    seed: Annotated[int, Ge(0), Help("random seed of the bootstrap intervals")]
    resamples: Annotated[int, Ge(1), Help("number of bootstrap resamples per interval")]
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings, or those that differ from params.yaml; a flag wins over its key"
    )] = PARAMS


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_dataset, read_labels
    from pipeline.diagnostics.evaluated_runs import check_runs, measure_run, print_table
    from pipeline.runs.choice import trained_runs
    from pipeline.runs.folder import RunFolder
    from pipeline.scoring.evaluation_files import write_evaluation
    from pipeline.scoring.plot_data import read_histories

    names = settings.runs
    if names is None:
        ensemble = read_values(settings.params, "ensemble")["name"]
        names = (*trained_runs(settings.runs_dir, run_names(settings.params),
                             params=file_of(settings.params, "runs")), ensemble)
    if not names:
        raise UsageError("no runs to measure; name them: --runs A B")
    dataset = read_dataset(settings.data)
    labels = {label.clip_id: label for label in read_labels(settings.data)}
    folders = [RunFolder(settings.runs_dir, name) for name in dict.fromkeys(names)]
    check_runs(folders, dataset, data=settings.data)
    # All is read and measured before anything is written: a bad run leaves the old files.
    measured = {
        folder.name: measure_run(folder, labels, seed=settings.seed, resamples=settings.resamples)
        for folder in folders
    }
    histories = {folder.name: read_histories(folder, folds) for folder in folders
                 if (folds := folder.read().folds)}
    write_evaluation(settings.out, measured, histories)
    print_table(measured)
    print(f"Wrote {settings.out / 'metrics.json'} and the files for `dvc plots` beside it")


if __name__ == "__main__":
    stage.main("evaluate", Settings, run, __doc__)
