import os

import numpy as np
import pytest

from features import make_feature
from features.signal.moments import moments_of
from pipeline.extraction.targets import make_target
from pipeline.runtime.errors import StoreError
from pipeline.store.partial import (
    JournalEntry,
    PartialStore,
    leftovers,
    partial_stores,
    read_journal,
    store_path,
    tidy,
)
from pipeline.store.reader import Store, open_store
from pipeline.store.schema import Contents
from pipeline.store.writer import ClipWriter

N = 4
LENGTHS = (3, 5, 2, 4)
CONTENTS = Contents(tuple("abcd"), LENGTHS)


def spec_of(sr=16000, dtype="float32"):
    return make_target("mfcc", make_feature(
    "mfcc", dtype=dtype, sr=sr, n_fft=512, hop_length=128, n_mels=8,
    n_mfcc=3, fmin=0.0, fmax=None, top_db=80.0,
), trim_db=60.0).spec


SPEC = spec_of()


def frames_of(clip_id):
    """Frames that tell clips apart."""
    n = LENGTHS["abcd".index(clip_id)]
    return np.random.default_rng(ord(clip_id)).standard_normal((n, 3), np.float32)


def digest_of(clip_id):
    return clip_id * 64


def write(partial, clip_id):
    """What a worker does: the clip's frames and its row, no line in the journal."""
    index, frames = partial.contents.clip_ids.index(clip_id), frames_of(clip_id)
    with ClipWriter(partial.offsets, SPEC, index, partial.start(index), len(frames)) as writer:
        writer.write(frames)
        writer.finish(digest_of(clip_id), (0, len(frames)), moments_of(frames))
    return JournalEntry(index, 100, 200, digest_of(clip_id))


def fill(partial, clip_ids):
    for clip_id in clip_ids:
        partial.record(write(partial, clip_id))
    return partial


def sealed(folder, clip_ids="abcd"):
    folder.mkdir(exist_ok=True)
    contents = Contents(tuple(clip_ids), tuple(LENGTHS["abcd".index(c)] for c in clip_ids))
    return fill(PartialStore(folder, "mfcc", SPEC, contents), clip_ids).seal()


def done(partial):
    return "".join(sorted(partial.contents.clip_ids[i] for i in partial.done))


def flip(path, at):
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 255]), at)


def test_a_store_has_its_name_only_once_it_is_complete(tmp_path):
    partial = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "abc")
    assert not store_path(tmp_path, "mfcc").exists()
    with pytest.raises(StoreError, match="1 clips are missing"):
        partial.seal()
    assert not store_path(tmp_path, "mfcc").exists()
    fill(partial, "d")
    assert partial.seal() == tmp_path / "mfcc.h5"
    assert os.listdir(tmp_path) == ["mfcc.h5"]
    store = open_store(tmp_path / "mfcc.h5")
    assert list(store.verify()) == []
    for clip_id in "abcd":
        np.testing.assert_array_equal(store[clip_id], frames_of(clip_id))


def test_the_order_of_the_clips_does_not_matter(tmp_path):
    result = []
    for order in ("abcd", "dbca"):
        (tmp_path / order).mkdir()
        partial = PartialStore(tmp_path / order, "mfcc", SPEC, CONTENTS)
        result.append(fill(partial, order).seal().read_bytes())
    assert result[0] == result[1]


def test_a_later_run_resumes(tmp_path):
    whole = sealed(tmp_path / "whole").read_bytes()
    fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "ca").close()
    again = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    assert done(again) == "ac"
    assert fill(again, "bd").seal().read_bytes() == whole


def test_a_clip_that_is_written_but_not_in_the_journal_is_not_trusted(tmp_path):
    partial = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "a")
    write(partial, "b")
    partial.close()
    assert done(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)) == "a"


@pytest.mark.parametrize("where", ["frames", "row"])
def test_a_clip_whose_bytes_were_lost_is_not_trusted(tmp_path, where):
    partial = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "abcd")
    partial.close()
    flip(partial.partial, partial.offsets.frames + 3 * 12 + 7 if where == "frames"
         else partial.offsets.tables["moments/mean"] + 24 + 1)
    assert done(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)) == "acd"


def test_a_line_of_another_source_is_not_trusted(tmp_path):
    partial = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "ab")
    partial.record(JournalEntry(0, 100, 200, "f" * 64))
    partial.close()
    again = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    assert done(again) in ("ab", "b")
    assert all(again.done[i].digest == digest_of("abcd"[i]) for i in again.done)


@pytest.mark.parametrize("torn", [
    "", "3", "3 100", "3 100 200 " + "d" * 63, "3 100 200 " + "d" * 64, "\x00\x00\x00",
    "é 1 2 3\n", "x y z w\n", "3 100 200\n", "99 100 200 " + "d" * 64 + "\n",
    "-1 1 1 " + "d" * 64 + "\n", "\n\n",
])
def test_a_torn_journal_costs_a_clip_and_no_more(tmp_path, torn):
    """A kill may cut the last line anywhere, a loss of power may leave zeros."""
    whole = sealed(tmp_path / "whole").read_bytes()
    partial = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "abd")
    partial.close()
    lines = partial.journal.read_text().splitlines(keepends=True)
    partial.journal.write_text("".join(lines[:2]) + torn, encoding="utf-8")
    again = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    assert done(again) == "ab"
    fill(again, "c").close()
    # The line that follows a torn one is whole.
    again = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    assert done(again) == "abc"
    assert fill(again, "d").seal().read_bytes() == whole


