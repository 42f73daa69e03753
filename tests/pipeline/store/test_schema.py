import json
import zlib
from dataclasses import replace

import numpy as np

from features.signal.moments import Moments
from pipeline.runtime.problems import Problem
from pipeline.store.schema import (
    TABLES,
    ClipRow,
    Contents,
    Excluded,
    FeatureSpec,
    as_bytes,
    row_bytes,
    starts_of,
)

SPEC = FeatureSpec(
    feature="mfcc", version=1, dtype="float32", width=3, units="dB",
    config={"sr": 44100, "n_mfcc": 3, "trim_db": 60.0},
)
CONTENTS = Contents(("a.wav", "b.wav"), (4, 2), (Excluded("c.wav", "non-finite", "0" * 64),))


def test_clips_follow_each_other_without_gaps():
    np.testing.assert_array_equal(starts_of([3, 1, 5]), [0, 3, 4])
    assert starts_of([]).dtype == np.int64
    assert len(starts_of([7])) == 1


def test_lengths_beyond_32_bits_do_not_wrap():
    assert starts_of([2**31, 2**31, 1])[2] == 2**32


def test_the_fingerprint_is_of_everything_that_changes_a_value():
    seen = {SPEC.fingerprint}
    for change in ({"feature": "logmel"}, {"version": 2}, {"dtype": "float16"},
                   {"config": {**SPEC.config, "sr": 16000}},
                   {"config": {**SPEC.config, "trim_db": 40.0}}):
        seen.add(replace(SPEC, **change).fingerprint)
    assert len(seen) == 6


def test_the_configuration_is_canonical_json():
    reordered = replace(SPEC, config=dict(reversed(SPEC.config.items())))
    assert reordered.fingerprint == SPEC.fingerprint
    assert json.loads(SPEC.config_json) == {"dtype": "float32", **SPEC.config}
    assert " " not in SPEC.config_json


def test_the_key_is_of_everything_known_before_decoding():
    keys = {CONTENTS.key(SPEC)}
    for change in ({"clip_ids": ("a.wav", "z.wav")}, {"lengths": (4, 3)}, {"excluded": ()},
                   {"excluded": (replace(CONTENTS.excluded[0], reason="truncated"),)},
                   {"excluded": (replace(CONTENTS.excluded[0], digest="1" * 64),)}):
        keys.add(replace(CONTENTS, **change).key(SPEC))
    keys.add(CONTENTS.key(replace(SPEC, version=2)))
    keys.add(CONTENTS.key(replace(SPEC, units="Pa")))
    assert len(keys) == 8


def test_only_int16_is_scaled():
    assert replace(SPEC, dtype="int16").scale == 1 / 32768
    assert replace(SPEC, dtype="float16").scale == 1
    assert replace(SPEC, dtype="int16", width=0).frame_bytes == 2
    assert SPEC.frame_bytes == 12


def test_a_row_has_the_bytes_that_its_tables_have_room_for():
    row = ClipRow(7, "f" * 64, (1, 4), Moments(4, np.arange(3.0), np.ones(3))).packed()
    assert {name: len(data) for name, data in row.items()} == {
        name: row_bytes(name, SPEC) for name in TABLES
    }
    before = b"".join(data for name, data in row.items() if name != "row_crc32")
    assert row["row_crc32"] == zlib.crc32(before).to_bytes(4, "little")


def test_bytes_of_arrays_that_are_not_contiguous():
    frames = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert bytes(as_bytes(frames.T)) == frames.T.tobytes()
    assert bytes(as_bytes(frames[:, ::2])) == frames[:, ::2].tobytes()
    assert bytes(as_bytes(frames[:0])) == b""


def test_a_problem_is_one_row_of_what_was_left_out():
    problem = Problem("a.wav", "truncated", "3 samples", "Get the file again")
    assert Excluded.of(problem, "d" * 64) == Excluded("a.wav", "truncated", "d" * 64)
    assert Excluded.of(problem) == Excluded("a.wav", "truncated", "")


def test_the_bytes_of_contents_are_frames_and_rows():
    rows = sum(row_bytes(name, SPEC) for name in TABLES)
    assert CONTENTS.n_bytes(SPEC) == 2 * rows + 6 * SPEC.frame_bytes
    assert Contents((), ()).n_bytes(SPEC) == 0
