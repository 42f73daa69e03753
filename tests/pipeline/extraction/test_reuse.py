"""What earlier runs left, the cache of source states, and clips copied from earlier stores."""

import os
from dataclasses import replace

import numpy as np
import pytest

from features import make_feature
from pipeline.extraction.reuse import (
    SOURCES,
    ReusableStores,
    Source,
    find_reusable,
    journal_entries,
    read_sources,
    reuse_clips,
    write_sources,
)
from pipeline.extraction.targets import make_target
from pipeline.runtime.errors import UsageError
from pipeline.store import open_store, write_store
from pipeline.store.partial import JournalEntry, PartialStore
from pipeline.store.schema import Contents

TARGET = make_target("mfcc", make_feature(
    "mfcc", dtype="float32", sr=8000, n_fft=256, hop_length=128, n_mels=8,
    n_mfcc=3, fmin=0.0, fmax=None, top_db=80.0,
), trim_db=60.0)
SPEC = TARGET.spec
LENGTHS = {"a": 3, "b": 5, "c": 2}
CONTENTS = Contents(tuple(LENGTHS), tuple(LENGTHS.values()))
SOURCE = {c: Source(c, 100, 200, c * 64) for c in LENGTHS}


def write(folder, ids="abc", spec=SPEC):
    frames = {c: np.full((LENGTHS[c], 3), ord(c), np.float32) for c in ids}
    return write_store(folder / "mfcc.h5", spec, frames, digests={c: c * 64 for c in ids})


# The cache of source states


def test_states_are_read_back_in_any_order(tmp_path):
    states = [Source("é, \"quoted\"\nname", 1, 2, "f" * 64), Source("a", 2**40, 10**19, "0" * 64)]
    write_sources(tmp_path, states)
    assert read_sources(tmp_path) == {s.clip_id: s for s in states}
    content = (tmp_path / SOURCES).read_bytes()
    write_sources(tmp_path, reversed(states))
    assert (tmp_path / SOURCES).read_bytes() == content
    assert os.listdir(tmp_path) == [SOURCES]
    assert content.startswith(b"clip_id,size,mtime_ns,digest\na,1099511627776,")


@pytest.mark.parametrize("content", [
    None, b"", b"clip_id,size\n", b"\x00", b"a,b,c,d\nx,y,z,w\n", b"a,b,c,d\n\xff,1,1,x\n",
    b"PK\x03\x04", b'h\n"open',
])
def test_a_cache_that_cannot_be_used_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / SOURCES).write_bytes(content)
    assert read_sources(tmp_path) == {}


# What earlier runs left


def test_a_store_of_the_same_settings_is_found(tmp_path):
    write(tmp_path)
    found = find_reusable(tmp_path, [TARGET])["mfcc"]
    assert (found.sealed.contents, found.partial, found.why_none) == (CONTENTS, (), "")
    assert list(found.clip_ids()) == list("abc")
    assert found.holds("a", "a" * 64, 3)
    assert not found.holds("a", "b" * 64, 3)
    assert not found.holds("a", "a" * 64, 4)
    assert not found.holds("z", "a" * 64, 3)


@pytest.mark.parametrize(("changed", "why"), [
    ({"version": SPEC.version + 1},
     f"settings changed: version {SPEC.version + 1}, now {SPEC.version}"),
    ({"config": {**SPEC.config, "sr": 44100}}, "settings changed: sr 44100, now 8000"),
    ({"config": {k: v for k, v in SPEC.config.items() if k != "top_db"}},
     "settings changed: top_db not set, now 80.0"),
    ({"config": {**SPEC.config, "old": True}}, "settings changed: old True, now not set"),
    ({"config": {**SPEC.config, "sr": 44100, "n_mels": 16}},
     "settings changed: sr 44100, now 8000; n_mels 16, now 8"),
])
def test_a_store_of_other_settings_is_not_reused(tmp_path, changed, why):
    write(tmp_path, spec=replace(SPEC, **changed))
    assert find_reusable(tmp_path, [TARGET]) == {"mfcc": ReusableStores(None, (), why)}


def test_no_store_a_damaged_one_and_force_have_their_reasons(tmp_path):
    assert find_reusable(tmp_path / "none", [TARGET])["mfcc"].why_none == "no store yet"
    path = write(tmp_path)
    assert find_reusable(tmp_path, [TARGET], force=True)["mfcc"].why_none == "--force"
    os.truncate(path, 1000)
    assert "damaged" in find_reusable(tmp_path, [TARGET])["mfcc"].why_none


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / "mfcc.h5").mkdir()
    with pytest.raises(UsageError, match="is a folder, where the store has to be written"):
        find_reusable(tmp_path, [TARGET])


def test_a_partial_file_has_the_rows_of_its_journal(tmp_path):
    partial = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    partial.reuse(open_store(write(tmp_path / "old")), {"b": JournalEntry(1, 100, 200, "b" * 64)})
    partial.close()
    found = find_reusable(tmp_path, [TARGET])["mfcc"]
    assert list(found.clip_ids()) == ["b"]
    assert found.holds("b", "b" * 64, 5)
    assert not found.holds("a", "a" * 64, 3)


# Copying


def test_unchanged_clips_are_copied(tmp_path):
    old = open_store(write(tmp_path / "old"))
    partial = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    changed = {**SOURCE, "b": Source("b", 100, 200, "f" * 64)}
    del changed["c"]
    reuse_clips(partial, ReusableStores(old), changed)
    assert sorted(partial.done) == [0]
    reuse_clips(partial, ReusableStores(old), SOURCE)
    assert partial.seal().read_bytes() == old.path.read_bytes()


def test_a_resumed_clip_of_a_changed_file_is_dropped(tmp_path):
    old = open_store(write(tmp_path / "old"))
    partial = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    reuse_clips(partial, ReusableStores(old), SOURCE)
    reuse_clips(partial, ReusableStores(), {**SOURCE, "a": Source("a", 1, 1, "f" * 64)})
    assert sorted(partial.done) == [1, 2]
    partial.close()


def test_entries_are_of_what_is_missing_and_known(tmp_path):
    partial = PartialStore(tmp_path, "mfcc", SPEC, CONTENTS)
    known = {c: SOURCE[c] for c in "ac"}
    assert journal_entries(partial, [0, 1], known) == {"a": JournalEntry(0, 100, 200, "a" * 64)}
    partial.done[0] = JournalEntry(0, 100, 200, "a" * 64)
    assert list(journal_entries(partial, range(3), known)) == ["c"]
    partial.close()