@pytest.mark.parametrize("lost", ["journal", "partial", "cut", "zeros"])
def test_half_of_what_a_run_left_is_no_use(tmp_path, lost):
    partial = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "abc")
    partial.close()
    if lost == "cut":
        os.truncate(partial.partial, partial.offsets.frames + 10)
    elif lost == "zeros":
        size = partial.partial.stat().st_size
        partial.partial.write_bytes(bytes(size))
    else:
        getattr(partial, lost).unlink()
    again = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    assert done(again) == ""
    assert fill(again, "abcd").seal().read_bytes() == sealed(tmp_path / "whole").read_bytes()


def test_a_file_that_is_laid_out_again_is_a_new_one(tmp_path):
    """A worker of a killed run may still write into the old one."""
    partial = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "a")
    partial.close()
    partial.journal.unlink()
    with open(partial.partial, "r+b") as orphan:
        again = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
        os.pwrite(orphan.fileno(), bytes(64), partial.offsets.frames)
        assert fill(again, "abcd").seal().read_bytes() == sealed(tmp_path / "w").read_bytes()


def test_other_contents_have_another_file(tmp_path):
    one = fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "ab")
    two = PartialStore(tmp_path, "mfcc", SPEC, Contents(tuple("abd"), (3, 5, 4)))
    assert one.partial != two.partial
    assert done(two) == ""
    for partial in (one, two):
        partial.close()


def wanted(partial, clip_ids):
    return {c: JournalEntry(partial.contents.clip_ids.index(c), 100, 200, digest_of(c))
            for c in clip_ids}


def test_unchanged_clips_are_reused(tmp_path):
    whole = sealed(tmp_path / "whole").read_bytes()
    old = open_store(sealed(tmp_path, "bd"))
    partial = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    partial.reuse(old, wanted(partial, "abcd"))
    assert done(partial) == "bd"
    assert fill(partial, "ac").seal().read_bytes() == whole


def test_clips_are_copied_in_pieces(tmp_path, monkeypatch):
    whole = sealed(tmp_path / "whole").read_bytes()
    monkeypatch.setattr("pipeline.store.checksums._BLOCK", 7)
    partial = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    partial.reuse(open_store(tmp_path / "whole" / "mfcc.h5"), wanted(partial, "abcd"))
    assert partial.seal().read_bytes() == whole


@pytest.mark.parametrize("where", ["frames", "row"])
def test_a_damaged_clip_is_not_reused(tmp_path, where):
    path = sealed(tmp_path / "old")
    offsets = open_store(path).offsets
    flip(path, offsets.frames + 3 * 12 if where == "frames" else offsets.tables["sound"] + 16)
    partial = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    partial.reuse(Store(path, damaged_rows=True), wanted(partial, "abcd"))
    assert done(partial) == "acd"
    assert fill(partial, "b").seal().read_bytes() == sealed(tmp_path / "whole").read_bytes()


def test_a_clip_of_another_digest_or_length_is_not_reused(tmp_path):
    old = open_store(sealed(tmp_path / "old"))
    partial = PartialStore(tmp_path, "mfcc", SPEC, Contents(tuple("abcd"), (3, 5, 2, 9)))
    partial.reuse(old, {**wanted(partial, "bd"), "a": JournalEntry(0, 100, 200, "f" * 64)})
    assert done(partial) == "b"
    partial.close()


def test_partial_files_of_the_same_configuration_are_found(tmp_path):
    fill(PartialStore(tmp_path, "mfcc", SPEC, CONTENTS), "ac").close()
    PartialStore(tmp_path, "mfcc", spec_of(sr=22050), CONTENTS).close()
    PartialStore(tmp_path, "mfcc", spec_of(dtype="float16"), CONTENTS).close()
    (tmp_path / ".mfcc-0123.partial").write_bytes(b"no store")
    (tmp_path / ".mfcc-0123.journal").touch()
    [(store, rows)] = partial_stores(tmp_path, "mfcc", SPEC)
    assert (store.contents, rows) == (CONTENTS, {0, 2})


def test_sealing_tidies_up_after_its_own_feature_alone(tmp_path):
    key = 4 * "0123"
    others = [f".logmel-{key}.partial", f".mfcc-deltas-{key}.partial", "mfcc-notes.txt"]
    for name in (f".mfcc-{key}.partial", f".mfcc-{key}.journal", f".mfcc-{key}.journal.partial",
                 *others):
        (tmp_path / name).touch()
    assert len(leftovers(tmp_path, "mfcc")) == 3
    sealed(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [*others, "mfcc.h5"]


def test_what_a_run_left_that_was_stopped_after_renaming_is_deleted(tmp_path):
    sealed(tmp_path)
    own = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    other = fill(PartialStore(tmp_path, "mfcc", spec_of(sr=22050), CONTENTS), "a")
    half = PartialStore(tmp_path, "mfcc", spec_of(sr=8000), CONTENTS)
    for partial in (own, other, half):
        partial.close()
    own.partial.unlink()
    half.journal.unlink()
    tidy(tmp_path, "mfcc", SPEC, CONTENTS)
    # Another setting's run can still be resumed.
    assert sorted(os.listdir(tmp_path)) == sorted(
        [other.journal.name, other.partial.name, "mfcc.h5"]
    )


def test_a_journal_is_read_back(tmp_path):
    path = tmp_path / "journal"
    path.write_text(f"0 1 2 {'a' * 64}\n12 345 6789 {'b' * 64}\n")
    assert read_journal(path) == [
        JournalEntry(0, 1, 2, "a" * 64), JournalEntry(12, 345, 6789, "b" * 64),
    ]
