"""Weights searched on out-of-fold scores: what is found, and what a fold's labels touch."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from pipeline.ensembling.blending import blend_runs, search_weights
from pipeline.ensembling.means import combine, geometric_mean
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import UsageError
from pipeline.scoring.metrics import accuracy, lwlrap

CLIPS, N_CLASSES, N_FOLDS = 200, 5, 4
CLASSES = tuple("ABCDE")
NAMES = tuple(f"{k:03}.wav" for k in range(CLIPS))
FOLDS = np.arange(CLIPS) % N_FOLDS


def planted(*spreads, seed=0, single=False):
    """Runs that know the labels, the less the larger their spread."""
    rng = np.random.default_rng(seed)
    if single:
        truth = np.eye(N_CLASSES, dtype=bool)[rng.integers(N_CLASSES, size=CLIPS)]
    else:
        truth = rng.random((CLIPS, N_CLASSES)) < 0.3
        truth[~truth.any(axis=1), 0] = True
    logits = [2 * (truth * 2 - 1 + rng.normal(0, s, truth.shape)) for s in spreads]
    return [expit(x).astype(np.float32) for x in logits], truth


def named(members):
    return [(f"run {i}", Scores(NAMES, CLASSES, m)) for i, m in enumerate(members)]


def untested(members):
    return [(name, []) for name, _ in named(members)]


def test_a_run_that_is_right_gets_all_the_weight():
    (noise,), truth = planted(20.0)
    right = np.where(truth, 0.9, 0.1)
    assert search_weights([noise, right, noise], truth, single=False) == (0, 1, 0)


def test_equal_runs_share_nothing_that_matters():
    (run,), truth = planted(1.0)
    weights = search_weights([run, run], truth, single=False)
    assert sum(weights) == 1
    assert lwlrap(truth, geometric_mean([run, run], weights)) == pytest.approx(lwlrap(truth, run))


@pytest.mark.parametrize("single", [False, True])
def test_the_search_comes_near_to_the_best_of_all_weights_in_steps_of_a_tenth(single):
    members, truth = planted(1.0, 1.2, 2.5, single=single)
    measure = accuracy if single else lwlrap
    grid = [w for w in product(range(11), repeat=3) if sum(w) == 10]
    best = max(measure(truth, geometric_mean(members, w)) for w in grid)
    weights = search_weights(members, truth, single=single)
    found = measure(truth, geometric_mean(members, weights))
    assert found >= best - 0.005
    assert found > max(measure(truth, m) for m in members)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
def test_weights_are_shares_and_never_worse_than_the_best_run(seed, n_runs, single):
    rng = np.random.default_rng(seed)
    truth = np.eye(3, dtype=bool)[rng.integers(3, size=12)]
    members = [rng.random((12, 3)) for _ in range(n_runs)]
    weights = search_weights(members, truth, single=single, draws=8)
    assert len(weights) == n_runs
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)
    measure = accuracy if single else lwlrap
    mean = measure(truth, geometric_mean(members, weights))
    assert mean >= max(measure(truth, m) for m in members) - 1e-12


def test_of_equal_accuracies_the_better_order_wins():
    truth = np.eye(3, dtype=bool)[[0, 1]]
    # Both are right about the first clip only; one has the second's label second, the other last.
    last = np.array([[0.8, 0.1, 0.1], [0.5, 0.2, 0.3]])
    second = np.array([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2]])
    assert search_weights([last, second], truth, single=True)[1] == 1


def test_a_folds_scores_owe_nothing_to_its_labels():
    members, truth = planted(1.0, 1.5)
    changed = truth.copy()
    changed[FOLDS == 2] = np.roll(changed[FOLDS == 2], 1, axis=1)
    before, after = (blend_runs(named(members), untested(members), y, FOLDS, single=False)
                     for y in (truth, changed))
    np.testing.assert_array_equal(after.oof.values[FOLDS == 2], before.oof.values[FOLDS == 2])
    assert after.fold_weights[2] == before.fold_weights[2]
    assert after.fold_weights[1] != before.fold_weights[1]


@pytest.mark.parametrize("single", [False, True])
def test_each_fold_is_the_mean_by_the_weights_of_the_others(single):
    members, truth = planted(1.0, 1.1, seed=3, single=single)
    rng = np.random.default_rng(1)
    tests = [(name, [Scores(("x", "y"), CLASSES, rng.random((2, 5), np.float32))
                     for _ in range(2)]) for name, _ in named(members)]
    blend = blend_runs(named(members), tests, truth, FOLDS, single=single)
    assert blend.oof.clip_ids == NAMES
    for fold in range(N_FOLDS):
        out = fold == FOLDS
        weights = search_weights([m[~out] for m in members], truth[~out], single=single)
        assert blend.fold_weights[fold] == weights
        whole = combine("geometric", named(members), weights, single=single)
        np.testing.assert_array_equal(blend.oof.values[out], whole.values[out])
    assert blend.weights == search_weights(members, truth, single=single)
    by_run = [geometric_mean([s.values for s in folds], [1, 1]) for _, folds in tests]
    expected = geometric_mean(by_run, blend.weights)
    if single:
        expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(blend.test.values, expected, rtol=1e-6)


def test_on_noise_the_nested_gain_is_nothing_and_the_naive_one_is_not():
    nested, naive = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = np.eye(N_CLASSES, dtype=bool)[rng.integers(N_CLASSES, size=CLIPS)]
        members = [rng.random((CLIPS, N_CLASSES)).astype(np.float32) for _ in range(6)]
        plain = lwlrap(truth, geometric_mean(members, [1] * 6))
        blend = blend_runs(named(members), untested(members), truth, FOLDS, single=False)
        nested.append(lwlrap(truth, blend.oof.values) - plain)
        naive.append(lwlrap(truth, geometric_mean(members, blend.weights)) - plain)
    # One label among 5 at a random rank has a standard deviation of 0.29 of 1/rank: the mean over
    # 200 clips has 0.02, a difference of two 0.029, the mean of eight 0.01.
    assert abs(np.mean(nested)) < 3 * 0.01
    assert np.mean(naive) > 3 * 0.01


def test_one_fold_is_too_few_and_scores_below_0_have_no_mean():
    members, truth = planted(1.0, 1.5)
    with pytest.raises(UsageError, match=r"at least 2 folds.*these runs have 1"):
        blend_runs(named(members), untested(members), truth, FOLDS * 0, single=False)
    members[1] = members[1] - 1
    with pytest.raises(UsageError, match="scores below 0 have no geometric mean: run 1"):
        blend_runs(named(members), untested(members), truth, FOLDS, single=False)
