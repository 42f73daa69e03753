"""Files that no run of this pipeline wrote, and disks that fail."""

import errno
import os
import time

import h5py
import numpy as np
import pytest

from pipeline.runtime.errors import StoreError
from pipeline.store import writer
from pipeline.store.from_arrays import write_store
from pipeline.store.hdf5 import allocate
from pipeline.store.reader import Store, open_store
from pipeline.store.schema import Contents, Excluded, FeatureSpec

SPEC = FeatureSpec(
    feature="mfcc", version=1, dtype="float32", width=3, units="dB",
    config={"sr": 44100, "n_mfcc": 3, "trim_db": 60.0},
)


@pytest.fixture
def path(tmp_path):
    """A store of two clips."""
    rng = np.random.default_rng(0)
    frames = {name: rng.standard_normal((n, 3), np.float32) for name, n in (("a", 5), ("b", 4))}
    return write_store(tmp_path / "mfcc.h5", SPEC, frames,
                       excluded=[Excluded("c", "non-finite", "e" * 64)])


def chunked(file, name, folder):
    values = file[name][:]
    del file[name]
    file.create_dataset(name, data=values, chunks=values.shape)


def elsewhere(file, name, folder):
    """Values in another file, where HDF5 would look for them."""
    values = file[name][:]
    del file[name]
    (folder / "secret").write_bytes(values.tobytes())
    file.create_dataset(name, shape=values.shape, dtype=values.dtype,
                        external=[(os.fsencode(folder / "secret"), 0, values.nbytes)])


def virtual(file, name, folder):
    values = file[name][:]
    with h5py.File(folder / "secret", "w") as other:
        other["x"] = values
    del file[name]
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource(folder / "secret", "x", values.shape)
    file.create_virtual_dataset(name, layout)


def external_link(file, name, folder):
    with h5py.File(folder / "secret", "w") as other:
        file.copy(name, other, "x")
    del file[name]
    file[name] = h5py.ExternalLink(folder / "secret", "x")


def soft_link(file, name, folder):
    file.move(name, "moved")
    file[name] = h5py.SoftLink("/moved")


@pytest.mark.parametrize("change", [chunked, elsewhere, virtual, external_link, soft_link])
@pytest.mark.parametrize("name", ["frames", "clip_id", "length", "moments/mean", "excluded/reason"])
def test_only_what_lies_in_the_file_in_one_piece_is_read(path, change, name):
    with h5py.File(path, "r+") as file:
        change(file, name, path.parent)
    with pytest.raises(StoreError, match=rf"mfcc\.h5: damaged: {name} (is a link|does not lie)"):
        open_store(path)


def test_a_group_may_be_no_link(path):
    with h5py.File(path, "r+") as file:
        external_link(file, "moments", path.parent)
    with pytest.raises(StoreError, match="moments is a link"):
        open_store(path)


@pytest.mark.parametrize("n", [1 << 26, 1 << 40])
def test_a_table_that_claims_more_than_the_file_has_is_not_read(path, n):
    with h5py.File(path, "r+") as file:
        del file["clip_id"]
        file.create_dataset("clip_id", (n,), "S64")
    began = time.monotonic()
    with pytest.raises(StoreError, match="clip_id does not lie in the file"):
        open_store(path)
    assert time.monotonic() - began < 1


def test_holes_of_a_file_do_not_fill_the_memory(path):
    """A disk holds terabytes of nothing in a few kilobytes."""
    n = 1 << 33
    with h5py.File(path, "r+") as file:
        for name, dtype in (("clip_id", "S64"), ("start", "<i8"), ("length", "<i8"),
                            ("sound", "<i8"), ("crc32", "<u4"), ("row_crc32", "<u4"),
                            ("digest", "S64"), ("moments/count", "<i8"), ("moments/mean", "<f8"),
                            ("moments/m2", "<f8")):
            shape = (n, *file[name].shape[1:])
            del file[name]
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)),
                            h5py.h5s.create_simple(shape), dcpl=properties)
    assert path.stat().st_size > 1 << 40
    with pytest.raises(StoreError, match="claims 68719476736 bytes"):
        open_store(path)


