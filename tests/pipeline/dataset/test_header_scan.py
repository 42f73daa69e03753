"""Scanning the headers of a data set: what is remembered, what is looked at again."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio.file_header import Header
from pipeline.dataset import header_scan
from pipeline.dataset.listing import ListedClip

SR = 44_100


def wav(frames: int = 100) -> bytes:
    """The bytes of a 16-bit WAV file of silence."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(frames, np.int16), SR, format="WAV", subtype="PCM_16")
    return file.getvalue()


def listed(*names: str, folder: str = "audio") -> list[ListedClip]:
    return [ListedClip(name, folder, "t.csv:2") for name in names]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data" / "audio").mkdir(parents=True)
    for name in ("a.wav", "b.wav"):
        (tmp_path / "data" / "audio" / name).write_bytes(wav())
    return tmp_path / "data"


def test_scan(root):
    (root / "audio" / "c.wav").write_bytes(b"")
    found = header_scan.scan(root, listed("a.wav", "b.wav", "c.wav", "d.wav"))
    assert found["a.wav"] == found["b.wav"] == Header("WAV", "PCM_16", SR, 1, 100)
    assert [(p.where, p.reason) for p in (found["c.wav"], found["d.wav"])] == [
        ("c.wav", "empty"), ("d.wav", "missing")]


@pytest.mark.parametrize(("name", "advice"), [
    ("A.WAV", "Did you mean a.wav?"), ("a.flac", "Did you mean a.wav?"),
    ("a", "Did you mean a.wav?"),
    ("z.wav", "Get the file again"),
])
def test_missing_with_a_guess(root, name, advice):
    problem = header_scan.scan(root, listed(name))[name]
    assert problem.found == f"there is no file audio/{name}"
    assert advice in problem.advice


def test_missing_folder(root):
    problem = header_scan.scan(root, listed("a.wav", folder="test"))["a.wav"]
    assert (problem.reason, problem.found) == ("missing", "there is no folder test")


def test_links_are_followed(root, tmp_path):
    (tmp_path / "cached.wav").write_bytes(wav())
    (root / "audio" / "c.wav").symlink_to(tmp_path / "cached.wav")
    (root / "audio" / "d.wav").symlink_to("a.wav")
    (root / "audio" / "e.wav").symlink_to(tmp_path / "nothing.wav")
    found = header_scan.scan(root, listed("c.wav", "d.wav", "e.wav"))
    assert isinstance(found["c.wav"], Header)
    assert isinstance(found["d.wav"], Header)
    assert found["e.wav"].reason == "missing"


@pytest.fixture
def opened(monkeypatch):
    """The paths of the files that were opened to look at their headers."""
    paths = []
    examine = header_scan.examine

    def spy(path, size):
        paths.append(Path(path).name)
        return examine(path, size)

    monkeypatch.setattr(header_scan, "examine", spy)
    return paths


def test_known_files_are_not_opened_again(root, tmp_path, opened):
    cache = tmp_path / "c" / "headers.csv"
    first = header_scan.scan(root, listed("a.wav", "b.wav"), cache)
    assert opened == ["a.wav", "b.wav"]
    assert header_scan.scan(root, listed("a.wav", "b.wav"), cache) == first
    assert opened == ["a.wav", "b.wav"]
    assert not list(cache.parent.glob("*.partial"))


@pytest.mark.parametrize("change", ["size", "time"])
def test_changed_files_are_opened_again(root, tmp_path, opened, change):
    cache = tmp_path / "headers.csv"
    header_scan.scan(root, listed("a.wav", "b.wav"), cache)
    state = (root / "audio" / "b.wav").stat()
    (root / "audio" / "b.wav").write_bytes(wav(101 if change == "size" else 100))
    later = state.st_mtime_ns + (change == "time")
    os.utime(root / "audio" / "b.wav", ns=(state.st_atime_ns, later))
    found = header_scan.scan(root, listed("a.wav", "b.wav"), cache)
    assert opened == ["a.wav", "b.wav", "b.wav"]
    assert found["b.wav"].frames == (101 if change == "size" else 100)


def test_a_link_is_as_old_as_its_target(root, tmp_path, opened):
    (root / "audio" / "c.wav").symlink_to("a.wav")
    cache = tmp_path / "headers.csv"
    header_scan.scan(root, listed("c.wav"), cache)
    (root / "audio" / "a.wav").write_bytes(wav(200))
    assert header_scan.scan(root, listed("c.wav"), cache)["c.wav"].frames == 200


def test_bad_files_are_never_remembered(root, tmp_path, opened):
    (root / "audio" / "c.wav").write_bytes(b"no audio")
    for _ in range(2):
        found = header_scan.scan(root, listed("a.wav", "c.wav"), tmp_path / "headers.csv")
        assert found["c.wav"].reason == "not-audio"
    assert opened == ["a.wav", "c.wav", "c.wav"]


def test_a_known_file_that_is_gone(root, tmp_path):
    cache = tmp_path / "headers.csv"
    header_scan.scan(root, listed("a.wav", "b.wav"), cache)
    (root / "audio" / "b.wav").unlink()
    assert header_scan.scan(root, listed("a.wav", "b.wav"), cache)["b.wav"].reason == "missing"


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"path,size\n", b"x" * 100,
                                  b"path,size,mtime_ns,format,subtype,sr,channels,frames\na,b\n",
                                  b"path,size,mtime_ns,format,subtype,sr,channels,frames\n"
                                  b"a,1,2,WAV,PCM_16,x,1,1\n"])
def test_a_damaged_memory_is_forgotten(root, tmp_path, opened, data):
    cache = tmp_path / "headers.csv"
    cache.write_bytes(data)
    for _ in range(2):
        assert isinstance(header_scan.scan(root, listed("a.wav"), cache)["a.wav"], Header)
    assert opened == ["a.wav"]


def test_a_stopped_scan_goes_on_where_it_was(root, tmp_path, opened, monkeypatch):
    cache, spy = tmp_path / "headers.csv", header_scan.examine

    def stop(path, size):
        if path.endswith("b.wav"):
            raise KeyboardInterrupt
        return spy(path, size)

    with monkeypatch.context() as patched:
        patched.setattr(header_scan, "examine", stop)
        with pytest.raises(KeyboardInterrupt):
            header_scan.scan(root, listed("a.wav", "b.wav"), cache)
    header_scan.scan(root, listed("a.wav", "b.wav"), cache)
    assert opened == ["a.wav", "b.wav"]
