"""Measure what each step from a single model to an ensemble gains.

The steps are: one fold's model, the mean over a run's folds (test clips only, since an out-of-fold
score is of one model), the best run, and the other runs added one at a time, in the order of their
out-of-fold lwlrap. That order and the best run are chosen out of fold, on the clips that the gain
out of fold is measured on too, so the test clips' gain is the fairer one.

The intervals are of the paired bootstrap over clips, see
:func:`pipeline.scoring.intervals.bootstrap_gain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.diagnostics.reported_runs import ReportedRun
from pipeline.ensembling.combination import FITTED
from pipeline.ensembling.means import combine, combine_tests
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores, select
from pipeline.scoring.evaluation import LEVEL, Result
from pipeline.scoring.intervals import bootstrap_gain
from pipeline.scoring.metrics import lwlrap

# Out-of-fold scores and the test scores of each model.
Loaded = tuple[Scores, list[Scores]]


@dataclass(frozen=True)
class Step:
    """The gain of one step on one set of clips.

    Attributes
    ----------
    clips : {"oof", "test"}
    new, old : str
        What is compared.
    value : float
        lwlrap of `new`.
    gain, low, high : float
        Its difference to that of `old`, and the 95 % interval.
    """

    clips: str
    new: str
    old: str
    value: float
    gain: float
    low: float
    high: float


def ensemble_steps(run: ReportedRun, *, seed: int, resamples: int) -> list[Step]:
    """Measure the steps that made a run: its folds, or its members if it is an ensemble.

    Parameters
    ----------
    run : ReportedRun
    seed, resamples : int
        Of the bootstrap.

    Returns
    -------
    list of Step
        Empty where there is nothing to compare: one fold, no labelled test clips, members that
        are deleted.
    """
    if run.record.kind == "train":
        return _fold_steps(run, seed=seed, resamples=resamples)
    folders = [RunFolder(run.folder.runs_dir, member) for member in run.record.members]
    if not folders or not all(folder.is_run for folder in folders):
        return []
    loaded = {folder.name: folder.load() for folder in folders}
    steps = []
    for kind in ("oof", "test"):
        if kind in run.sets and (kind == "oof" or all(tests for _, tests in loaded.values())):
            steps += _member_steps(run, kind, loaded, seed=seed, resamples=resamples)
    return steps


def _fold_steps(run: ReportedRun, *, seed: int, resamples: int) -> list[Step]:
    if len(run.fold_tests) < 2 or "test" not in run.sets:
        return []
    n = len(run.fold_tests)
    return [_step("test", f"mean of {n} folds", "a single fold", run.sets["test"],
                  run.sets["test"].scores, run.fold_tests, seed, resamples)]


def _member_steps(
    run: ReportedRun, kind: str, loaded: Mapping[str, Loaded], *, seed: int, resamples: int
) -> list[Step]:
    record, result = run.record, run.sets[kind]
    shares = dict(zip(record.members, record.weights or (1.0,) * len(record.members),
                      strict=True))
    order = _best_first(run.sets["oof"], loaded)
    used = [name for name in order if shares[name]]
    best, steps = used[0], []

    def mean(names: Sequence[str], method: str, *, equal: bool = False) -> Scores:
        weights = [1.0 if equal else shares[name] for name in names]
        if kind == "oof":
            named = [(name, loaded[name][0]) for name in names]
            return combine(method, named, weights, single=run.single)
        tests = [(name, loaded[name][1]) for name in names]
        return combine_tests(method, tests, weights, single=run.single)

    def step(new: str, old: str, scores: Scores, rival: Scores) -> None:
        steps.append(_step(kind, new, old, result, scores, [rival], seed, resamples))

    if record.method in FITTED:  # its weights are not those of every fold's scores
        used = order
        probabilities = all((s.values >= 0).all() for name in used
                            for s in (loaded[name][0], *loaded[name][1]))
        method = "geometric" if probabilities else "rank"
        plain = mean(used, method, equal=True)
        step(f"plain {method} mean of {len(used)} runs", best, plain, mean([best], method))
        step(f"{run.name} ({record.method})", f"plain {method} mean", result.scores, plain)
        return steps
    previous = mean([best], record.method)
    for n in range(2, len(used) + 1):
        scores = mean(used[:n], record.method)
        step(f"+ {used[n - 1]}", " + ".join(used[:n - 1]), scores, previous)
        previous = scores
    if len({shares[name] for name in used}) > 1:
        plain = mean(used, record.method, equal=True)
        step(f"{run.name} (weighted)", "equal weights", result.scores, plain)
    if len(used) > 2:
        step(run.name, best, result.scores, mean([best], record.method))
    return steps


def _best_first(result: Result, loaded: Mapping[str, Loaded]) -> list[str]:
    """Names by out-of-fold lwlrap on the clips of `result`, best first."""
    values = {name: lwlrap(result.truth, _like(result, oof))
              for name, (oof, _) in loaded.items()}
    return sorted(values, key=lambda name: -values[name])


def _like(result: Result, scores: Scores) -> NDArray[np.float32]:
    """The scores of the clips and classes of `result`, in its order."""
    return select(scores, result.scores.clip_ids, result.scores.classes).values


def _step(
    kind: str, new: str, old: str, result: Result, scores: Scores, rivals: Sequence[Scores],
    seed: int, resamples: int,
) -> Step:
    values = _like(result, scores)
    (gain, low, high), _ = bootstrap_gain(
        result.truth, values, [_like(result, rival) for rival in rivals],
        rng=np.random.default_rng(seed), n_resamples=resamples, level=LEVEL,
    )
    return Step(kind, new, old, lwlrap(result.truth, values), float(gain), float(low), float(high))