def put(path, name, values):
    with h5py.File(path, "r+") as file:
        file[name][:] = values


@pytest.mark.parametrize("length", [(-5, 14), (14, -5), (1 << 62, 9)])
def test_lengths_are_within_the_frames(path, length):
    put(path, "length", length)
    put(path, "start", (0, length[0]))
    with pytest.raises(StoreError, match="start and length do not fit together"):
        open_store(path)


def test_a_clip_is_there_once(path):
    put(path, "clip_id", b"a")
    with pytest.raises(StoreError, match="a clip id appears twice"):
        open_store(path)


def test_tables_do_not_overlap(path):
    with h5py.File(path, "r+") as file:
        del file["row_crc32"]
        file["row_crc32"] = file["crc32"]  # a second link
    with pytest.raises(StoreError, match=r"(crc32|row_crc32) and (crc32|row_crc32) overlap"):
        open_store(path)


@pytest.mark.parametrize(("name", "value"), [
    ("sound", 10**9), ("sound", -1), ("sound", [(0, 5), (3, 1)]), ("digest", b"\xff\x1b[2J"),
])
def test_a_row_that_cannot_be_true_is_refused_and_its_clip_named(path, name, value):
    put(path, name, value)
    with pytest.raises(StoreError, match=r"damaged in the rows of (a, )?b; extract the"):
        open_store(path)
    # The other clips can be had all the same.
    store = Store(path, damaged_rows=True)
    assert "b: the row of the tables is damaged" in "".join(store.verify())


@pytest.mark.parametrize("name", ["config", "schema", "feature"])
def test_an_attribute_is_one_text(path, name):
    for value in (np.zeros(10**4), 1.5, [b"x" * 100] * 100):
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value
        with pytest.raises(StoreError, match=f"attribute {name} is not"):
            open_store(path)


def test_a_heap_that_hdf5_would_walk_for_ever_is_refused(path):
    """The headers of the attributes' texts, which have no checksum."""
    whole, spec = bytearray(path.read_bytes()), open_store(path).spec
    at = whole.index(b"GCOL") + 16
    refused = 0
    while index := whole[at]:
        n = int.from_bytes(whole[at + 8:at + 16], "little")
        for i, byte in ((at, 0), (at + 8, 0), (at + 8, n ^ 128), (at + 15, 128)):
            damaged = whole.copy()
            damaged[i] = byte
            path.write_bytes(damaged)
            try:
                assert open_store(path).spec == spec
            except StoreError:
                refused += 1
        at += 16 + -(-n // 8) * 8
    assert index == 0
    assert refused > 15


# Failing disks


CONTENTS = Contents(("a", "b"), (5, 4))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_while_a_store_is_laid_out_is_named(tmp_path, monkeypatch, code):
    """None of its writes is left to HDF5."""
    real, calls, path = os.pwrite, [], tmp_path / "mfcc.h5"

    def failing(*args):
        calls.append(args)
        if len(calls) == fails_at:
            raise OSError(code, os.strerror(code))
        return real(*args)

    fails_at = 0
    monkeypatch.setattr(writer.os, "pwrite", failing)
    allocate(path, SPEC, CONTENTS)
    n = len(calls)
    assert sum(len(data) for _, data, _ in calls) > 4096
    for fails_at in (1, n // 2, n):  # noqa: B007
        calls.clear()
        with pytest.raises(OSError, match=os.strerror(code)) as caught:
            allocate(path, SPEC, CONTENTS)
        assert (caught.value.errno, caught.value.filename) == (code, str(path))


def test_an_unreadable_byte_is_not_taken_for_damage(path, monkeypatch):
    """At each read of an opening, headers and tables."""
    real, calls = os.preadv, []

    def failing(*args):
        calls.append(args)
        if len(calls) == fails_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*args)

    fails_at = 0
    monkeypatch.setattr(os, "preadv", failing)
    assert list(open_store(path)) == ["a", "b"]
    n = len(calls)
    assert n > 20
    for fails_at in range(1, n + 1):  # noqa: B007
        calls.clear()
        with pytest.raises(OSError, match="Input/output error") as caught:
            open_store(path)
        assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))
