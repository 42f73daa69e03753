import numpy as np
import pytest

from pipeline.tagging.text import score_bar, top_classes


def test_top_classes_are_in_order_and_ties_keep_theirs():
    scores = np.array([0.2, 0.9, 0.2, 0.5], np.float32)
    assert top_classes(scores, top=3, min_score=0) == [1, 3, 0]
    assert top_classes(scores, top=9, min_score=0.5) == [1, 3]
    assert top_classes(scores, top=2, min_score=0.95) == []


@pytest.mark.parametrize(("score", "bar"), [
    (0, " " * 8), (1, "█" * 8), (0.5, "████    "), (1 / 64, "▏       "), (7.5, "█" * 8),
    (-1, " " * 8),
])
def test_bars(score, bar):
    assert score_bar(score) == bar


def test_bars_where_blocks_cannot_be_printed():
    assert score_bar(0.5, "ascii") == "####    "
