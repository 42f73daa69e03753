import errno
import os
import pickle
import resource
import subprocess
import sys
import zlib

import numpy as np
import pytest

from features.signal.moments import moments_of
from pipeline.runtime.files import naming
from pipeline.store import writer as writers
from pipeline.store.hdf5 import allocate
from pipeline.store.schema import (
    TABLES,
    ByteOffsets,
    ClipRow,
    Contents,
    FeatureSpec,
    read_row,
    row_bytes,
)
from pipeline.store.writer import ClipWriter, pwrite_all

SPEC = FeatureSpec(
    feature="mfcc", version=1, dtype="float32", width=3, units="dB",
    config={"sr": 44100, "n_mfcc": 3, "trim_db": 60.0},
)


@pytest.fixture
def offsets(tmp_path):
    """A file of two clips' frames and rows, laid out by hand, all of it 0xAA."""
    offset, tables = 16, {}
    for name in TABLES:
        tables[name] = offset
        offset += 2 * row_bytes(name, SPEC)
    path = tmp_path / "store"
    path.write_bytes(b"\xaa" * (offset + 6 * SPEC.frame_bytes))
    return ByteOffsets(path, offset, tables)


def write(offsets, index, start, frames):
    with ClipWriter(offsets, SPEC, index, start, len(frames)) as writer:
        for block in (frames[:1], frames[1:]):
            writer.write(block)
        writer.finish("d" * 64, (0, len(frames)), moments_of(frames))


def test_a_clip_is_written_in_its_place_and_nowhere_else(offsets):
    before = offsets.path.read_bytes()
    frames = np.arange(6, dtype=np.float32).reshape(2, 3)
    write(offsets, 1, 4, frames)
    after = offsets.path.read_bytes()
    expected = bytearray(before)
    row = ClipRow(zlib.crc32(frames.tobytes()), "d" * 64, (0, 2), moments_of(frames)).packed()
    for name, data in row.items():
        at = offsets.tables[name] + len(data)
        expected[at:at + len(data)] = data
    at = offsets.frames + 4 * SPEC.frame_bytes
    expected[at:at + 24] = frames.tobytes()
    assert after == bytes(expected)


def test_a_row_is_read_only_while_its_checksum_holds(offsets):
    write(offsets, 0, 0, np.ones((4, 3), np.float32))
    with open(offsets.path, "r+b") as file:
        assert read_row(file.fileno(), offsets, SPEC, 0)["digest"] == b"d" * 64
        assert read_row(file.fileno(), offsets, SPEC, 1) is None
        for name in TABLES:
            for byte in range(row_bytes(name, SPEC)):
                at = offsets.tables[name] + byte
                old = os.pread(file.fileno(), 1, at)
                os.pwrite(file.fileno(), bytes([old[0] ^ 1]), at)
                assert read_row(file.fileno(), offsets, SPEC, 0) is None, name
                os.pwrite(file.fileno(), old, at)


def test_a_clip_never_spills_into_the_next(offsets):
    before = offsets.path.read_bytes()
    with ClipWriter(offsets, SPEC, 0, 0, 4) as writer:
        with pytest.raises(ValueError, match="clip 0 has more frames"):
            writer.write(np.ones((5, 3), np.float32))
        assert offsets.path.read_bytes() == before


def test_a_clip_that_falls_short_gets_no_row(offsets):
    with ClipWriter(offsets, SPEC, 0, 0, 4) as writer:
        writer.write(np.ones((3, 3), np.float32))
        with pytest.raises(ValueError, match="clip 0 has fewer frames"):
            writer.finish("d" * 64, (0, 3), moments_of(np.ones((3, 3))))
    with open(offsets.path, "rb") as file:
        assert read_row(file.fileno(), offsets, SPEC, 0) is None


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(20))
    real = os.pwrite
    monkeypatch.setattr(writers.os, "pwrite", lambda file, data, at: real(file, data[:3], at))
    with open(path, "r+b") as file:
        pwrite_all(file.fileno(), memoryview(b"0123456789"), 5, path)
    assert path.read_bytes() == bytes(5) + b"0123456789" + bytes(5)


@pytest.mark.parametrize("method", ["write", "finish"])
def test_a_full_disk_is_an_error_with_the_path(offsets, monkeypatch, method):
    def full(file, data, offset):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    frames = np.ones((4, 3), np.float32)
    with ClipWriter(offsets, SPEC, 0, 0, 4) as clip:
        if method == "finish":
            clip.write(frames)
        monkeypatch.setattr(writers.os, "pwrite", full)
        given = (frames,) if method == "write" else ("d" * 64, (0, 4), moments_of(frames))
        with pytest.raises(OSError, match="No space left on device") as caught:
            getattr(clip, method)(*given)
    # It reaches the parent process by pickle.
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.errno, error.filename) == (errno.ENOSPC, str(offsets.path))


def test_an_error_of_the_system_gets_the_path(tmp_path):
    with pytest.raises(PermissionError) as caught, naming(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert caught.value.filename == str(tmp_path / "x")
    with pytest.raises(ValueError, match=r"^as it is$"), naming(tmp_path / "x"):
        raise ValueError("as it is")


def test_a_store_that_is_over_a_limit_is_named(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    contents = Contents(("a",), (10**6,))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            allocate(tmp_path / "store", SPEC, contents)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "store")


def test_writing_needs_no_hdf5():
    code = "import pipeline.store.writer, sys; print('h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
