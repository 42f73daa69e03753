"""Combine the scores of several runs into one run that evaluate and submit read like any other.

  python -m pipeline.ensemble --runs mfcc logmel
  python -m pipeline.ensemble --runs mfcc logmel --weights 1 2 --name weighted
  python -m pipeline.ensemble --runs mfcc logmel waveform --method stack --name stacked

Means are taken over the runs' out-of-fold scores, clip by clip, and over all models (every fold
of every run) for the test clips; a run weighs the same however many folds it has. `stack` fits
two levels of ridge regression on out-of-fold scores, and leaves those of nested cross-validation,
whose lwlrap can be compared with a mean's. Its scores rank; they are no probabilities.

Prints the out-of-fold lwlrap of every run, of their plain geometric mean and of the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.cli.params_file import PARAMS, read_values
from pipeline.runtime.choices import EnsembleMethod
from pipeline.runtime.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.runs.scores import Scores

RESAMPLES = 200  # enough for an interval's first digits, in seconds


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    runs: Annotated[tuple[str, ...] | None, Help(
        "names of the runs to combine; none: all of params.yaml"
    )]
    name: Annotated[str, Help("name of the resulting run, in the same folder")]
    method: Annotated[EnsembleMethod, Help(
        "how to combine: geometric or arithmetic mean, mean of ranks, or stack (ridge "
        "regression, needs 3 folds)"
    )]
    weights: Annotated[tuple[Annotated[float, Ge(0)], ...], Help(
        "one weight per run, in the order of --runs; none: equal weights"
    )]
    data: Annotated[Path, Help("folder that prepare wrote, with the labels")]
    seed: Annotated[int, Ge(0), Help("random seed of the bootstrap behind the printed interval")]
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings; a flag wins over its key there"
    )] = PARAMS


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_labels
    from pipeline.runs.folder import RunFolder, RunRecord
    from pipeline.runs.scores import align
    from pipeline.runs.staleness import check_folds, digests
    from pipeline.scoring.evaluation import truth_of
    from pipeline.scoring.means import combine, combine_tests
    from pipeline.scoring.stacking import folds_of, stack_runs

    if settings.runs is None:
        settings = replace(settings, runs=tuple(read_values(settings.params, "runs")))
    names, mode = settings.runs or (), _check(settings)
    single = mode == "single"
    weights = settings.weights or (1.0,) * len(names)
    labels = {x.clip_id: x for x in read_labels(settings.data)}
    loaded = [(name, *RunFolder(settings.runs_dir, name).load()) for name in names]
    tests = [(name, folds) for name, _, folds in loaded]
    without = [name for name, folds in tests if not folds]
    if 0 < len(without) < len(names):
        raise UsageError(f"no test scores of {', '.join(without)}; `python -m pipeline.predict` "
                         "writes them")
    oofs = align([(name, oof) for name, oof, _ in loaded])
    named = list(zip(names, oofs, strict=True))
    truth = truth_of(labels, oofs[0])
    test = None
    if settings.method == "stack":
        check_folds(settings.runs_dir, names, labels)
        oof, test = stack_runs(oofs, tests, truth, folds_of(labels, oofs[0].clip_ids))
    else:
        oof = combine(settings.method, named, weights, single=single)
        if not without:
            test = combine_tests(settings.method, tests, weights, single=single)

    out = RunFolder(settings.runs_dir, settings.name)
    out.write_ensemble(RunRecord(
        settings.name, "ensemble", mode, oof.classes, settings.seed, method=settings.method,
        members=names, weights=settings.weights, made_of=digests(settings.runs_dir, names),
    ), oof, test)
    _report(settings, named, oof, truth, single=single)
    print(f"Wrote {out.path}" + (", without test scores: the runs have none" if without else ""))


def _check(settings: Settings) -> str:
    """The runs' label mode; raises a UsageError that lists all that is wrong with the settings."""
    from pipeline.runs.folder import RunFolder, is_folder_name
    from pipeline.runs.staleness import stale

    names, errors = settings.runs or (), []
    if not names:
        errors.append("no runs to combine; name them: --runs A B")
    elif len(set(names)) < len(names):
        errors.append(f"--runs is {' '.join(names)}: one twice; --weights gives a run more weight")
    if settings.weights and settings.method == "stack":
        errors.append("--method stack finds its own weights; leave --weights out")
    elif settings.weights and len(settings.weights) != len(names):
        errors.append(f"{len(settings.weights)} weights for {len(names)} runs; needs one a run")
    elif settings.weights and not 0 < sum(settings.weights) < float("inf"):
        errors.append("--weights are all 0, or infinite")
    if settings.name in names:
        errors.append(f"--name {settings.name} is one of the runs; name the result otherwise")
    modes = {}
    for name in names:
        try:
            modes[name] = RunFolder(settings.runs_dir, name).read().label_mode
            errors += stale(settings.runs_dir, name)
        except UsageError as error:
            errors.append(str(error))
    if len(set(modes.values())) > 1:
        errors.append("the runs are of different tasks: "
                     + ", ".join(f"{name} is {mode}" for name, mode in modes.items()))
    if not is_folder_name(settings.name):
        errors.append(f"--name is {settings.name!r}; needs the name of a folder, not a path")
    elif (out := RunFolder(settings.runs_dir, settings.name)).is_run and (
        settings.name not in names and out.read().folds
    ):
        errors.append(f"--name {settings.name} is a trained run; name the result otherwise")
    if errors:
        raise UsageError("\n".join(errors))
    return modes[names[0]]


def _report(
    settings: Settings, named: list[tuple[str, Scores]], oof: Scores, truth: NDArray, *,
    single: bool,
) -> None:
    """Print the out-of-fold lwlrap of the runs, of a plain mean and of the result."""
    from pipeline.scoring.evaluation import paired_gain
    from pipeline.scoring.means import plain_mean
    from pipeline.scoring.metrics import lwlrap

    method, plain = plain_mean(named, single=single)
    rows = [*named, (f"(plain {method} mean)", plain), (settings.name, oof)]
    width = max(len(name) for name, _ in rows)
    print(f"out-of-fold lwlrap of {len(truth)} clips", *(
        f"{name:{width}}  {lwlrap(truth, scores.values):.4f}" for name, scores in rows
    ), sep="\n  ")
    rival, what = plain, f"the plain {method} mean"
    if (oof.values == plain.values).all():
        best, rival = max(named, key=lambda run: lwlrap(truth, run[1].values))
        what = f"{best} alone"
    gain, low, high = paired_gain(truth, oof.values, rival.values, seed=settings.seed,
                                  resamples=RESAMPLES)
    print(f"{settings.name} ({settings.method}) over {what}: {gain:+.4f} "
          f"(95 % interval {low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    stage.main("ensemble", Settings, run, __doc__)
