import os

import pytest

from pipeline.runtime.errors import UsageError
from pipeline.tagging.audio_files import find_audio


def names(found):
    return [os.path.basename(file.name) for file in found.files]


def test_folders_are_searched_in_order_and_files_are_taken_as_named(data_set, tone):
    for name in ("b/2.wav", "b/1.wav", "a/c/3.flac", ".trash/4.wav"):
        data_set.write(name, tone(0.1))
    for name in ("b/README.md", "b/.hidden.wav", "odd.xyz", "b/old.m4a"):
        (data_set.audio / name).touch()
    found = find_audio([data_set.audio / "odd.xyz", data_set.audio, data_set.audio / "b/1.wav"])
    # .m4a is not read, and not passed over in silence either.
    assert names(found) == ["odd.xyz", "3.flac", "1.wav", "2.wav", "old.m4a"]
    assert found.n_skipped == 2  # README.md, and odd.xyz as a file of the folder
    assert found.problems == []
    assert found.files[1].seconds == pytest.approx(0.1)


def test_links_are_followed_and_circles_are_not(data_set, tone, tmp_path):
    data_set.write("1.wav", tone(0.1))
    (data_set.audio / "circle").symlink_to(data_set.audio)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "2.wav").symlink_to(data_set.audio / "1.wav")
    (data_set.audio / "link").symlink_to(elsewhere)
    assert names(find_audio([data_set.audio])) == ["1.wav", "2.wav"]


def test_a_folder_without_audio_is_a_problem_or_the_end(data_set, tone):
    empty = data_set.root / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="a folder without audio files"):
        find_audio([empty])
    found = find_audio([empty, data_set.write("1.wav", tone(0.1))])
    assert names(found) == ["1.wav"]
    assert [(p.where, p.reason) for p in found.problems] == [(str(empty), "missing")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_a_problem(data_set, tone):
    data_set.write("1.wav", tone(0.1))
    locked = data_set.audio / "locked"
    locked.mkdir(mode=0)
    found = find_audio([data_set.audio])
    locked.chmod(0o700)
    assert [p.reason for p in found.problems] == ["unreadable"]
