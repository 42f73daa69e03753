import os

import numpy as np
import pytest

from pipeline.extraction import clip_features
from pipeline.extraction.clip_features import FrameSpool


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """A spool that waits on disk, and the frames in it."""
    monkeypatch.setattr(clip_features, "_CHUNK", 8)
    monkeypatch.setattr(clip_features, "_IN_MEMORY", 16)
    frames = np.random.default_rng(0).normal(size=(29, 3)).astype(np.float32)
    spool = FrameSpool(len(frames), tmp_path)
    for first in range(0, len(frames), 5):
        spool.push(frames[first:first + 5])
    return spool, frames


def test_frames_come_back_from_the_disk_as_they_were(spool):
    spool, frames = spool
    chunks = list(spool.chunks())
    np.testing.assert_array_equal(np.concatenate([chunk for chunk, _ in chunks]), frames)
    assert [last for _, last in chunks] == [False, False, False, True]


def test_frames_that_cannot_be_read_back_are_an_error_of_the_folder(spool, tmp_path):
    spool, _ = spool
    spool._file.flush()
    os.ftruncate(spool._file.fileno(), 100)
    with pytest.raises(OSError, match="cannot be read back") as caught:
        list(spool.chunks())
    assert caught.value.filename == str(tmp_path)
