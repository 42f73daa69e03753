"""Clips of the same audio are found; equal checksums alone are not enough."""


import numpy as np

from features.waveform import Waveform
from pipeline.store import open_store, write_store
from pipeline.store.schema import spec_of
from pipeline.survey.duplicates import duplicate_groups


def store_of(tmp_path, clips, **options):
    spec = spec_of(Waveform(sr=16000, dtype="int16"), trim_db=60.0)
    frames = {name: np.asarray(y, np.int16) for name, y in clips.items()}
    return open_store(write_store(tmp_path / "w.h5", spec, frames, **options))


def test_the_same_frames_are_duplicates(tmp_path):
    store = store_of(tmp_path, {"a": [1, 2, 3], "b": [1, 2, 4], "c": [1, 2, 3], "d": [1, 2],
                                "e": [1, 2, 3], "f": [1, 2]})
    assert duplicate_groups([store]) == [("a", "c", "e"), ("d", "f")]


def test_the_same_file_is_a_duplicate(tmp_path):
    store = store_of(tmp_path, {"a": [1, 2], "b": [3, 4], "c": [5, 6]},
                     digests={"a": "1" * 64, "b": "2" * 64, "c": "1" * 64})
    assert duplicate_groups([store]) == [("a", "c")]


def test_equal_checksums_are_compared(tmp_path):
    store = store_of(tmp_path, {"a": [1, 2], "b": [3, 4]})
    store.crc32[:] = 7
    assert duplicate_groups([store]) == []


def test_no_store_has_no_duplicates():
    assert duplicate_groups([]) == []
