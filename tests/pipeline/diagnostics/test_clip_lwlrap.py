import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import label_ranking_average_precision_score

from pipeline.diagnostics.clip_lwlrap import clip_lwlrap, worst
from pipeline.scoring.metrics import lwlrap

ROUNDING = 1e-12


def test_clips_by_hand():
    truth = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]]
    scores = [[0.9, 0.5, 0.1]] * 4
    per_clip, n_labels = clip_lwlrap(truth, scores)
    np.testing.assert_allclose(per_clip, [1, (1 / 2 + 2 / 3) / 2, np.nan, 1 / 3])
    assert n_labels.tolist() == [1, 2, 0, 1]
    assert worst(per_clip, 2).tolist() == [3, 1]
    assert worst(per_clip, 9).tolist() == [3, 1, 0]


@given(hnp.arrays(np.float64, (9, 4), elements=st.integers(0, 3).map(float)),
       hnp.arrays(bool, (9, 4)))
def test_weighted_by_labels_the_mean_is_lwlrap(scores, truth):
    truth[3, 2] = True
    per_clip, n_labels = clip_lwlrap(truth, scores)
    np.testing.assert_allclose(np.nansum(per_clip * n_labels) / n_labels.sum(),
                               lwlrap(truth, scores), rtol=ROUNDING)
    for row in np.flatnonzero(n_labels):
        one = label_ranking_average_precision_score(truth[[row]], scores[[row]])
        np.testing.assert_allclose(per_clip[row], one, rtol=ROUNDING)
