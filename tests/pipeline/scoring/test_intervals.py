"""Bootstrap intervals: a loop over resamples, then the normal approximation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.scoring import intervals, metrics

# Float64 sums of at most a few thousand terms of at most 1, in another order.
ROUNDING = 1e-12


def sixty_clips():
    """A label or two per clip, scores that are better than chance; no clip has the last class."""
    rng = np.random.default_rng(0)
    truth = rng.random((60, 12)) < 0.1
    truth[:, -1] = False
    return truth, rng.random(truth.shape) + 0.5 * truth


def test_bootstrap_is_resampling_clips(monkeypatch):
    truth, scores = sixty_clips()
    monkeypatch.setattr(intervals, "BLOCK", 7)
    overall, per_class = intervals.bootstrap_lwlrap(
        truth, scores, rng=np.random.default_rng(3), n_resamples=50, level=0.9
    )
    labelled = truth.any(axis=1)
    assert not labelled.all()
    truth, scores = truth[labelled], scores[labelled]
    rng = np.random.default_rng(3)
    whole, classes = [], []
    for _ in range(50):
        drawn = rng.integers(len(truth), size=len(truth))
        whole.append(metrics.lwlrap(truth[drawn], scores[drawn]))
        classes.append(metrics.per_class_lwlrap(truth[drawn], scores[drawn])[0])
    np.testing.assert_allclose(overall, np.quantile(whole, [0.05, 0.95]), atol=ROUNDING)
    present = truth.any(axis=0)
    expected = np.nanquantile(np.array(classes)[:, present], [0.05, 0.95], axis=0).T
    np.testing.assert_allclose(per_class[present], expected, atol=ROUNDING)
    assert not present.all()
    assert np.isnan(per_class[~present]).all()


def test_bootstrap_of_a_mean_has_the_normal_width():
    # One label a clip, right or last of four: a mean of 1 and 1/4.
    rng = np.random.default_rng(0)
    right = rng.random(2000) < 0.6
    truth = np.tile([1, 0, 0, 0], (2000, 1))
    scores = np.where(right[:, None], [4, 3, 2, 1], [0, 3, 2, 1])
    overall, _ = intervals.bootstrap_lwlrap(truth, scores, rng=rng, n_resamples=2000, level=0.95)
    precision = np.where(right, 1, 1 / 4)
    half = 1.96 * precision.std() / math.sqrt(2000)
    # The 2.5 % quantile of 2000 normal draws has a standard error of 0.06 sigma, 3 % of 1.96.
    np.testing.assert_allclose(overall, precision.mean() + np.array([-half, half]), atol=0.1 * half)


def test_bootstrap_where_nothing_varies():
    truth = np.eye(3, dtype=int)[[0, 1, 0, 1]]
    overall, per_class = intervals.bootstrap_lwlrap(
        truth, truth, rng=np.random.default_rng(0), n_resamples=20, level=0.5
    )
    assert overall.tolist() == [1, 1]
    np.testing.assert_array_equal(per_class, [[1, 1], [1, 1], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("errors", "message"),
    [({"level": 95}, "level is 95"), ({"level": 0}, "level is 0"),
     ({"n_resamples": 0}, "n_resamples is 0")],
)
def test_bootstrap_refuses(errors, message):
    settings = {"rng": np.random.default_rng(0), "n_resamples": 10, "level": 0.95} | errors
    with pytest.raises(ValueError, match=message):
        intervals.bootstrap_lwlrap([[1, 0]], [[1, 0]], **settings)


def test_arguments_are_left_as_they_were():
    truth, scores = sixty_clips()
    before = truth.copy(), scores.copy()
    intervals.bootstrap_lwlrap(
        truth, scores, rng=np.random.default_rng(0), n_resamples=3, level=0.9
    )
    np.testing.assert_array_equal(truth, before[0])
    np.testing.assert_array_equal(scores, before[1])


def test_a_gain_is_of_the_same_resamples(monkeypatch):
    truth, new = sixty_clips()
    old = [new[::-1].copy(), new * 0.5 + np.random.default_rng(9).random(new.shape)]
    monkeypatch.setattr(intervals, "BLOCK", 7)
    overall, per_class = intervals.bootstrap_gain(
        truth, new, old, rng=np.random.default_rng(3), n_resamples=50, level=0.9
    )
    labelled = truth.any(axis=1)
    truth, new, *old = (array[labelled] for array in (truth, new, *old))
    rng = np.random.default_rng(3)

    def gains(rows):
        whole = [metrics.lwlrap(truth[rows], each[rows]) for each in (new, *old)]
        classes = [metrics.per_class_lwlrap(truth[rows], each[rows])[0] for each in (new, *old)]
        return whole[0] - np.mean(whole[1:]), classes[0] - np.mean(classes[1:], axis=0)

    drawn = [gains(rng.integers(len(truth), size=len(truth))) for _ in range(50)]
    expected, classes = gains(slice(None))
    np.testing.assert_allclose(
        overall, [expected, *np.quantile([g for g, _ in drawn], [0.05, 0.95])], atol=ROUNDING)
    present = truth.any(axis=0)
    np.testing.assert_allclose(per_class[:, 0], classes, atol=ROUNDING)
    ends = np.nanquantile(np.array([g for _, g in drawn])[:, present], [0.05, 0.95], axis=0).T
    np.testing.assert_allclose(per_class[present, 1:], ends, atol=ROUNDING)
    assert np.isnan(per_class[~present]).all()
