"""Which files of a folder are its recordings, and what is said of the others."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.dataset.recordings import find_recordings


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_folders_inside_and_any_case_of_a_suffix(tmp_path):
    touch(tmp_path, "b.wav", "A.WAV", "x/y z/c.Flac", "x/d.ogg", "x/<script>, d.mp3", "x/talk.m4a")
    (tmp_path / "x" / "folder.wav").mkdir()
    found = find_recordings(tmp_path)
    assert found.paths == ["A.WAV", "b.wav", "x/<script>, d.mp3", "x/d.ogg", "x/talk.m4a",
                           "x/y z/c.Flac"]
    assert found.folders == ["x", "x/folder.wav", "x/y z"]
    assert (found.problems, found.notes) == ([], [])


def test_other_files_are_counted(tmp_path):
    touch(tmp_path, "a.wav", "README.txt", "x/notes.TXT", "x/cover.jpg", ".hidden.wav", "LICENSE",
          ".git/b.wav")
    found = find_recordings(tmp_path)
    assert found.paths == ["a.wav"]
    assert found.notes == ["5 files that are not audio are left out: 1 .jpg, 2 .txt, 1 hidden, "
                           "1 without a suffix"]


def test_links(tmp_path):
    """Those to files are followed; those to folders might never end, or lead out."""
    touch(tmp_path, "elsewhere/a.wav", "data/x/b.wav")
    data = tmp_path / "data"
    (data / "x" / "up").symlink_to("..")
    (data / "x" / "self").symlink_to("self")
    (data / "out").symlink_to(tmp_path / "elsewhere")
    (data / "root").symlink_to("/")
    (data / "a.wav").symlink_to(tmp_path / "elsewhere" / "a.wav")
    (data / "broken.wav").symlink_to("nowhere")
    (data / "loop.wav").symlink_to("loop.wav")
    found = find_recordings(data)
    assert found.paths == ["a.wav", "broken.wav", "loop.wav", "x/b.wav"]
    other, links = found.notes
    assert other == "1 file that is not audio is left out: 1 without a suffix"
    assert links.startswith("linked folders are left out: out -> ")
    assert "root -> /, x/up -> .." in links


def test_names_that_no_table_can_hold(tmp_path):
    for name in (b"caf\xe9.wav", b"a\nb.wav", b"a\\b.wav", b"x\xff.txt"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    os.mkdir(os.path.join(os.fsencode(tmp_path), b"d\xe9"))
    with open(os.path.join(os.fsencode(tmp_path), b"d\xe9", b"ok.wav"), "wb"):
        pass
    found = find_recordings(tmp_path)
    assert found.paths == []
    assert [(p.where, p.reason, p.found) for p in found.problems] == [
        ("a\\b.wav", "bad-name", "its name has a backslash"),
        ("a\\x0ab.wav", "bad-name", "its name has a control character"),
        ("caf\\xe9.wav", "bad-name", "its name is not UTF-8"),
        ("d\\xe9/ok.wav", "bad-name", "its name is not UTF-8"),
    ]
    "\n".join([*found.notes, *(p.where for p in found.problems)]).encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(tmp_path):
    touch(tmp_path, "x/a.wav", "b.wav")
    (tmp_path / "x").chmod(0)
    try:
        found = find_recordings(tmp_path)
    finally:
        (tmp_path / "x").chmod(0o700)
    assert [(p.where, p.reason) for p in found.problems] == [("x", "unreadable")]
    assert found.paths == ["b.wav"]


def test_a_folder_that_is_refused(tmp_path, monkeypatch):
    touch(tmp_path, "x/a.wav", "b.wav")
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "x":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_recordings(tmp_path)
    assert [(p.where, p.reason) for p in found.problems] == [("x", "unreadable")]
    assert found.paths == ["b.wav"]


def test_the_stores_folder_is_not_searched(tmp_path):
    touch(tmp_path, "a.wav", "stores/.lock", "stores/b.wav")
    assert find_recordings(tmp_path, skip=tmp_path / "stores").paths == ["a.wav"]
    assert find_recordings(tmp_path, skip=tmp_path / "stores").notes == []
    assert find_recordings(tmp_path, skip=tmp_path / "no").paths == ["a.wav", "stores/b.wav"]


NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & {0, ord("/")} and name not in (b".", b".."))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.sets(NAMES, max_size=6))
def test_no_file_is_lost_without_a_word(tmp_path_factory, names):
    root = os.fsencode(tmp_path_factory.mktemp("names"))
    for name in names:
        with open(os.path.join(root, name + b".wav"), "wb"):
            pass
    found = find_recordings(tmp_path_factory.getbasetemp() / os.fsdecode(root))
    hidden = sum(name.startswith(b".") for name in names)
    assert len(found.paths) + len(found.problems) + hidden == len(names)
    assert len(found.notes) == bool(hidden)
    for path in found.paths:
        assert (tmp_path_factory.getbasetemp() / os.fsdecode(root) / path).exists()
