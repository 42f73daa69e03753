"""Archives that want to write elsewhere, to write too much, or are damaged."""

import contextlib
import io
import os
import stat
import struct
import zipfile
from zipfile import ZipFile, ZipInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.published import unpack
from pipeline.runtime.errors import PipelineError


def write_zip(path, members, **options):
    """Write members, given as (name or ZipInfo, data); those of the same name too."""
    with ZipFile(path, "w", **options) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def run(path, folder, shown=None):
    """Unpack everything."""
    with unpack.open_archive([path]) as archive:
        unpack.unpack(archive, folder, {name: name for name in unpack.members(archive)},
                      (lambda n: None) if shown is None else shown.append)


def written(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def linked(name, target):
    info = ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, target


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path / "a" / "b"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_and_folders_are_written(tmp_path, folder, method):
    shown = []
    run(write_zip(tmp_path / "a.zip", [("x/", b""), ("x/y/a.wav", b"abc" * 999), ("b.csv", b"")],
                  compression=method), folder, shown)
    assert written(folder) == {"x/y/a.wav": b"abc" * 999, "b.csv": b""}
    assert sum(shown) == 2997


def test_only_what_is_asked_for_is_written_where_it_is_asked(tmp_path, folder):
    write_zip(tmp_path / "a.zip", [("top/a", b"1"), ("top/b", b"2")])
    with unpack.open_archive([tmp_path / "a.zip"]) as archive:
        unpack.unpack(archive, folder, {"top/b": "c/d"}, lambda n: None)
    assert written(folder) == {"c/d": b"2"}


@pytest.mark.parametrize("name", [
    "../up", "x/../../up", "/etc/passwd", "//host/share", "C:/x", "c:x", "..\\up", "x\\..\\up",
    "x/./y", "x//y", ".", "..", "new\nline", "a\x00b", "", "x/..",
])
def test_a_path_outside_the_folder_is_refused(tmp_path, folder, name):
    info = ZipInfo("placeholder")
    info.filename = name  # as it is: ZipInfo would replace backslashes on Windows, cut at NUL
    write_zip(tmp_path / "a.zip", [("fine", b"1"), (info, b"2")])
    with pytest.raises(PipelineError, match=r"a\.zip: unsafe.*not a path inside") as caught:
        run(tmp_path / "a.zip", folder)
    assert repr(name) in str(caught.value)
    assert written(tmp_path) == {"a.zip": (tmp_path / "a.zip").read_bytes()}


@given(st.lists(st.sampled_from(["..", ".", "", "a", "C:", "\\", "b c", "é", "/", "...", "~"]),
                min_size=1, max_size=5))
@settings(max_examples=50)
def test_whatever_the_name_nothing_is_written_elsewhere(tmp_path_factory, pieces):
    base = tmp_path_factory.mktemp("zip")
    folder = base / "in" / "here"
    folder.mkdir(parents=True)
    info = ZipInfo("x")
    info.filename = "/".join(pieces)
    write_zip(base / "a.zip", [(info, b"1")])
    try:
        run(base / "a.zip", folder)
    except PipelineError:
        assert written(folder) == {}
    else:
        expected = {} if info.filename.endswith("/") else {info.filename: b"1"}
        assert written(folder) == expected
    assert set(written(base)) - {"a.zip"} == {f"in/here/{name}" for name in written(folder)}


def test_links_devices_and_encrypted_members_are_refused_and_all_are_listed(tmp_path, folder):
    device = ZipInfo("device")
    device.create_system, device.external_attr = 3, stat.S_IFCHR << 16
    write_zip(tmp_path / "a.zip", [linked("link", "/etc"), ("link/passwd", b"x"), (device, b""),
                                   ("secret", b"1"), ("../up", b"")])
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.rfind(b"secret") - 46
    data[at + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(PipelineError) as caught:
        run(tmp_path / "a.zip", folder)
    for words in ("'link' is a symbolic link", "'link' is a file and a folder",
                  "'device' is a link or a device", "'secret' is encrypted",
                  "'../up' is not a path"):
        assert words in str(caught.value)
    assert written(folder) == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path, folder):
    write_zip(tmp_path / "a.zip", [("a.wav", b"1"), ("a.wav", b"2")])
    with pytest.raises(PipelineError, match=r"'a\.wav' is there twice"):
        run(tmp_path / "a.zip", folder)


def test_a_method_whose_memory_is_not_bounded_is_refused(tmp_path, folder):
    write_zip(tmp_path / "a.zip", [("a", b"1" * 99)], compression=zipfile.ZIP_LZMA)
    with pytest.raises(PipelineError, match="compressed by method 14; needs stored or deflated"):
        run(tmp_path / "a.zip", folder)


def test_a_bomb_is_refused(tmp_path, folder):
    write_zip(tmp_path / "a.zip", [("a", bytes(5_000_000))], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(PipelineError, match="would unpack to 5000000, more than 20 times"):
        run(tmp_path / "a.zip", folder)


def test_members_that_share_their_bytes_are_refused(tmp_path, folder):
    """David Fifield's bomb: many entries of the directory, one member."""
    path = write_zip(tmp_path / "a.zip", [("kernel", os.urandom(9000))])
    data = path.read_bytes()
    at = data.rfind(b"PK\1\2")
    entry, end = data[at:-22], struct.unpack("<4s4H2LH", data[-22:])
    entries = b"".join(entry.replace(b"kernel", b"kern%02d" % i) for i in range(20))
    path.write_bytes(data[:at] + entries + struct.pack(
        "<4s4H2LH", *end[:3], 20, 20, len(entries), at, 0))
    with pytest.raises(PipelineError, match="they overlap"):
        run(path, folder)


def test_a_member_before_the_archive_is_refused(tmp_path, folder):
    """The end says that the directory begins later than it does, so everything moves forward."""
    path = write_zip(tmp_path / "a.zip", [("a", b"12345")])
    data = bytearray(path.read_bytes())
    data[-6:-2] = struct.pack("<L", struct.unpack("<L", data[-6:-2])[0] + 1)
    path.write_bytes(data)
    with pytest.raises(PipelineError, match="'a' begins before the archive"):
        run(path, folder)


def lie(path, name, *, size=None, crc=None):
    """Change the size or the checksum that a member declares, in both of its headers."""
    with ZipFile(path) as archive:
        local, central = archive.getinfo(name).header_offset, archive.start_dir
        for info in archive.infolist():
            if info.filename == name:
                break
            central += 46 + len(info.filename.encode()) + len(info.extra) + len(info.comment)
    data = bytearray(path.read_bytes())
    for header, place in ((central, 16), (local, 14)):
        if crc is not None:
            data[header + place:header + place + 4] = struct.pack("<L", crc)
        if size is not None:
            data[header + place + 8:header + place + 12] = struct.pack("<L", size)
    path.write_bytes(data)


@pytest.mark.parametrize("size", [10, 1_999_999, 2_000_001, 5_000_000])
def test_a_member_that_lies_about_its_size_is_an_error(tmp_path, folder, size):
    data = os.urandom(250_000) * 8
    path = write_zip(tmp_path / "a.zip", [("a", data)], compression=zipfile.ZIP_DEFLATED)
    lie(path, "a", size=size)
    with pytest.raises(PipelineError, match="a is damaged"):
        run(path, folder)
    assert sum(len(data) for data in written(folder).values()) <= min(size, len(data))


def test_a_lie_whose_checksum_fits_is_an_error_too(tmp_path, folder):
    """The checksum is that of what is there; only the length tells."""
    path = write_zip(tmp_path / "a.zip", [("a", b"12345")])
    lie(path, "a", size=6)
    with pytest.raises(PipelineError, match=r"a is damaged: 5 bytes; it declares 6|overlap"):
        run(path, folder)


def test_a_wrong_checksum_is_an_error(tmp_path, folder):
    path = write_zip(tmp_path / "a.zip", [("fine", b"1"), ("other", b"12345")])
    lie(path, "other", crc=1)
    with pytest.raises(PipelineError, match="other is damaged: Bad CRC-32"):
        run(path, folder)


@pytest.mark.parametrize("length", [0, 10, 4000, 8099])
def test_a_truncated_archive_is_an_error(tmp_path, folder, length):
    data = write_zip(tmp_path / "a.zip", [("a", os.urandom(8000))]).read_bytes()
    (tmp_path / "a.zip").write_bytes(data[:length])
    with pytest.raises(PipelineError, match=r"a\.zip: not an intact zip"):
        run(tmp_path / "a.zip", folder)


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)),
                                         min_size=1, max_size=20))
@settings(max_examples=150)
def test_damage_anywhere_is_an_error_or_harmless(tmp_path_factory, content, changes):
    base = tmp_path_factory.mktemp("zip")
    folder = base / "in"
    folder.mkdir()
    buffer = io.BytesIO()
    write_zip(buffer, [("x/a.wav", content), ("b.csv", b"fname,labels\n")],
              compression=zipfile.ZIP_DEFLATED)
    data = bytearray(buffer.getvalue())
    for at, value in changes:
        data[at % len(data)] = value
    (base / "a.zip").write_bytes(data)
    with contextlib.suppress(PipelineError):
        run(base / "a.zip", folder)
    assert [p.name for p in base.iterdir() if p.name not in ("a.zip", "in")] == []


def test_nothing_that_exists_is_overwritten(tmp_path, folder):
    (folder / "a").write_text("precious")
    with pytest.raises(FileExistsError):
        run(write_zip(tmp_path / "a.zip", [("a", b"1")]), folder)
    assert (folder / "a").read_text() == "precious"
