"""A zip in several files, as `zip -s` writes it, read as one."""

import io
import shutil
import struct
import subprocess
import zipfile
from zipfile import BadZipFile, ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.published.split_zip import open_split
from pipeline.published.unpack import DAMAGED, open_archive
from pipeline.runtime.errors import PipelineError


def whole(files, **options):
    """A zip of some files."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def write(folder, pieces):
    """Write the pieces under the names of a split zip; their paths."""
    paths = [folder / f"a.z{i:02d}" for i in range(1, len(pieces))] + [folder / "a.zip"]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    return paths


def contents(paths):
    with open_split(paths) as file, ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


FILES = {
    f"folder/{i}.wav": np.random.default_rng(i).integers(-99, 99, 200 + 900 * i, np.int16).tobytes()
    for i in range(12)
}


@pytest.mark.skipif(not shutil.which("zip"), reason="Info-ZIP's zip is not installed")
@pytest.mark.parametrize("options", [[], ["-0"], ["-fz"]])
def test_what_zip_splits_is_read_like_what_it_joins(tmp_path, options):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    files = {f"in/{i:03d}.wav": rng.bytes(2_000 + 3_000 * i) for i in range(40)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    # Not the smallest pieces that zip makes, 64 kB: its own `zip -s 0` loses bytes of those.
    subprocess.run(["zip", "-q", "-r", "-s", "100k", *options, "a.zip", "in"], cwd=tmp_path,
                   check=True)
    paths = [*sorted(tmp_path.glob("a.z[0-9]*")), tmp_path / "a.zip"]
    assert len(paths) > 20
    with pytest.raises(BadZipFile), ZipFile(paths[-1]) as archive:
        archive.read("in/000.wav")
    found = contents(paths)
    assert {name: data for name, data in found.items() if not name.endswith("/")} == files
    subprocess.run(["zip", "-q", "-s", "0", "a.zip", "--out", "joined.zip"], cwd=tmp_path,
                   check=True)
    with ZipFile(tmp_path / "joined.zip") as joined:
        assert {name: joined.read(name) for name in joined.namelist()} == found
        with open_split(paths) as file, ZipFile(file) as archive:
            for ours, theirs in zip(archive.infolist(), joined.infolist(), strict=True):
                assert (ours.filename, ours.CRC, ours.file_size, ours.date_time,
                        ours.external_attr) == (theirs.filename, theirs.CRC, theirs.file_size,
                                                theirs.date_time, theirs.external_attr)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("end64", [False, True])
@settings(max_examples=20)
@given(st.data())
def test_cuts_anywhere_are_read(tmp_path_factory, split, wide, end64, data):
    archive = whole(FILES, compression=zipfile.ZIP_DEFLATED)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(archive) - 1200), min_size=1, max_size=9)))
    paths = write(tmp_path_factory.mktemp("split"), split(archive, cuts, wide=wide, end64=end64))
    assert contents(paths) == FILES


def test_positions_beyond_4_gb_are_kept(tmp_path, split):
    """The first piece grows to 5 GB without taking space; what lies in the others moves back."""
    paths = write(tmp_path, split(whole(FILES), [4, 9000]))
    with open(paths[0], "r+b") as file:
        file.truncate(5 * 2**30)
    with open_split(paths) as file, ZipFile(file) as archive:
        names = [m.filename for m in archive.infolist() if m.header_offset > 2**32]
        assert len(names) == len(FILES) - 1  # the first member begins in the first piece
        assert {name: archive.read(name) for name in names} == {n: FILES[n] for n in names}
        assert archive.start_dir > 2**32


@pytest.mark.parametrize("end64", [False, True])
@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_piece_is_named(tmp_path, split, missing, end64):
    paths = write(tmp_path, split(whole(FILES), [3000, 9000, 20000], end64=end64))
    del paths[missing]
    with pytest.raises(BadZipFile, match="split into 4 files; 3 are here"):
        open_split(paths)


def test_pieces_in_the_wrong_order_do_not_pass(tmp_path, split):
    paths = write(tmp_path, split(whole(FILES), [3000, 9000, 20000]))
    paths[:2] = paths[1::-1]
    with pytest.raises(BadZipFile):
        contents(paths)


def test_a_directory_of_a_terabyte_is_not_read(tmp_path, split):
    *first, last = split(whole(FILES), [3000, 9000], end64=True)
    end64 = last.rindex(b"PK\6\6") + 40
    last = last[:end64] + struct.pack("<Q", 2**40) + last[end64 + 8:]
    with pytest.raises(BadZipFile, match="directory at its end is damaged"):
        open_split(write(tmp_path, [*first, last]))


@given(st.data())
def test_a_damaged_directory_is_an_error_of_zip_files(tmp_path_factory, split, data):
    pieces = split(whole(FILES), [3000, 9000], end64=data.draw(st.booleans()))
    last = bytearray(pieces[-1])
    begin = len(last) - 1300
    if data.draw(st.booleans()):
        last = last[:data.draw(st.integers(0, len(last) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 20))):
            last[data.draw(st.integers(begin, len(last) - 1))] = data.draw(st.integers(0, 255))
    paths = write(tmp_path_factory.mktemp("split"), [*pieces[:-1], bytes(last)])
    try:
        with open_archive(paths) as archive:
            archive.testzip()
    except (PipelineError, *DAMAGED):
        pass
