import json
import os
import zlib
from dataclasses import replace

import numpy as np
import pytest

from features.signal.moments import Moments, moments_of
from pipeline.store import schema as layout
from pipeline.store.schema import (
    TABLES,
    ByteOffsets,
    ClipWriter,
    Contents,
    Excluded,
    FeatureSpec,
    Row,
    as_bytes,
    pwrite_all,
    read_row,
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
    row = Row(7, "f" * 64, (1, 4), Moments(4, np.arange(3.0), np.ones(3))).packed()
    assert {name: len(data) for name, data in row.items()} == {
        name: row_bytes(name, SPEC) for name in TABLES
    }
    before = b"".join(data for name, data in row.items() if name != "row_crc32")
    assert row["row_crc32"] == zlib.crc32(before).to_bytes(4, "little")


@pytest.fixture
def places(tmp_path):
    """A file of two clips' frames and rows, laid out by hand, all of it 0xAA."""
    offset, tables = 16, {}
    for name in TABLES:
        tables[name] = offset
        offset += 2 * row_bytes(name, SPEC)
    path = tmp_path / "store"
    path.write_bytes(b"\xaa" * (offset + 6 * SPEC.frame_bytes))
    return ByteOffsets(path, offset, tables)


def write(places, index, start, frames):
    with ClipWriter(places, SPEC, index, start, len(frames)) as writer:
        for block in (frames[:1], frames[1:]):
            writer.write(block)
        writer.finish("d" * 64, (0, len(frames)), moments_of(frames))


def test_a_clip_is_written_in_its_place_and_nowhere_else(places):
    before = places.path.read_bytes()
    frames = np.arange(6, dtype=np.float32).reshape(2, 3)
    write(places, 1, 4, frames)
    after = places.path.read_bytes()
    expected = bytearray(before)
    row = Row(zlib.crc32(frames.tobytes()), "d" * 64, (0, 2), moments_of(frames)).packed()
    for name, data in row.items():
        at = places.tables[name] + len(data)
        expected[at:at + len(data)] = data
    at = places.frames + 4 * SPEC.frame_bytes
    expected[at:at + 24] = frames.tobytes()
    assert after == bytes(expected)


def test_a_row_is_read_only_while_its_checksum_holds(places):
    write(places, 0, 0, np.ones((4, 3), np.float32))
    with open(places.path, "r+b") as file:
        assert read_row(file.fileno(), places, SPEC, 0)["digest"] == b"d" * 64
        assert read_row(file.fileno(), places, SPEC, 1) is None
        for name in TABLES:
            for byte in range(row_bytes(name, SPEC)):
                at = places.tables[name] + byte
                old = os.pread(file.fileno(), 1, at)
                os.pwrite(file.fileno(), bytes([old[0] ^ 1]), at)
                assert read_row(file.fileno(), places, SPEC, 0) is None, name
                os.pwrite(file.fileno(), old, at)


def test_a_clip_never_spills_into_the_next(places):
    before = places.path.read_bytes()
    with ClipWriter(places, SPEC, 0, 0, 4) as writer:
        with pytest.raises(ValueError, match="clip 0 has more frames"):
            writer.write(np.ones((5, 3), np.float32))
        assert places.path.read_bytes() == before


def test_a_clip_that_falls_short_gets_no_row(places):
    with ClipWriter(places, SPEC, 0, 0, 4) as writer:
        writer.write(np.ones((3, 3), np.float32))
        with pytest.raises(ValueError, match="clip 0 has fewer frames"):
            writer.finish("d" * 64, (0, 3), moments_of(np.ones((3, 3))))
    with open(places.path, "rb") as file:
        assert read_row(file.fileno(), places, SPEC, 0) is None


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(20))
    real = os.pwrite
    monkeypatch.setattr(layout.os, "pwrite", lambda file, data, at: real(file, data[:3], at))
    with open(path, "r+b") as file:
        pwrite_all(file.fileno(), memoryview(b"0123456789"), 5)
    assert path.read_bytes() == bytes(5) + b"0123456789" + bytes(5)


def test_bytes_of_arrays_that_are_not_contiguous():
    frames = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert bytes(as_bytes(frames.T)) == frames.T.tobytes()
    assert bytes(as_bytes(frames[:, ::2])) == frames[:, ::2].tobytes()
    assert bytes(as_bytes(frames[:0])) == b""
