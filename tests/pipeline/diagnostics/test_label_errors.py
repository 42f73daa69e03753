"""Confident learning: by hand, then a plain loop, then cleanlab's answers, then a known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.diagnostics.label_errors import find_label_errors

probabilities = st.floats(0, 1, width=32)


def test_several_labels_by_hand():
    truth = [[1, 0], [1, 0], [0, 1], [0, 1]]
    scores = [[0.9, 0.2], [0.1, 0.8], [0.1, 0.8], [0.2, 0.7]]
    # Thresholds for yes: 0.5 and 0.75; for no: 0.85 and 0.5.
    result = find_label_errors(truth, scores, single=False)
    assert result.wrong.tolist() == [[False] * 2, [True, False], [False] * 2, [False] * 2]
    assert result.missing.tolist() == [[False] * 2, [False, True], [False] * 2, [False] * 2]
    assert result.suggested.tolist() == [[True, False], [False, True], [False, True],
                                         [False, True]]
    np.testing.assert_allclose(result.confidence, [0.8, 0.1, 0.8, 0.7])
    assert result.ranked.tolist() == [1]


def test_one_label_by_hand():
    truth = np.eye(3)[[0, 0, 1, 1, 2]]
    scores = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.4, 0.5, 0.1], [0.2, 0.2, 0.6]]
    # Thresholds: 0.45, 0.6, 0.6. The fourth clip is below all of them.
    result = find_label_errors(truth, scores, single=True)
    assert np.argwhere(result.wrong).tolist() == [[1, 0]]
    assert np.argwhere(result.missing).tolist() == [[1, 1]]
    assert result.suggested[1].tolist() == [False, True, False]
    np.testing.assert_allclose(result.confidence, [0.8, 0.1, 0.7, 0.5, 0.6])
    assert result.ranked.tolist() == [1]


def test_without_a_likely_label_the_suggestion_is_the_most_confident_class_or_none():
    truth = np.array([[1, 0, 0]] * 3 + [[0, 1, 0]] * 2 + [[1, 0, 0]] * 2, bool)
    scores = [[0.9, 0.1, 0.0]] * 3 + [[0.1, 0.4, 0.0]] * 2 + [[0.01, 0.45, 0.0], [0.01, 0.05, 0.0]]
    result = find_label_errors(truth, scores, single=False)
    assert result.ranked.tolist() == [5, 6]
    assert not result.missing.any()
    assert result.suggested[5].tolist() == [False, True, False]
    assert not result.suggested[6].any()


def loop(truth, scores):
    """The definition for several labels, clip by clip and class by class."""
    wrong, missing = np.zeros(truth.shape, bool), np.zeros(truth.shape, bool)
    for k in range(truth.shape[1]):
        p, given = scores[:, k].astype(float), truth[:, k]
        yes = p[given].mean() if given.any() else np.inf
        no = (1 - p[~given]).mean() if not given.all() else np.inf
        for i in range(len(p)):
            confident = [answer for answer, sure in ((1, p[i] >= yes), (0, 1 - p[i] >= no)) if sure]
            if len(confident) == 2:
                confident = [int(p[i] > 0.5)]
            likelier = int(p[i] > 0.5)
            if confident and confident[0] != given[i] and likelier != given[i]:
                (wrong if given[i] else missing)[i, k] = True
    return wrong, missing


@given(hnp.arrays(np.float32, (12, 3), elements=probabilities), hnp.arrays(bool, (12, 3)))
def test_several_labels_are_what_the_definition_says(scores, truth):
    truth[0, 0] = True
    result = find_label_errors(truth, scores, single=False)
    wrong, missing = loop(truth, scores)
    np.testing.assert_array_equal(result.missing, missing)
    np.testing.assert_array_equal(result.wrong, wrong)


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"from -0.5 to 1.5; needs 0 to 1"):
        find_label_errors([[1, 0]], [[1.5, -0.5]], single=False)


def corrupted(*, single, n=120, k=5):
    """Labels of which a fifth of the clips have wrong ones, scores, and the true labels."""
    rng = np.random.default_rng(7)
    heard = np.eye(k, dtype=bool)[rng.integers(k, size=n)]
    if not single:
        heard |= rng.random(heard.shape) < 0.15
    z = rng.normal(size=heard.shape) + 3 * heard - 1.5
    given = heard.copy()
    bad = rng.choice(n, n // 5, replace=False)
    given[bad] = np.roll(heard[bad], 1, axis=1)
    scores = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) if single else 1 / (1 + np.exp(-z))
    return given, scores, heard


# What cleanlab 2.9.0 finds in `corrupted` with filter_by="confident_learning":
# multilabel_classification.filter.find_multilabel_issues_per_class and filter.find_label_issues.
CLEANLAB = [
    (3, 1), (9, 1), (14, 3), (16, 1), (25, 3), (29, 1), (29, 3), (29, 4), (32, 3), (36, 3), (40, 1),
    (40, 2), (42, 3), (48, 2), (48, 3), (50, 0), (50, 1), (50, 3), (57, 3), (61, 3), (62, 0),
    (74, 1), (74, 3), (80, 3), (86, 4), (90, 3), (92, 3), (95, 1), (95, 3), (99, 0), (99, 2),
    (99, 4), (101, 3), (105, 0), (105, 1), (109, 1), (111, 0), (111, 1), (111, 3), (119, 2),
    (119, 4),
]
CLEANLAB_SINGLE = [0, 1, 7, 8, 27, 44, 57, 65, 84, 86, 90, 96, 98, 107, 110, 112]


def test_cleanlab_finds_the_same():
    given, scores, _ = corrupted(single=False)
    result = find_label_errors(given, scores, single=False)
    found = np.argwhere(result.wrong | result.missing)
    assert [tuple(row) for row in found.tolist()] == CLEANLAB
    given, scores, _ = corrupted(single=True)
    result = find_label_errors(given, scores, single=True)
    assert sorted(result.ranked.tolist()) == CLEANLAB_SINGLE


@pytest.mark.parametrize("single", [True, False])
def test_what_is_found_is_mostly_wrong(single):
    given, scores, heard = corrupted(single=single, n=1000)
    bad = (given != heard).any(axis=1)
    assert 0.15 < bad.mean() <= 0.2
    result = find_label_errors(given, scores, single=single)
    assert bad[result.ranked[:50]].mean() >= 0.9
    assert bad[result.ranked].mean() >= 0.6
    right = (result.suggested == heard).all(axis=1)
    assert right[result.ranked[:50]].mean() >= 0.6


@pytest.mark.slow
def test_wrong_labels_of_the_demo_are_found():
    """Real sounds: a regression on curated clips of the demo ranks its noisy clips."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from features.logmel import LogMel
    from pipeline.synthesis.dataset import classes, draw_split, file_names

    def clips(split, kind, names):
        drawn = list(draw_split(split, names, 1, kind=kind))
        logmel = [LogMel(n_mels=40)(clip.y) for clip in drawn]
        return (np.array([np.r_[f.mean(axis=0), f.std(axis=0)] for f in logmel]),
                np.array([[c in clip.labels for c in classes()] for clip in drawn]),
                np.array([[c in clip.sounds for c in classes()] for clip in drawn]))

    curated, noisy = file_names([84, 96], 1)
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(C=0.02)))
    values, given, heard = clips(0, "curated", curated)
    assert (given == heard).all()
    model.fit(values, given)
    values, given, heard = clips(1, "noisy", noisy)
    bad = (given != heard).any(axis=1)
    assert 0.4 < bad.mean() < 0.6
    result = find_label_errors(given, model.predict_proba(values), single=False)
    # By chance, 16 of 20 or more have a probability below 0.02.
    assert bad[result.ranked[:20]].mean() >= 0.8
    assert bad[result.ranked].mean() >= bad.mean() + 0.15
