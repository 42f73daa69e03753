"""Crops, padding and batches, against what can be written down by hand or with np.pad."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.logmel import LogMel
from features.mfcc import Mfcc
from pipeline.batching.batches import batch_slices, batches, cut
from pipeline.batching.crops import Crops, covering_crops, crop_frames, random_crops
from pipeline.batching.source import PADS, open_source
from pipeline.runtime import memory
from pipeline.runtime.errors import StoreError
from pipeline.store import open_store, write_store
from pipeline.store.schema import FeatureSpec

LENGTHS = (3, 10, 25, 11, 1, 40)
SPECTRAL = {"sr": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 16, "fmin": 0.0, "fmax": None}
SPECS = {
    "waveform": FeatureSpec("waveform", 1, "int16", 0, "full scale", {"sr": 8000}),
    "logmel": FeatureSpec("logmel", 1, "float32", 16, "dB", {**SPECTRAL, "top_db": 80.0}),
    "mfcc": FeatureSpec("mfcc", 1, "float16", 5, "dB",
                        {**SPECTRAL, "n_mfcc": 5, "top_db": 80.0}),
}


def make_store(folder, spec, arrays):
    """A sealed store of arrays, each a clip as it is to be stored."""
    frames = {f"{i}.wav": a for i, a in enumerate(arrays)}
    return open_store(write_store(folder / f"{spec.feature}.h5", spec, frames))


@pytest.fixture(scope="module", params=SPECS)
def store(request, tmp_path_factory):
    spec, rng = SPECS[request.param], np.random.default_rng(0)
    shape = (spec.width,) if spec.width else ()
    arrays = [(rng.normal(size=(n, *shape)) * 1000).astype(spec.dtype) for n in LENGTHS]
    return make_store(tmp_path_factory.mktemp("stores"), spec, arrays)


def source_of(store, *, n_frames=11, pad="silence", budget=1 << 30, ids=None):
    return open_source(store, ids or store.contents.clip_ids, n_frames=n_frames, pad=pad,
                       budget=budget)


# ---- which crops

lengths_and_size = st.tuples(
    st.lists(st.integers(1, 200), min_size=1, max_size=20), st.integers(1, 60)
)


@given(lengths_and_size, st.integers(0, 2**32 - 1))
def test_a_random_crop_lies_in_its_clip_or_holds_it(drawn, seed):
    lengths, n = np.array(drawn[0]), drawn[1]
    rows = np.arange(len(lengths))
    crops = random_crops(lengths, rows, n, np.random.default_rng(seed))
    assert (crops.row == rows).all()
    first, last = crops.first, crops.first + n
    long = lengths >= n
    assert ((first >= 0) & (last <= lengths))[long].all()
    assert ((first <= 0) & (last >= lengths))[~long].all()


def test_random_crops_begin_anywhere_and_as_often():
    lengths, rows = np.array([14, 8]), np.repeat([0, 1], 4000)
    crops = random_crops(lengths, rows, 10, np.random.default_rng(0))
    starts, counts = np.unique(crops.first[:4000], return_counts=True)
    assert starts.tolist() == [0, 1, 2, 3, 4]
    # 800 each, give or take 25 (binomial): six of these.
    assert np.abs(counts - 800).max() < 150
    assert np.unique(crops.first[4000:]).tolist() == [-2, -1, 0]


@given(lengths_and_size)
@example(([10, 11, 21], 10))
def test_covering_crops_are_the_fewest_that_cover_and_evenly_spaced(drawn):
    lengths, n = np.array(drawn[0]), drawn[1]
    crops = covering_crops(lengths, np.arange(len(lengths)), n)
    assert (np.diff(crops.row) >= 0).all()
    for row, length in enumerate(lengths.tolist()):
        first = crops.first[crops.row == row]
        assert len(first) == max(1, -(-length // n))
        if length <= n:
            before, after = -first[0], first[0] + n - length
            assert abs(before - after) <= 1
            continue
        assert first[0] == 0
        assert first[-1] + n == length
        gaps = np.diff(first)
        assert gaps.max() <= n
        assert gaps.max() - gaps.min() <= 1


def test_a_crop_has_the_frames_of_a_clip_of_its_length():
    config = {"sr": 44100, "n_fft": 2048, "hop_length": 512}
    assert crop_frames(FeatureSpec("mfcc", 1, "float32", 40, "dB", config), 2.0) == 173
    assert crop_frames(FeatureSpec("waveform", 1, "int16", 0, "", {"sr": 16000}), 2.0) == 32000
    assert crop_frames(FeatureSpec("waveform", 1, "int16", 0, "", {"sr": 1000}), 1e-6) == 1


# ---- what is in them


def expected(store, row, first, n, pad):
    """A crop by way of np.pad, from the store's own reader."""
    clip = store[store.contents.clip_ids[row]]
    before, after = max(0, -first), max(0, first + n - len(clip))
    widths = [(before, after)] + [(0, 0)] * (clip.ndim - 1)
    if pad == "repeat":
        return np.pad(clip, widths, mode="wrap")[first + before:][:n]
    padded = np.pad(clip, widths)
    stored = store.frames[store.start[row]:store.start[row] + store.length[row]]
    silence = store.spec.declaration.silent_frame(stored)
    padded[:before] = padded[before + len(clip):] = silence
    return padded[first + before:][:n]


