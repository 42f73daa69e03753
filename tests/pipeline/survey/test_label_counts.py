"""Label counts in closed form, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MultiLabelBinarizer

from pipeline.survey.label_counts import co_occurrences, label_matrix, label_sets

CLASSES = ("Bark", "Meow", "Purr")
LABELS = [("Bark",), ("Meow", "Purr"), ("Purr", "Meow"), ("Bark", "Meow", "Purr"), ()]


def test_sets_do_not_depend_on_order_and_clips_without_labels_have_none():
    assert label_sets(LABELS) == {("Bark",): 1, ("Meow", "Purr"): 2, ("Bark", "Meow", "Purr"): 1}


def test_co_occurrences():
    expected = [[2, 1, 1], [1, 3, 3], [1, 3, 3]]
    assert co_occurrences(label_matrix(LABELS, CLASSES)).tolist() == expected


@given(st.lists(st.sets(st.sampled_from(CLASSES)).map(sorted), min_size=1))
def test_the_matrix_is_scikit_learns(labels):
    expected = MultiLabelBinarizer(classes=CLASSES).fit_transform(labels)
    assert np.array_equal(label_matrix(labels, CLASSES), expected)


def test_an_unknown_label_is_an_error():
    with pytest.raises(KeyError, match="Hiss"):
        label_matrix([("Hiss",)], CLASSES)
