"""Folds of clips, and what is fitted without them."""

import numpy as np
import pytest

from pipeline.dataset.tables import Label
from pipeline.ensembling import cross_validation
from pipeline.runtime.errors import UsageError

FOLDS = np.array([2, 0, 2, 5, 0])


def test_folds_come_from_the_labels_and_a_clip_without_one_is_named():
    labels = {c: Label(c, ("A",), "curated", fold, "")
              for c, fold in (("a", 0), ("b", 3), ("c", None))}
    assert cross_validation.folds_of(labels, ["b", "a"]).tolist() == [3, 0]
    with pytest.raises(UsageError, match=r"no fold for .*: c\. If prepare was run again"):
        cross_validation.folds_of(labels, ["a", "c"])


def test_each_clip_is_scored_by_what_was_fitted_on_all_other_folds():
    values = np.array([1.0, 2, 4, 8, 16])

    def total_of_the_fit(fitted, out):
        assert not (fitted & out).any()
        assert (fitted | out).all()
        return np.full((out.sum(), 2), values[fitted].sum())

    found = cross_validation.nested(total_of_the_fit, 2, FOLDS, least=3, method="adding")
    np.testing.assert_array_equal(found, np.repeat([26.0, 13, 26, 23, 13], 2).reshape(5, 2))


def test_too_few_folds_are_said_before_anything_is_fitted():
    with pytest.raises(UsageError, match=r"adding needs at least 4 folds .*these runs have 3"):
        cross_validation.nested(pytest.fail, 2, FOLDS, least=4, method="adding")
    assert cross_validation.fold_numbers(FOLDS, least=3, method="adding") == [0, 2, 5]
