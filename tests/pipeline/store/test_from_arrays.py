import doctest
import errno
import os

import numpy as np
import pytest

import pipeline.store
from features.signal.moments import moments_of
from pipeline.store import from_arrays, open_store, write_store
from pipeline.store.partial import JournalEntry, PartialStore
from pipeline.store.schema import Contents, Excluded, FeatureSpec
from pipeline.store.writer import ClipWriter

SPEC = FeatureSpec("energy", 1, "float32", 2, "dB", {"sr": 8000})
WAVES = FeatureSpec("waveform", 1, "int16", 0, "full scale", {"sr": 8000})
RNG = np.random.default_rng(0)
FRAMES = {name: RNG.normal(size=(n, 2)).astype(np.float32) for name, n in
          (("b", 5), ("a", 3), ("ü.wav", 7))}


def test_the_frames_come_back_in_their_order(tmp_path):
    store = open_store(write_store(tmp_path / "new" / "any name.h5", SPEC, FRAMES))
    assert list(store) == list(FRAMES)
    assert list(store.verify()) == []
    for clip_id, frames in FRAMES.items():
        np.testing.assert_array_equal(store[clip_id], frames)
    np.testing.assert_array_equal(store.sound, [[0, 5], [0, 3], [0, 7]])
    everything = np.concatenate(list(FRAMES.values())).astype(np.float64)
    np.testing.assert_allclose(store.mean_std(), [everything.mean(0), everything.std(0)],
                               rtol=1e-12)
    assert os.listdir(tmp_path / "new") == ["any name.h5"]


def test_samples_are_scaled(tmp_path):
    y = np.array([-32768, 0, 16384], np.int16)
    store = open_store(write_store(tmp_path / "w.h5", WAVES, {"a": y}))
    np.testing.assert_array_equal(store["a"], [-1, 0, 0.5])
    assert store.mean_std()[0] == pytest.approx(-1 / 6)


def test_bounds_digests_and_what_was_left_out_are_kept(tmp_path):
    excluded = (Excluded("c", "truncated", "e" * 64),)
    store = open_store(write_store(tmp_path / "s.h5", SPEC, FRAMES, sound={"a": (1, 2)},
                                   digests={"b": "b" * 64}, excluded=excluded))
    np.testing.assert_array_equal(store.sound, [[0, 5], [1, 2], [0, 7]])
    assert store.digests[0] == "b" * 64
    assert len(set(store.digests)) == 3
    assert store.contents.excluded == excluded
    assert list(store.verify()) == []


def test_the_bytes_are_those_of_a_store_that_was_filled_by_workers(tmp_path):
    contents = Contents(tuple(FRAMES), tuple(map(len, FRAMES.values())))
    partial = PartialStore(tmp_path, "mfcc", SPEC, contents)
    for i, frames in enumerate(FRAMES.values()):
        with ClipWriter(partial.offsets, SPEC, i, partial.start(i), len(frames)) as writer:
            writer.write(frames)
            writer.finish("0" * 64, (0, len(frames)), moments_of(frames))
        partial.record(JournalEntry(i, 0, 0, "0" * 64))
    path = write_store(tmp_path / "x.h5", SPEC, FRAMES, digests=dict.fromkeys(FRAMES, "0" * 64))
    assert path.read_bytes() == partial.seal().read_bytes()


@pytest.mark.parametrize(("frames", "options", "match"), [
    ({}, {}, "there are no clips"),
    ({"a": np.zeros((3, 2))}, {}, r"'a' has float64 of shape \(3, 2\); needs float32 of shape"),
    ({"a": np.zeros((3, 3), np.float32)}, {}, r"needs float32 of shape \(n, 2\)"),
    ({"a": np.zeros(3, np.float32)}, {}, r"of shape \(3,\); needs"),
    ({"a": np.float32(3)}, {}, r"of shape \(\); needs"),
    (FRAMES, {"sound": {"a": (2, 4)}}, r"sound of 'a' is \(2, 4\); it has 3 frames"),
    (FRAMES, {"sound": {"z": (0, 1)}}, "sound names 'z', which has no frames"),
    (FRAMES, {"digests": {"a": "short"}}, "digest of 'a' is 'short'; needs 64"),
    (FRAMES, {"digests": {"a": " " * 64}}, "needs 64"),
    ({"a": np.zeros((0, 2), np.float32)}, {}, "'a' has no frames"),
    ({"a": np.array([[0, np.inf]], np.float32)}, {}, "'a' has values that are NaN or infinite"),
    ({"a": np.array([[np.nan, 0]], np.float32)}, {}, "'a' has values that are NaN or infinite"),
    (FRAMES, {"digests": {"z": "0" * 64}}, "digests names 'z', which has no frames"),
])
def test_what_does_not_fit_is_an_error_and_no_file(tmp_path, frames, options, match):
    with pytest.raises(ValueError, match=match):
        write_store(tmp_path / "s.h5", SPEC, frames, **options)
    assert os.listdir(tmp_path) == []


def test_everything_that_does_not_fit_is_listed(tmp_path):
    with pytest.raises(ValueError, match=r"'a' has float64.*'b' has int16"):
        write_store(tmp_path / "s.h5", SPEC, {"a": np.zeros((3, 2)),
                                              "b": np.zeros((1, 2), np.int16)})


def test_a_failed_write_keeps_the_old_store(tmp_path, monkeypatch):
    path = write_store(tmp_path / "s.h5", SPEC, FRAMES)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        write_store(path, SPEC, {"a": FRAMES["a"]})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s.h5"]


def test_the_example_runs():
    assert doctest.testmod(from_arrays).attempted > 3
    assert doctest.testmod(from_arrays).failed == 0


def test_the_public_face_is_complete():
    assert all(getattr(pipeline.store, name) for name in pipeline.store.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        pipeline.store.nothing  # noqa: B018
