import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_predict

from pipeline.ensembling import stacking
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import UsageError
from pipeline.scoring.evaluation import paired_gain
from pipeline.scoring.metrics import lwlrap

CLIPS, N_CLASSES, N_FOLDS = 300, 8, 5
FOLDS = np.arange(CLIPS) % N_FOLDS


def noise(n_runs, seed):
    """Labels that have nothing to do with the scores, nor a clip's with another's.

    (Were every class exactly as frequent, one that is rare in four folds would be frequent in the
    fifth, and a prediction from the four worse than chance.)
    """
    rng = np.random.default_rng(seed)
    truth = np.eye(N_CLASSES, dtype=bool)[rng.integers(N_CLASSES, size=CLIPS)]
    return [rng.random((CLIPS, N_CLASSES)) for _ in range(n_runs)], truth


def planted(seed=0):
    """Two runs, each right about its half of the classes and confused about the other."""
    rng = np.random.default_rng(seed)
    truth = rng.random((CLIPS, N_CLASSES)) < 0.25
    truth[~truth.any(axis=1), 0] = True
    noisy = [truth + rng.normal(0, 0.4, truth.shape) for _ in range(2)]
    half = N_CLASSES // 2
    noisy[0][:, :half] = rng.normal(0.5, 1, (CLIPS, half))
    noisy[1][:, half:] = rng.normal(0.5, 1, (CLIPS, half))
    return [1 / (1 + np.exp(3 - 6 * n)) for n in noisy], truth


def test_a_ridge_is_scikit_learns_at_the_alpha_of_its_grid_search():
    (x, _), truth = planted()
    y = truth[:, [3]].astype(float)
    split = PredefinedSplit(FOLDS)
    search = GridSearchCV(Ridge(), {"alpha": stacking.ALPHAS}, cv=split,
                          scoring="neg_mean_squared_error").fit(x, y)
    ridge, cross_fitted = stacking.fit_ridge(x, y, FOLDS)
    assert ridge.alphas == pytest.approx([search.best_params_["alpha"]])
    best = search.best_estimator_
    np.testing.assert_allclose(ridge.coefficients[:, 0], np.ravel(best.coef_), rtol=1e-8)
    np.testing.assert_allclose(ridge.intercept, best.intercept_, rtol=1e-8)
    np.testing.assert_allclose(
        cross_fitted, cross_val_predict(best, x, y, cv=split).reshape(y.shape), rtol=1e-8
    )


def test_every_target_has_its_own_alpha_and_fit():
    (x, _), truth = planted()
    together, cross_fitted = stacking.fit_ridge(x, truth, FOLDS)
    assert len(set(together.alphas)) > 1
    for k in range(N_CLASSES):
        alone, one = stacking.fit_ridge(x, truth[:, [k]], FOLDS)
        np.testing.assert_allclose(together.coefficients[:, k], alone.coefficients[:, 0])
        np.testing.assert_allclose(cross_fitted[:, [k]], one)


def test_a_class_that_no_clip_has_is_predicted_as_never():
    members, truth = planted()
    truth[:, 2] = False
    np.testing.assert_allclose(stacking.nested(members, truth, FOLDS)[:, 2], 0, atol=1e-12)


def test_a_folds_predictions_owe_nothing_to_its_labels():
    members, truth = planted()
    changed = truth.copy()
    changed[FOLDS == 2] = ~changed[FOLDS == 2]
    before = stacking.nested(members, truth, FOLDS)
    after = stacking.nested(members, changed, FOLDS)
    np.testing.assert_array_equal(after[FOLDS == 2], before[FOLDS == 2])
    assert not np.allclose(after[FOLDS != 2], before[FOLDS != 2])


def test_stacking_gains_where_runs_are_good_at_different_classes():
    members, truth = planted()
    plain = np.exp(np.mean(np.log(members), axis=0))
    gain, low, _ = paired_gain(truth, stacking.nested(members, truth, FOLDS), plain,
                               seed=0, resamples=100)
    assert gain > 0.05
    assert low > 0


def test_stacking_learns_from_classes_that_occur_together():
    rng = np.random.default_rng(1)
    truth = rng.random((CLIPS, 4)) < 0.4
    truth[:, 0] = truth[:, 1]
    run = np.clip(truth + rng.normal(0, 0.3, truth.shape), 0, 1)
    run[:, 0] = rng.random(CLIPS)  # the run knows nothing of class 0, and class 1 tells all
    ridge, _ = stacking.fit_ridge(run, truth, FOLDS)
    assert ridge.coefficients[1, 0] > 0.5
    assert abs(ridge.coefficients[0, 0]) < 0.1


def test_on_noise_the_nested_gain_is_nothing_and_the_naive_one_is_not():
    nested, naive = [], []
    for seed in range(8):
        members, truth = noise(3, seed)
        plain = lwlrap(truth, np.exp(np.mean(np.log(members), axis=0)))
        nested.append(lwlrap(truth, stacking.nested(members, truth, FOLDS)) - plain)
        in_sample = stacking.fit(members, truth, FOLDS).predict(members)
        naive.append(lwlrap(truth, in_sample) - plain)
    # The lwlrap of one label among 8 at a random rank has a standard deviation of 0.29: the mean
    # over 300 clips has 0.017, a difference of two 0.024, the mean of eight 0.0085.
    assert abs(np.mean(nested)) < 3 * 0.0085
    assert np.mean(naive) > 3 * 0.0085


def test_two_folds_are_too_few():
    members, truth = planted()
    with pytest.raises(UsageError, match=r"at least 3 folds.*these runs have 2"):
        stacking.nested(members, truth, FOLDS % 2)


def test_test_clips_are_stacked_by_name_whatever_the_order_of_clips_and_classes():
    members, truth = planted()
    clips = tuple(f"{k:03}" for k in range(CLIPS))
    classes = tuple("ABCDEFGH")
    oofs = [Scores(clips, classes, m.astype(np.float32)) for m in members]
    rng = np.random.default_rng(3)
    fold = [[rng.random((5, N_CLASSES), dtype=np.float32) for _ in range(3)] for _ in range(2)]
    tests = [[Scores(tuple("vwxyz"), classes, v) for v in run] for run in fold]
    tests[1] = [Scores(tuple("zyxwv"), classes[::-1], v[::-1, ::-1]) for v in fold[1]]

    oof, test = stacking.stack_runs(oofs, list(zip("ab", tests, strict=True)), truth, FOLDS)
    np.testing.assert_array_equal(
        oof.values, stacking.nested([s.values for s in oofs], truth, FOLDS).astype(np.float32)
    )
    stack = stacking.fit([s.values for s in oofs], truth, FOLDS)
    each_fold = [stack.predict([fold[0][k], fold[1][k]]) for k in range(3)]
    assert (test.clip_ids, test.classes) == (tuple("vwxyz"), classes)
    np.testing.assert_allclose(test.values, np.mean(each_fold, axis=0), atol=1e-6)

    assert stacking.stack_runs(oofs, [("a", []), ("b", [])], truth, FOLDS)[1] is None
