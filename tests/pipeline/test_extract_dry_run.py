"""``extract --dry-run``: what it says is what the run then does, and nothing is written."""

import fcntl
import os
import re

import numpy as np
import pytest

from pipeline.store.partial import PartialStore


@pytest.fixture
def small(data_set):
    """Six clips, prepared."""
    return data_set.fill(6).prepare()


@pytest.fixture
def out(small):
    return small.root / "stores"


def everything_in(folder):
    """Names, times and contents of all files."""
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def dry(small, out, extract):
    """Show the plan: how it ended; fails if it wrote anything."""
    def call(*flags, data=small):
        before = everything_in(small.root)
        folders = {p for p in small.root.rglob("*") if p.is_dir()}
        ended = extract(data, out, "--dry-run", *flags)
        assert everything_in(small.root) == before
        assert {p for p in small.root.rglob("*") if p.is_dir()} == folders
        assert ended.code == 0
        assert ended.out.endswith("\nextract: dry run, nothing written\n")
        return ended

    return call


def counts(ended):
    """Clips to decode, to reuse and to leave out."""
    found = re.search(
        r"^(\d+) clips? to decode \(.+\), (\d+) to reuse, (\d+) to leave out", ended.out,
        re.MULTILINE,
    )
    return tuple(map(int, found.groups()))


def why(ended):
    """Why, by store."""
    return {row[0]: row[-1] for line in ended.out.splitlines() if ".h5 " in line
            for row in [re.split(r"\s\s+", line)]}


def test_the_first_run(small, out, dry, extract):
    ended = dry()
    assert ended.err == ""
    assert why(ended) == dict.fromkeys(("waveform.h5", "mfcc.h5", "logmel.h5"), "no store yet")
    assert counts(ended) == (6, 0, 0)
    assert not out.exists()
    assert extract(small, out).extracted == 6


def test_nothing_to_do(small, out, dry, extract):
    extract(small, out)
    ended = dry()
    assert set(why(ended).values()) == {"up to date"}
    assert counts(ended) == (0, 6, 0)
    assert ", 0 B to write" in ended.out


@pytest.mark.parametrize(("flags", "changed"), [
    (("--n-mels", 64), {"mfcc.h5": "n_mels 128, now 64", "logmel.h5": "n_mels 128, now 64"}),
    (("--features.waveform.sr", 8000), {"waveform.h5": "sr 16000, now 8000"}),
    (("--features.mfcc.n-mfcc", 20), {"mfcc.h5": "n_mfcc 40, now 20"}),
    (("--features.logmel.dtype", "float16", "--features", "logmel"),
     {"logmel.h5": "dtype float32, now float16"}),
    (("--n-mels", 64, "--fmin", 20, "--features", "logmel"),
     {"logmel.h5": "n_mels 128, now 64; fmin 0.0, now 20.0"}),
])
def test_changed_settings_are_named(small, out, dry, extract, flags, changed):
    extract(small, out)
    ended = dry(*flags)
    assert {name: text for name, text in why(ended).items() if text != "up to date"} == {
        name: f"settings changed: {text}" for name, text in changed.items()}
    assert counts(ended) == (6, 0, 0)


def test_clips_that_changed_came_and_went(small, out, dry, extract, tone):
    extract(small, out)
    path = small.audio / "0003.wav"
    content = bytearray(path.read_bytes())
    content[-100] ^= 255
    path.write_bytes(content)
    (small.audio / "0005.wav").unlink()
    small.write("new 1.wav", tone(0.1, seed=1))
    small.write("new 2.wav", tone(0.1, seed=2))
    small.prepare()
    ended = dry()
    assert set(why(ended).values()) == {"1 clip changed, 2 clips new, 1 clip gone"}
    assert counts(ended) == (3, 4, 0)
    run = extract(small, out)
    assert (run.extracted, run.reused) == (3, 4)


def test_force(small, out, dry, extract):
    extract(small, out)
    ended = dry("--force")
    assert set(why(ended).values()) == {"--force"}
    assert counts(ended) == (6, 0, 0)


def test_a_damaged_store(small, out, dry, extract):
    extract(small, out)
    os.truncate(out / "mfcc.h5", 5000)
    ended = dry()
    assert why(ended)["mfcc.h5"] == "the store is damaged, or of an old format"
    assert counts(ended) == (6, 0, 0)


class Killed(BaseException):
    """Nothing catches it."""


def test_an_unfinished_run_is_resumed(small, out, dry, extract, monkeypatch):
    real, n = PartialStore.record, 0

    def record(self, entry):
        nonlocal n
        n += 1
        if n > 6:  # two clips in three stores
            raise Killed
        real(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(PartialStore, "record", record)
        with pytest.raises(Killed):
            extract(small, out)
    ended = dry()
    assert set(why(ended).values()) == {"no store yet; an unfinished run has 2 clips"}
    assert counts(ended) == (4, 2, 0)
    run = extract(small, out)
    assert (run.extracted, run.reused) == (4, 2)


def test_bad_clips_are_listed(small, dry):
    (small.audio / "0002.wav").unlink()
    ended = dry()
    assert "0002.wav: missing: " in ended.err
    assert counts(ended) == (5, 0, 1)
    assert "1 bad clips, 0 allowed: nothing would be sealed" in ended.out
    assert "allowed" not in dry("--allow-failures", 1).out


def test_a_data_set_that_was_not_prepared(small, out, call_stage):
    small.table()
    before = everything_in(small.root)
    ended = call_stage("extract", "--data", small.root, "--out", out, "--dry-run")
    assert (ended.code, counts(ended)) == (0, (6, 0, 0))
    assert everything_in(small.root) == before
    assert not out.exists()


def test_a_run_in_progress_is_not_disturbed(small, out, run_stage, extract):
    """The folder's lock is neither taken nor waited for."""
    extract(small, out)
    with open(out / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = run_stage("extract", "--data", small.prepared, "--out", out, "--dry-run")
    assert (ended.code, ended.err, counts(ended)) == (0, "", (0, 6, 0))


def test_bad_settings_are_still_errors(small, out, extract):
    ended = extract(small, out, "--dry-run", "--n-mels", 4000)
    assert ended.code == 2
    assert not out.exists()


def test_the_bytes_are_nearly_those_of_the_file(small, out, dry, extract):
    """HDF5's headers are left out, and three digits are shown."""
    for i in range(4):
        small.write(f"long {i}.wav", np.zeros(44100 * 30))
    small.prepare()
    shown = {row[0]: row[1] for line in dry().out.splitlines() if ".h5 " in line
             for row in [re.split(r"\s\s+", line)]}
    extract(small, out)
    for name, text in shown.items():
        assert text.endswith(" MB")
        n_bytes = float(text[:-3]) * 1e6
        assert -0.005 * n_bytes <= (out / name).stat().st_size - n_bytes < 20_000
