from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tagging.windows import has_timeline, stretches, window_starts

lengths = st.floats(0.01, 1000)


@given(seconds=lengths, window=st.floats(0.05, 20), hop=st.floats(0.05, 20))
def test_windows_reach_from_begin_to_end_a_hop_apart(seconds, window, hop):
    starts = window_starts(seconds, window, hop)
    assert starts[0] == 0
    assert starts[-1] == pytest.approx(max(0, seconds - window), abs=1e-5)
    if seconds <= window + 1e-6:
        assert len(starts) == 1
        return
    steps = np.diff(starts)
    np.testing.assert_allclose(steps[:-1], hop)
    assert 0 < steps[-1] <= hop + 1e-5


def test_a_file_hardly_longer_than_a_window_has_one():
    assert len(window_starts(np.nextafter(0.05, 1), 0.05, 1.0)) == 1
    assert len(window_starts(0.05 + 2e-6, 0.05, 20.0)) == 2


def test_windows_by_hand():
    np.testing.assert_allclose(window_starts(6.0, 2.0, 2.0), [0, 2, 4])
    np.testing.assert_allclose(window_starts(6.5, 2.0, 2.0), [0, 2, 4, 4.5])
    np.testing.assert_allclose(window_starts(0.1, 2.0, 1.0), [0])
    # 3 * 0.1 is not 0.3: no window twice for rounding.
    assert len(window_starts(0.5, 0.2, 0.1)) == 4


def test_who_gets_a_time_line():
    assert [has_timeline(s, 2.0, mode="auto") for s in (1, 8, 8.1)] == [False, False, True]
    assert has_timeline(0.1, 2.0, mode="always")
    assert not has_timeline(1e6, 2.0, mode="never")


def test_neighbours_with_the_same_tag_are_one_stretch():
    scores = np.array([[.9, .1], [.7, .2], [.3, .2], [.1, .8], [.6, .2]])
    found = stretches(np.arange(5.0), 2.0, 6.0, scores, min_score=0.5)
    assert [(s.start, s.end, s.tag) for s in found] == [
        (0, 2.5, 0), (2.5, 3.5, None), (3.5, 4.5, 1), (4.5, 6, 0)]
    assert [s.score for s in found] == pytest.approx([0.8, 0.3, 0.8, 0.6])


def test_one_window_is_one_stretch_as_long_as_the_file():
    (found,) = stretches(np.zeros(1), 2.0, 0.7, np.array([[.2, .4]]), min_score=0)
    assert (found.start, found.end, found.tag, found.score) == (0, 0.7, 1, pytest.approx(0.4))


@given(data=st.data(), n=st.integers(1, 30), n_classes=st.integers(1, 4), least=st.floats(0, 1))
def test_stretches_cover_the_file_without_gaps_and_differ_from_their_neighbours(
    data, n, n_classes, least
):
    values = st.floats(0, 1, width=32)
    scores = np.array(data.draw(st.lists(
        st.lists(values, min_size=n_classes, max_size=n_classes), min_size=n, max_size=n,
    )))
    seconds = 2.0 + 0.5 * (n - 1)
    found = stretches(window_starts(seconds, 2.0, 0.5), 2.0, seconds, scores, min_score=least)
    assert found[0].start == 0
    assert found[-1].end == seconds
    for a, b in pairwise(found):
        assert a.start < a.end == b.start < b.end
        assert a.tag != b.tag
    # Each window's middle lies in a stretch of its top tag.
    for start, row in zip(np.arange(n) * 0.5, scores, strict=True):
        (here,) = [s for s in found if s.start <= start + 1 < s.end]
        assert here.tag == (int(row.argmax()) if row.max() >= least else None)
