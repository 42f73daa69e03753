"""Combine the scores of several runs into one run that evaluate and submit read like any other.

  python -m pipeline.ensemble --runs mfcc logmel
  python -m pipeline.ensemble --runs mfcc logmel --weights 1 2 --name weighted
  python -m pipeline.ensemble --runs mfcc logmel waveform --method blend --name blended
  python -m pipeline.ensemble --runs mfcc logmel waveform --method stack --name stacked
  python -m pipeline.ensemble --runs mfcc logmel waveform --method boost --name boosted

Out of fold, a mean combines the runs' scores of each clip; on the test clips, those of all models
(every fold of every run), where a run has the same weight however many folds it has. `blend` is a
geometric mean whose weights are searched on out-of-fold scores, by lwlrap or, of single labels, by
accuracy. `stack` fits two levels of ridge regression on them; its scores are not probabilities: use
their order only. `boost` fits gradient boosting on them and on the clips' lengths (clips.csv). All
three write out-of-fold scores of nested cross-validation, in which a fold's labels have no part in
its scores, so that their lwlrap can be compared with a mean's.

Prints the out-of-fold lwlrap of every run, of their plain geometric mean and of the result, and the
weights of a blend.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.cli.params_file import PARAMS, file_of, run_names
from pipeline.runtime.choices import EnsembleMethod


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    runs: Annotated[tuple[str, ...] | None, Help(
        "names of the runs to combine; none: all of params.yaml"
    )]
    name: Annotated[str, Help("name of the resulting run, in the same folder")]
    method: Annotated[EnsembleMethod, Help(
        "how to combine: geometric or arithmetic mean, mean of ranks, blend (geometric mean with "
        "weights searched out of fold, needs 2 folds), stack (ridge regression, needs 3 folds), or "
        "boost (gradient boosting on scores and clip lengths, needs 2 folds)"
    )]
    weights: Annotated[tuple[Annotated[float, Ge(0)], ...], Help(
        "one weight per run, in the order of --runs; none: equal weights"
    )]
    data: Annotated[Path, Help("folder that prepare wrote, with labels and lengths")]
    seed: Annotated[int, Ge(0), Help(
        "random seed of boost, and of the bootstrap behind the printed interval"
    )]
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings, or those that differ from params.yaml; a flag wins over its key"
    )] = PARAMS


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_clips, read_labels
    from pipeline.ensembling.combination import (
        check_members,
        combine_runs,
        print_gain,
        write_combined,
    )
    from pipeline.runs.choice import trained_runs
    from pipeline.runs.folder import RunFolder

    names = settings.runs
    if names is None:
        names = trained_runs(settings.runs_dir, run_names(settings.params),
                             params=file_of(settings.params, "runs"))
    out = RunFolder(settings.runs_dir, settings.name)
    mode = check_members(out, names, method=settings.method, weights=settings.weights)
    labels = {label.clip_id: label for label in read_labels(settings.data)}
    seconds = {}
    if settings.method == "boost":
        _, clips = read_clips(settings.data)
        seconds = {clip.clip_id: clip.header.frames / clip.header.sr for clip in clips}
    combined = combine_runs(settings.runs_dir, names, labels, method=settings.method,
                            weights=settings.weights, single=mode == "single", seconds=seconds,
                            seed=settings.seed)
    write_combined(out, combined, label_mode=mode, seed=settings.seed)
    print_gain(settings.name, combined, single=mode == "single", seed=settings.seed)
    without = "" if combined.test else ", without test scores: the runs have none"
    print(f"Wrote {out.path}{without}")


if __name__ == "__main__":
    stage.main("ensemble", Settings, run, __doc__)
