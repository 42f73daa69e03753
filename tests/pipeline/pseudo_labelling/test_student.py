"""A teacher's labels as a student reads them."""

import numpy as np
import pytest

from pipeline.pseudo_labelling.student import read_pseudo_labels
from pipeline.runs.scores import Scores, save
from pipeline.runtime.errors import UsageError

CLASSES = ("Bark", "Meow", "Rain")


def test_what_are_no_labels(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_pseudo_labels(tmp_path / "pseudo_labels.npz", CLASSES)
    path = tmp_path / "0.npz"
    save(path, Scores(("a",), ("Bark", "Hiss"), np.array([[1.5, -1]], np.float32)))
    with pytest.raises(UsageError) as caught:
        read_pseudo_labels(path, CLASSES)
    for part in ("Hiss", "least value is -1", "largest value is 1.5"):
        assert part in str(caught.value)
