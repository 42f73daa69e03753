"""Reliability: by hand, then scikit-learn, then what calibrated scores must give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import calibration_curve

from pipeline.diagnostics.calibration import is_probability, reliability

ROUNDING = 1e-12


def bins_of(truth, scores, **options):
    options = {"single": False, "rng": np.random.default_rng(0), "n_resamples": 50, **options}
    return reliability(truth, scores, **options)


def test_decisions_of_several_labels_by_hand():
    result = bins_of([[1, 0], [1, 1]], [[0.9, 0.1], [0.7, 0.0]], n_bins=2)
    assert result.edges.tolist() == [0, 0.5, 1]
    assert result.count.tolist() == [2, 2]
    np.testing.assert_allclose(result.score, [0.05, 0.8])
    np.testing.assert_allclose(result.share, [0.5, 1])
    assert result.error == pytest.approx((0.45 + 0.2) / 2)


def test_one_label_per_clip_counts_the_top_class_alone():
    truth, scores = [[1, 0, 0], [0, 1, 0]], [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1]]
    result = bins_of(truth, scores, single=True)
    assert result.count.tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 0, 0]
    assert result.share[7] == 1
    assert result.share[5] == 0
    assert np.isnan(result.share[0])
    assert np.isnan(result.interval[0]).all()
    assert result.error == pytest.approx((0.2 + 0.6) / 2)


def test_a_bin_has_its_upper_edge():
    result = bins_of([[1, 0, 0]], [[0.0, 0.5, 1.0]], n_bins=2)
    assert result.count.tolist() == [2, 1]


@given(hnp.arrays(np.float64, (30, 3), elements=st.floats(0, 1)), st.integers(0, 2**32 - 1))
def test_shares_and_scores_are_scikit_learns(scores, seed):
    truth = np.random.default_rng(seed).random(scores.shape) < 0.4
    truth[0, 0] = True
    result = bins_of(truth, scores, n_resamples=1)
    share, mean = calibration_curve(truth.ravel(), scores.ravel(), n_bins=10, strategy="uniform")
    filled = result.count > 0
    np.testing.assert_allclose(result.share[filled], share, atol=ROUNDING)
    np.testing.assert_allclose(result.score[filled], mean, atol=ROUNDING)
    weights = result.count[filled] / scores.size
    assert result.error == pytest.approx(np.sum(weights * abs(share - mean)), abs=ROUNDING)


def test_scores_that_are_calibrated_have_no_error_and_intervals_that_say_so():
    rng = np.random.default_rng(1)
    scores = rng.random((4000, 4))
    result = bins_of(rng.random(scores.shape) < scores, scores, n_resamples=200)
    # 1,600 decisions per bin: a standard error of at most 0.0125.
    assert result.error < 0.0125
    low, high = result.interval.T
    assert np.mean((low <= result.score) & (result.score <= high)) >= 0.8
    binomial = 1.96 * np.sqrt(result.score * (1 - result.score) / result.count)
    # 200 resamples: the ends have a standard error of about 10 % of the width.
    np.testing.assert_allclose((high - low) / 2, binomial, rtol=0.35)


def test_the_interval_is_over_clips():
    # Ten clips whose hundred decisions are all right or all wrong: clips are the sample.
    truth = np.repeat(np.arange(10)[:, np.newaxis] % 2, 100, axis=1)
    low, high = bins_of(truth, np.full(truth.shape, 0.55), n_resamples=400).interval[5]
    assert low <= 0.3
    assert high >= 0.7


def test_scores_that_are_no_probabilities_are_refused():
    assert is_probability([[0.0, 1.0]])
    for scores in ([[0.5, 1.5]], [[-0.1, 0.5]]):
        assert not is_probability(scores)
        with pytest.raises(ValueError, match="needs 0 to 1"):
            bins_of([[1, 0]], scores)