@pytest.mark.parametrize("budget", [0, 1 << 30])
@pytest.mark.parametrize("pad", PADS)
def test_crops_are_those_of_the_store_padded(store, pad, budget):
    source, rng = source_of(store, pad=pad, budget=budget), np.random.default_rng(1)
    assert source.in_memory == bool(budget)
    rows = rng.permutation(np.repeat(np.arange(len(LENGTHS)), 10))
    for crops in (random_crops(source.length, rows, 11, rng),
                  covering_crops(source.length, np.arange(len(LENGTHS)), 11)):
        result = cut(source, crops)
        assert result.dtype == np.float32
        for i in range(len(crops)):
            wanted = expected(store, int(crops.row[i]), int(crops.first[i]), 11, pad)
            np.testing.assert_array_equal(result[i], wanted)


def test_rows_are_the_clips_that_were_asked_for_in_their_order(store):
    ids = ("5.wav", "0.wav", "2.wav")
    for budget in (0, 1 << 30):
        source = source_of(store, ids=ids, n_frames=3, budget=budget)
        result = cut(source, Crops(np.arange(3), np.zeros(3, np.int64), np.full(3, 3)))
        for i, clip_id in enumerate(ids):
            np.testing.assert_array_equal(result[i], store.crop(clip_id, 0, 3))


def test_crops_are_copies(store):
    source = source_of(store)
    crops = covering_crops(source.length, np.arange(len(LENGTHS)), 11)
    before = cut(source, crops)
    cut(source, crops)[:] = 7
    np.testing.assert_array_equal(cut(source, crops), before)


def test_memory_holds_what_the_budget_allows_and_no_byte_more(store):
    needed = store.frames.nbytes
    assert source_of(store, budget=needed).in_memory
    assert not source_of(store, budget=needed - 1).in_memory
    assert source_of(store).n_bytes == needed
    some = source_of(store, ids=("0.wav",))
    assert some.frames.nbytes == some.n_bytes == 3 * store.spec.frame_bytes


def test_there_is_some_memory():
    assert 1 << 20 < memory.budget() < 1 << 50
    assert memory.budget(4) <= memory.budget() / 3  # what is available changes by the moment


def test_an_unknown_way_to_pad_lists_the_known_ones(store):
    with pytest.raises(ValueError, match="silence, repeat"):
        source_of(store, pad="zeros")


# ---- silence


def tones(seconds=0.5, sr=8000):
    t = np.arange(round(seconds * sr)) / sr
    noise = np.random.default_rng(0).normal(size=t.shape)
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.01 * noise).astype(np.float32)


@pytest.mark.parametrize("top_db", [80.0, 30.0, None])
@pytest.mark.parametrize("level", [1.0, 1e-4, 0.0])
def test_padding_log_mel_is_what_zeros_in_the_file_would_give(level, top_db):
    extract = LogMel(**{**SPECTRAL, "top_db": top_db})
    spec = FeatureSpec("logmel", 1, "float32", 16, "dB", {**SPECTRAL, "top_db": top_db})
    y = level * tones()
    with_zeros = extract(np.concatenate([y, np.zeros(2048, np.float32)]))
    # One rounding to float32 apart.
    np.testing.assert_allclose(spec.declaration.silent_frame(extract(y)), with_zeros[-1], rtol=2e-7)


@pytest.mark.parametrize("level", [1.0, 1e-4, 0.0])
def test_padding_mfcc_is_exact_with_all_coefficients_and_near_with_some(level):
    y = level * tones()
    # All 16: the cosine transform can be inverted. 5 of 16: its outline misses a tone's peak,
    # but by less than the 25 dB that a frame of -100 dB would be off.
    for n_mfcc, tolerance in ((16, 0.01), (5, 15.0)):
        extract = Mfcc(**SPECTRAL, n_mfcc=n_mfcc)
        spec = FeatureSpec("mfcc", 1, "float32", n_mfcc, "dB",
                           {**SPECTRAL, "n_mfcc": n_mfcc, "top_db": 80.0})
        with_zeros = extract(np.concatenate([y, np.zeros(2048, np.float32)]))[-1]
        found = spec.declaration.silent_frame(extract(y))
        np.testing.assert_allclose(found[1:], with_zeros[1:], atol=1e-3)
        # The level, in dB: the 0th coefficient is sqrt(16) times it.
        assert abs(found[0] - with_zeros[0]) / 4 < tolerance


def test_silence_of_waves_is_zero_and_of_an_unknown_feature_an_error():
    assert SPECS["waveform"].declaration.silent_frame(np.ones(3, np.int16)) == 0
    with pytest.raises(StoreError, match="known: waveform, mfcc, logmel"):
        _ = FeatureSpec("chroma", 1, "float32", 2, "", {}).declaration


# ---- batches


@given(st.integers(0, 300), st.integers(1, 70))
def test_batches_are_nearly_equal_and_none_too_large(n, batch_size):
    slices = batch_slices(n, batch_size)
    assert [i for s in slices for i in range(s.start, s.stop)] == list(range(n))
    sizes = [s.stop - s.start for s in slices]
    assert len(sizes) == -(-n // batch_size)
    assert max(sizes, default=0) <= batch_size
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def test_batches_hold_every_crop_in_order(store):
    source = source_of(store)
    crops = random_crops(source.length, np.array([5, 0, 2, 2, 1]), 11, np.random.default_rng(0))
    result = list(batches(source, crops, 2))
    assert [where.tolist() for where, _ in result] == [[0], [1, 2], [3, 4]]
    np.testing.assert_array_equal(np.concatenate([x for _, x in result]), cut(source, crops))


def test_the_generator_decides_and_nothing_else(store):
    source, rows = source_of(store), np.arange(len(LENGTHS))

    def drawn(seed):
        return random_crops(source.length, rows, 11, np.random.default_rng(seed)).first.tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_batches_need_neither_tensorflow_nor_a_decoder():
    code = ("import sys, pipeline.batching.batches, pipeline.batching.crops, features.mfcc; "
            "print([m for m in ('tensorflow', 'keras', 'librosa', 'soundfile', 'soxr') "
            "if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
