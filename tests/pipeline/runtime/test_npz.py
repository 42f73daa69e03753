"""Files of arrays that are damaged, or made to do damage."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.npz import read_npz

ARRAYS = {
    "values": np.arange(6, dtype=np.float32).reshape(2, 3),
    "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "names": np.array(["a.wav", "\u00fc"]), "none": np.empty((0, 3)), "scalar": np.array(5),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez(path, **ARRAYS)
    return path


def test_what_savez_writes_is_read(file):
    found = read_npz(file)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def member(header, content=b""):
    """A .npy file of any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def claim(shape="(2,)", descr="'<f4'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(("content", "compression", "message"), [
    (member(claim(), bytes(8)), zipfile.ZIP_DEFLATED, "compressed"),
    (member(claim(f"({2**40},)"), bytes(8)), 0, "needs another number"),
    (member(claim("(-2, -1)"), bytes(8)), 0, "."),
    (member(claim(descr="'|O'"), bytes(8)), 0, "Python objects"),
    (member(claim("(" * 5000)), 0, "."),
    (member(claim("(" * 100)), 0, "."),
    (b"text", 0, "."), (b"", 0, "."), (b"\x93NUMPY\x09\x00", 0, "version"),
])
def test_what_is_no_array_is_a_value_error(tmp_path, content, compression, message):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match=message):
        read_npz(path)


def test_members_at_the_same_place_are_not_read_again_and_again(tmp_path):
    path, large = tmp_path / "a.npz", io.BytesIO()
    np.save(large, np.zeros(1000))
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(9):
            archive.writestr(f"{i}.npy", large.getvalue() if i == 0 else b"")
        first = archive.filelist[0]
        for each in archive.filelist[1:]:
            each.header_offset, each.CRC = first.header_offset, first.CRC
            each.file_size = each.compress_size = first.file_size
    with pytest.raises(ValueError, match="larger than the file"):
        read_npz(path)


@given(data=st.data())
def test_damaged_bytes_are_a_value_error_or_the_same_arrays(file, data):
    content = bytearray(file.read_bytes())
    del content[data.draw(st.integers(0, len(content))):]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    hurt = file.with_name("hurt.npz")
    hurt.write_bytes(content)
    try:
        found = read_npz(hurt)
    except ValueError:
        return
    # A flip in a name is seen by who reads the array.
    for name in found.keys() & ARRAYS.keys():
        np.testing.assert_array_equal(found[name], ARRAYS[name])
