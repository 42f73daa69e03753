"""Combine the scores of several runs into an ensemble, and compare it with a plain mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.tables import Label
from pipeline.ensembling.blending import blend_runs
from pipeline.ensembling.boosting import boost_runs
from pipeline.ensembling.cross_validation import folds_of
from pipeline.ensembling.means import combine, combine_tests, plain_mean
from pipeline.ensembling.stacking import stack_runs
from pipeline.runs.folder import RunFolder, RunRecord, is_folder_name
from pipeline.runs.scores import Scores, align
from pipeline.runs.staleness import check_folds, digests, stale
from pipeline.runtime.errors import UsageError
from pipeline.scoring.evaluation import paired_gain, truth_of
from pipeline.scoring.metrics import lwlrap

# Methods that find their weights on out-of-fold scores.
FITTED = ("blend", "stack", "boost")

RESAMPLES = 200  # enough for an interval's first digits, in seconds


@dataclass(frozen=True, eq=False)
class Combined:
    """The scores of an ensemble, and those that it was made of.

    Attributes
    ----------
    method : str
    members : dict of str to Scores
        Each run's out-of-fold scores, aligned.
    truth : np.ndarray [shape=(n_clips, n_classes), dtype=bool]
        The labels of their clips.
    oof : Scores
    test : Scores or None
        None if no run has test scores.
    weights : tuple of float
        Of the members: the user's (none are equal weights), or those that a blend has found.
    fold_weights : dict of int to tuple of float
        Those that a blend found for each fold's out-of-fold scores.
    """

    method: str
    members: dict[str, Scores]
    truth: NDArray[np.bool_]
    oof: Scores
    test: Scores | None
    weights: tuple[float, ...] = ()
    fold_weights: dict[int, tuple[float, ...]] = field(default_factory=dict)


def check_members(
    out: RunFolder, names: Sequence[str], *, method: str, weights: Sequence[float]
) -> str:
    """Check whether runs can be combined.

    Parameters
    ----------
    out : RunFolder
        Of the ensemble.
    names : sequence of str
        Of the runs, in the same folder.
    method : str
        A key of :data:`.means.MEANS`, ``stack`` or ``boost``.
    weights : sequence of float
        One per run, or none for equal weights.

    Returns
    -------
    label_mode : {"multi", "single"}
        Of all runs.

    Raises
    ------
    UsageError
        Lists everything that is wrong.
    """
    errors = []
    if not names:
        errors.append("no runs to combine; name them: --runs A B")
    elif len(set(names)) < len(names):
        errors.append(f"--runs is {' '.join(names)}; name each run only once, and use "
                      "--weights to give it more weight")
    if weights and method in FITTED:
        errors.append(f"--method {method} finds its own weights; leave --weights out")
    elif weights and len(weights) != len(names):
        errors.append(f"{len(weights)} weights for {len(names)} runs; needs one per run")
    elif weights and not 0 < sum(weights) < float("inf"):
        errors.append("--weights are all 0, or infinite")
    if out.name in names:
        errors.append(f"--name {out.name} is one of the runs; give the result another name")
    modes = {}
    for name in names:
        try:
            modes[name] = RunFolder(out.runs_dir, name).read().label_mode
            errors += stale(out.runs_dir, name)
        except UsageError as error:
            errors.append(str(error))
    if len(set(modes.values())) > 1:
        errors.append("the runs are of different tasks: "
                      + ", ".join(f"{name} is {mode}" for name, mode in modes.items()))
    if not is_folder_name(out.name):
        errors.append(f"--name is {out.name!r}; needs the name of a folder, not a path")
    elif out.is_run and out.name not in names and out.read().folds:
        errors.append(f"--name {out.name} is a trained run; give the result another name")
    if errors:
        raise UsageError("\n".join(errors))
    return modes[names[0]]


def combine_runs(
    runs_dir: Path, names: Sequence[str], labels: Mapping[str, Label], *, method: str,
    weights: Sequence[float], single: bool, seconds: Mapping[str, float], seed: int,
) -> Combined:
    """Combine runs that :func:`check_members` accepted.

    Parameters
    ----------
    runs_dir : Path
    names : sequence of str
    labels : mapping of str to Label
        By clip id.
    method, weights
        As in :func:`check_members`.
    single : bool
        Whether each clip has exactly one label.
    seconds : mapping of str to float
        The length of each clip, by clip id; only ``boost`` needs it.
    seed : int
        Of ``boost``.

    Raises
    ------
    UsageError
        If only some runs have test scores, the runs' clips or classes differ, or the method cannot
        be fitted on them.
    """
    loaded = [(name, *RunFolder(runs_dir, name).load()) for name in names]
    tests = [(name, folds) for name, _, folds in loaded]
    without = [name for name, folds in tests if not folds]
    if 0 < len(without) < len(names):
        raise UsageError(f"no test scores of {', '.join(without)}; `python -m pipeline.predict` "
                         "writes them")
    oofs = align([(name, oof) for name, oof, _ in loaded])
    members = dict(zip(names, oofs, strict=True))
    truth = truth_of(labels, oofs[0])
    if method in FITTED:
        check_folds(runs_dir, names, labels)
        folds = folds_of(labels, oofs[0].clip_ids)
        if method == "stack":
            return Combined(method, members, truth, *stack_runs(oofs, tests, truth, folds))
        if method == "boost":
            return Combined(method, members, truth, *boost_runs(
                oofs, tests, truth, folds, seconds, single=single, seed=seed))
        blend = blend_runs(list(members.items()), tests, truth, folds, single=single)
        return Combined(method, members, truth, blend.oof, blend.test, blend.weights,
                        blend.fold_weights)
    shares = weights or (1.0,) * len(names)
    oof = combine(method, list(members.items()), shares, single=single)
    test = None if without else combine_tests(method, tests, shares, single=single)
    return Combined(method, members, truth, oof, test, tuple(weights))


def write_combined(
    out: RunFolder, combined: Combined, *, label_mode: str, seed: int
) -> None:
    """Write an ensemble as a run."""
    names = tuple(combined.members)
    out.write_ensemble(RunRecord(
        out.name, "ensemble", label_mode, combined.oof.classes, seed, method=combined.method,
        members=names, weights=combined.weights, made_of=digests(out.runs_dir, names),
    ), combined.oof, combined.test)


def print_gain(name: str, combined: Combined, *, single: bool, seed: int) -> None:
    """Print the out-of-fold lwlrap of the runs, of a plain mean and of the ensemble `name`."""
    truth, oof, named = combined.truth, combined.oof, list(combined.members.items())
    method, plain = plain_mean(named, single=single)
    rows = [*named, (f"(plain {method} mean)", plain), (name, oof)]
    width = max(len(label) for label, _ in rows)
    print(f"out-of-fold lwlrap of {len(truth)} clips", *(
        f"{label:{width}}  {lwlrap(truth, scores.values):.4f}" for label, scores in rows
    ), sep="\n  ")
    _print_weights(combined)
    rival, what = plain, f"the plain {method} mean"
    if (oof.values == plain.values).all():
        best, rival = max(named, key=lambda run: lwlrap(truth, run[1].values))
        what = f"{best} alone"
    gain, low, high = paired_gain(truth, oof.values, rival.values, seed=seed, resamples=RESAMPLES)
    print(f"{name} ({combined.method}) over {what}: {gain:+.4f} "
          f"(95 % interval {low:+.4f} to {high:+.4f})")


def _print_weights(combined: Combined) -> None:
    """Print the weights that a blend found, with their range over the folds."""
    if not combined.fold_weights:
        return
    print("weights that the blend chose on all folds (and on all but one, least to most)")
    width = max(map(len, combined.members))
    for i, (name, weight) in enumerate(zip(combined.members, combined.weights, strict=True)):
        by_fold = [weights[i] for weights in combined.fold_weights.values()]
        print(f"  {name:{width}}  {weight:.2f} ({min(by_fold):.2f} to {max(by_fold):.2f})")
