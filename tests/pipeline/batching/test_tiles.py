"""Tiles and crops of clips' sound, against what can be counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batching.batches import cut, equal_length_parts
from pipeline.batching.crops import Crops, covering_crops, random_crops
from pipeline.batching.source import CropSource
from pipeline.batching.tiles import Tiling


@st.composite
def clips(draw):
    """Lengths and bounds of the sound of some clips."""
    lengths = draw(st.lists(st.integers(1, 120), min_size=1, max_size=8))
    bounds = [sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2))) for n in lengths]
    return np.array(lengths), np.array(bounds)


def region(length, sound):
    """What crops are to hold: the sound, or all of a clip without any."""
    return (int(sound[0]), int(sound[1])) if sound[0] < sound[1] else (0, int(length))


@given(clips(), st.integers(1, 60), st.integers(0, 99))
def test_random_crops_hold_the_sound_or_lie_in_it(drawn, n, seed):
    lengths, sound = drawn
    rows = np.repeat(np.arange(len(lengths)), 5)
    crops = random_crops(lengths, rows, n, np.random.default_rng(seed), sound)
    for row, first in zip(rows.tolist(), crops.first.tolist(), strict=True):
        begin, end = region(lengths[row], sound[row])
        if end - begin >= n:
            assert begin <= first <= end - n
        else:
            assert first <= begin
            assert first + n >= end
        # No more of the crop lies outside of the clip than must.
        assert min(0, lengths[row] - n) <= first <= max(0, lengths[row] - n)


def test_a_short_sound_lies_anywhere_in_its_crop():
    rows = np.zeros(4000, np.int64)
    crops = random_crops(np.array([100]), rows, 10, np.random.default_rng(0),
                         np.array([[50, 57]]))
    starts, counts = np.unique(crops.first, return_counts=True)
    assert starts.tolist() == [47, 48, 49, 50]
    assert np.abs(counts - 1000).max() < 6 * np.sqrt(4000 * 3 / 16)


def test_without_bounds_nothing_changes():
    lengths, rows = np.array([40, 7, 12]), np.array([2, 0, 1, 0])
    for n in (5, 11):
        whole = np.stack([np.zeros(3, np.int64), lengths], axis=1)
        a, b = (random_crops(lengths, rows, n, np.random.default_rng(1), sound)
                for sound in (None, whole))
        assert a.first.tolist() == b.first.tolist()
        # As drawn before crops had lengths of their own.
        spare = lengths[rows] - n
        wanted = np.random.default_rng(1).integers(np.minimum(spare, 0), np.maximum(spare, 0),
                                                   endpoint=True)
        assert a.first.tolist() == wanted.tolist()


@given(clips(), st.integers(1, 60), st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_tiles_cover_the_sound_and_overlap(drawn, n, overlap):
    lengths, sound = drawn
    tiles = Tiling(n, n, overlap, sound_only=True).crops(lengths, sound=sound)
    for row, length in enumerate(lengths.tolist()):
        first = tiles.first[tiles.row == row]
        begin, end = region(length, sound[row])
        assert first[0] <= begin
        assert first[-1] + n >= end
        assert min(0, length - n) <= first.min()
        assert first.max() <= max(0, length - n)
        if end - begin >= n:
            assert first[0] == begin
            assert first[-1] + n == end
            hop = max(1, round(n * (1 - overlap)))
            gaps = np.diff(first)
            assert len(first) == 1 + -(-(end - begin - n) // hop)
            assert gaps.max(initial=0) <= hop
            assert np.ptp(gaps) <= 1 if len(gaps) else True
        else:
            assert len(first) == 1


@given(clips(), st.integers(1, 60), st.integers(0, 60))
def test_a_whole_clip_is_one_tile_up_to_a_limit(drawn, least, more):
    lengths, _ = drawn
    most = least + more
    tiles = Tiling(least, most).crops(lengths)
    for row, length in enumerate(lengths.tolist()):
        mine = tiles[np.flatnonzero(tiles.row == row)]
        if length <= most:
            assert mine.n_frames.tolist() == [max(length, least)]
            assert mine.first.tolist() == [min(0, (length - least) // 2)]
        else:
            assert mine.n_frames.tolist() == [most] * -(-length // most)


def test_the_sound_cannot_be_covered_without_its_bounds():
    with pytest.raises(ValueError, match="bounds of the sound"):
        Tiling(3, 3, sound_only=True).crops(np.array([5]))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 8), st.integers(1, 9))
def test_batches_have_crops_of_one_length_and_no_more_frames_than_they_may(lengths, size, usual):
    n = np.array(lengths)
    crops = Crops(np.arange(len(n)), np.zeros(len(n), np.int64), n)
    parts = equal_length_parts(crops, size, usual)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(n)))
    for part in parts:
        assert len(set(n[part].tolist())) == 1
        assert len(part) <= size
        assert len(part) == 1 or n[part].sum() <= size * usual or n[part[0]] <= usual


def test_crops_of_different_lengths_are_no_batch():
    source = CropSource(("a",), np.arange(9, dtype=np.float32), np.array([0]), np.array([9]), 3,
                        1.0, None, in_memory=True)
    crops = covering_crops(np.array([9, 9]), np.array([0, 0]), np.array([9, 3]))
    assert cut(source, crops[:1]).tolist() == [list(range(9))]
    with pytest.raises(ValueError, match="crops of 2 lengths"):
        cut(source, crops)
