import csv
import os
import struct

import numpy as np
import pytest
import soundfile

from pipeline.audio.file_header import Header
from pipeline.extraction import worker
from pipeline.runtime.problems import REASONS
from pipeline.store.partial import PartialStore
from pipeline.store.reader import open_store

GOOD = [f"{i:04d}.wav" for i in range(4)]


def problems(out):
    """problems.csv: reason by clip."""
    with open(out / "problems.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["found"] and row["advice"] for row in rows)
    return {row["where"]: row["reason"] for row in rows}


def patch_wav(path, at, form, value):
    """Overwrite a field of a canonical WAV header: 22 channels, 24 rate, 40 bytes of samples."""
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(struct.pack(form, value))


# What becomes of a clip after prepare saw it: a function of its path, and the reason code.


def _halved(path):
    os.truncate(path, path.stat().st_size // 2)


def _header_alone(path):
    os.truncate(path, 44)


def _empty(path):
    os.truncate(path, 0)


def _html(path):
    path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")


def _zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def _mp3(path):
    y = np.random.default_rng(0).standard_normal(44100) * 0.1
    soundfile.write(path.with_suffix(".mp3"), y, 44100)
    path.with_suffix(".mp3").rename(path)


def _missing(path):
    path.unlink()


def _directory(path):
    path.unlink()
    path.mkdir()


def _fifo(path):
    path.unlink()
    os.mkfifo(path)


def _dangling(path):
    path.unlink()
    path.symlink_to("nowhere.wav")


def _loop(path):
    path.unlink()
    path.symlink_to(path.name)


def _one_hz(path):
    patch_wav(path, 24, "<I", 1)


def _most_hz(path):
    patch_wav(path, 24, "<I", 2**31 - 1)


def _channels(path):
    soundfile.write(path, np.zeros((64, 1024), np.int16), 44100, subtype="PCM_16")


def _other_rate(path):
    y = soundfile.read(path)[0]
    soundfile.write(path, y, 22050, subtype="PCM_16")


def _stereo(path):
    y = soundfile.read(path)[0]
    soundfile.write(path, np.stack([y, y], 1), 44100, subtype="PCM_16")


def _longer(path):
    y = soundfile.read(path)[0]
    soundfile.write(path, np.append(y, 0.1), 44100, subtype="PCM_16")


def _shorter(path):
    y = soundfile.read(path)[0]
    soundfile.write(path, y[:-1], 44100, subtype="PCM_16")


def _cut_flac(path):
    y = np.random.default_rng(0).standard_normal(soundfile.info(path).frames) * 0.1
    soundfile.write(path, y, 44100, format="FLAC", subtype="PCM_16")
    os.truncate(path, path.stat().st_size * 2 // 3)


def _damaged_flac(path):
    y = np.random.default_rng(0).standard_normal(soundfile.info(path).frames) * 0.1
    soundfile.write(path, y, 44100, format="FLAC", subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[len(content) // 2:len(content) // 2 + 400] = bytes(400)
    path.write_bytes(content)


def with_samples(*values):
    def spoil(path):
        y = soundfile.read(path)[0]
        y[100:100 + len(values)] = values
        soundfile.write(path, y, 44100, subtype="FLOAT")

    return spoil


AFTER_PREPARE = {
    "cut in half": (_halved, {"truncated"}),
    "a header alone": (_header_alone, {"truncated", "no-samples"}),
    "0 bytes": (_empty, {"empty"}),
    "HTML": (_html, {"not-audio"}),
    "zeros": (_zeros, {"not-audio"}),
    "MP3 inside": (_mp3, {"wrong-format"}),
    "missing": (_missing, {"missing"}),
    "a folder": (_directory, {"not-a-file"}),
    "a pipe": (_fifo, {"not-a-file"}),
    "a dangling link": (_dangling, {"missing"}),
    "a link to itself": (_loop, {"unreadable", "missing"}),
    "1 Hz": (_one_hz, {"bad-rate"}),
    "2^31 - 1 Hz": (_most_hz, {"bad-rate"}),
    "1024 channels": (_channels, {"bad-channels"}),
    "another rate": (_other_rate, {"changed"}),
    "stereo now": (_stereo, {"changed"}),
    "a sample more": (_longer, {"changed"}),
    "a sample less": (_shorter, {"changed", "truncated"}),
    "a cut FLAC": (_cut_flac, {"wrong-format"}),
    "NaN": (with_samples(np.nan), {"non-finite"}),
    "infinity": (with_samples(np.inf), {"non-finite"}),
    "-infinity": (with_samples(-np.inf), {"non-finite"}),
    "both infinities": (with_samples(np.inf, -np.inf), {"non-finite"}),
    "NaN among thousands": (with_samples(1e6, np.nan), {"non-finite"}),
    "a peak of 1e6": (with_samples(1e6), {"too-loud"}),
    "a peak of -1e6": (with_samples(-1e6), {"too-loud"}),
    "16-bit integers as floats": (with_samples(32767.0, -32768.0), {"too-loud"}),
    "float32's largest": (with_samples(3.4e38), {"too-loud"}),
}


@pytest.fixture
def spoilt(data_set):
    """Four good clips, prepared."""
    return data_set.fill(4).prepare()


@pytest.mark.parametrize("kind", AFTER_PREPARE)
def test_a_clip_that_went_bad_after_prepare(
    spoilt, extract, stores_of, leftovers_in, kind, tmp_path
):
    out = spoilt.root / "stores"
    spoil, reasons = AFTER_PREPARE[kind]
    kept = spoilt.audio / "0002.wav"
    original = kept.read_bytes()
    spoil(kept)
    ended = extract(spoilt, out)
    assert ended.code == 3
    assert "0002.wav: " in ended.err
    found = problems(out)
    assert list(found) == ["0002.wav"]
    assert found["0002.wav"] in reasons <= set(REASONS)
    assert "1 bad clips, 0 allowed" in ended.err
    assert stores_of(out) == {}

    # Left out on request: the same as if it had never been there, but for the note of it.
    ended = extract(spoilt, out, "--allow-failures", 1)
    assert (ended.code, ended.reused) == (0, 3)
    assert leftovers_in(out) == []
    store = open_store(out / "mfcc.h5")
    assert list(store.verify()) == []
    assert store.contents.clip_ids == ("0000.wav", "0001.wav", "0003.wav")
    assert [(e.clip_id, e.reason) for e in store.contents.excluded] == list(found.items())
    again = extract(spoilt, out, "--allow-failures", 1)
    assert again.nothing_to_do
    assert "1 bad clips left out" in again.out
    assert list(problems(out)) == ["0002.wav"]
    before = stores_of(out)
    assert extract(spoilt, out).code == 3
    assert stores_of(out) == before

    # Mended: it comes in, and nothing else is decoded.
    if kept.is_dir():
        kept.rmdir()
    kept.unlink(missing_ok=True)
    kept.write_bytes(original)
    ended = extract(spoilt, out)
    assert (ended.code, ended.extracted, ended.reused) == (0, 1, 3)
    assert extract(spoilt, spoilt.root / "scratch").code == 0
    assert stores_of(out) == stores_of(spoilt.root / "scratch")
    assert problems(out) == {}


def test_all_bad_clips_are_listed_in_one_run(spoilt, run_stage, tmp_path, stores_of):
    """Every kind at once, through the command: one run, one list, no store, no traceback."""
    kinds = {f"bad {i:02d}.wav": kind for i, kind in enumerate(AFTER_PREPARE)}
    content = (spoilt.audio / "0001.wav").read_bytes()
    for name in kinds:
        (spoilt.audio / name).write_bytes(content)
    spoilt.prepare()
    for name, kind in kinds.items():
        AFTER_PREPARE[kind][0](spoilt.audio / name)
    ended = run_stage("extract", "--data", spoilt.prepared, "--out", "s", "--jobs", 2)
    assert ended.code == 3
    assert "Traceback" not in ended.err
    found = problems(tmp_path / "s")
    assert sorted(found) == sorted(kinds)
    for name, kind in kinds.items():
        assert found[name] in AFTER_PREPARE[kind][1], kind
        assert f"  {name}: {found[name]}: " in ended.err
    assert stores_of(tmp_path / "s") == {}
    ended = run_stage("extract", "--data", spoilt.prepared, "--out", "s", "--jobs", 2,
                      "--allow-failures", len(kinds) - 1)
    assert ended.code == 3
    assert f"{len(kinds)} bad clips, {len(kinds) - 1} allowed" in ended.err
    ended = run_stage("extract", "--data", spoilt.prepared, "--out", "s", "--jobs", 2,
                      "--allow-failures", len(kinds))
    assert (ended.code, ended.extracted, ended.reused) == (0, 0, 4)
    assert len(open_store(tmp_path / "s" / "mfcc.h5").contents.excluded) == len(kinds)


def test_a_raw_folder_lists_its_bad_clips_in_the_same_run(
    spoilt, run_stage, tmp_path, stores_of, leftovers_in
):
    """Some that headers tell and some that only decoding tells."""
    spoilt.table()
    for name, kind in zip(GOOD, ("missing", "NaN", "HTML"), strict=False):
        AFTER_PREPARE[kind][0](spoilt.audio / name)
    ended = run_stage("extract", "--data", spoilt.root, "--out", "s", "--jobs", 1)
    assert ended.code == 3
    assert "Traceback" not in ended.err
    assert problems(tmp_path / "s") == {
        GOOD[0]: "missing", GOOD[1]: "non-finite", GOOD[2]: "not-audio"}
    assert stores_of(tmp_path / "s") == {}
    flags = ("--data", spoilt.root, "--out", "s", "--jobs", 1, "--allow-failures", 3)
    ended = run_stage("extract", *flags)
    assert (ended.code, ended.reused) == (0, 1)
    assert leftovers_in(tmp_path / "s") == []
    assert run_stage("extract", *flags).nothing_to_do


def test_nothing_good_is_listed_too(spoilt, extract, stores_of):
    for name in GOOD:
        _html(spoilt.audio / name)
    for flags in ((), ("--limit", 2)):
        ended = extract(spoilt, spoilt.root / "s", *flags)
        assert ended.code == 3
        assert "0001.wav: not-audio" in ended.err
    for name in GOOD:
        (spoilt.audio / name).unlink()
    ended = extract(spoilt, spoilt.root / "s")
    assert ended.code == 3
    assert set(problems(spoilt.root / "s").values()) == {"missing"}
    ended = extract(spoilt, spoilt.root / "s", "--allow-failures", 9)
    assert ended.code == 2
    assert "no clips to extract" in ended.err
    assert stores_of(spoilt.root / "s") == {}


def test_many_are_counted_on_the_terminal_and_all_are_in_the_csv(data_set, extract):
    data_set.fill(60, seconds=0.02).prepare()
    for path in data_set.audio.iterdir():
        path.write_bytes(b"" if int(path.stem) % 2 else b"{}")
    ended = extract(data_set, data_set.root / "s")
    assert ended.code == 3
    assert "60 problems (30 empty, 30 not-audio)" in ended.err
    assert len(problems(data_set.root / "s")) == 60
    assert len(ended.err.splitlines()) < 60


def test_without_bad_clips_is_as_without_those_clips(spoilt, extract):
    """But for the table of what was left out, and the key that is of it too."""
    AFTER_PREPARE["NaN"][0](spoilt.audio / "0002.wav")
    assert extract(spoilt, spoilt.root / "one", "--allow-failures", 1).code == 0
    (spoilt.audio / "0002.wav").unlink()
    assert extract(spoilt.prepare(), spoilt.root / "two").code == 0
    for name in ("waveform", "mfcc", "logmel"):
        one, two = (open_store(spoilt.root / x / f"{name}.h5") for x in ("one", "two"))
        assert one.contents.clip_ids == two.contents.clip_ids
        assert one.frames.tobytes() == two.frames.tobytes()
        assert (one.digests, one.spec) == (two.digests, two.spec)
        for table in ("start", "length", "sound", "crc32", "count", "mean", "m2"):
            np.testing.assert_array_equal(getattr(one, table), getattr(two, table))
        assert [e.clip_id for e in one.contents.excluded] == ["0002.wav"]
        assert two.contents.excluded == ()


def test_leaving_out_does_not_depend_on_the_way_there(spoilt, extract, stores_of):
    """At once, after a refusal, or after it was good."""
    assert extract(spoilt, spoilt.root / "good first").code == 0
    AFTER_PREPARE["NaN"][0](spoilt.audio / "0001.wav")
    AFTER_PREPARE["missing"][0](spoilt.audio / "0003.wav")
    assert extract(spoilt, spoilt.root / "refused first").code == 3
    result = []
    for name in ("at once", "refused first", "good first"):
        ended = extract(spoilt, spoilt.root / name, "--allow-failures", 5)
        assert ended.code == 0
        result.append(stores_of(spoilt.root / name))
    assert result[0] == result[1] == result[2]
    assert [e.clip_id for e in open_store(spoilt.root / "at once" / "mfcc.h5").contents.excluded
            ] == ["0001.wav", "0003.wav"]


def test_a_bad_clip_that_is_bad_in_another_way_now_is_tried_again(spoilt, extract):
    out = spoilt.root / "s"
    for kind, reason in (("NaN", "non-finite"), ("a peak of 1e6", "too-loud")):
        AFTER_PREPARE[kind][0](spoilt.audio / "0001.wav")
        assert extract(spoilt, out, "--allow-failures", 1).code == 0
        [excluded] = open_store(out / "mfcc.h5").contents.excluded
        assert excluded.reason == reason
        soundfile.write(spoilt.audio / "0001.wav", np.zeros(
            soundfile.info(spoilt.audio / "0001.wav").frames), 44100, subtype="PCM_16")


def test_a_refused_run_keeps_what_it_decoded(spoilt, extract, monkeypatch):
    AFTER_PREPARE["NaN"][0](spoilt.audio / "0001.wav")
    assert extract(spoilt, spoilt.root / "s").code == 3
    monkeypatch.setattr(worker, "opened", lambda path: pytest.fail(f"{path} was decoded"))
    (spoilt.audio / "0001.wav").unlink()
    ended = extract(spoilt.prepare(), spoilt.root / "s")
    assert (ended.code, ended.extracted, ended.reused) == (0, 0, 3)


@pytest.mark.parametrize("claimed", [
    Header("WAV", "PCM_16", 44100, 1, 2**40),
    Header("WAV", "PCM_16", 44100, 1, 2**62),
    Header("WAV", "PCM_16", 1, 1, 10),
])
def test_a_table_that_lies_does_not_take_the_machine_down(data_set, run_stage, tmp_path, claimed):
    data_set.fill(2).prepare(**{"0000.wav": claimed})
    ended = run_stage("extract", "--data", data_set.prepared, "--out", "s", "--jobs", 1)
    assert ended.code in (1, 2, 3)
    assert "Traceback" not in ended.err
    assert not list((tmp_path / "s").glob("*.h5"))


def test_a_damaged_table_is_said_row_by_row(spoilt, run_stage):
    table = spoilt.prepared / "clips.csv"
    rows = table.read_text().splitlines()
    rows[2] = rows[2].replace("audio/", "../")
    rows[3] = rows[3].rsplit(",", 1)[0] + ",-5"
    table.write_text("\n".join(rows) + "\n")
    ended = run_stage("extract", "--data", spoilt.prepared, "--out", "s")
    assert ended.code == 2
    assert "clips.csv:3: path is" in ended.err
    assert "clips.csv:4: frames is '-5'" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_clip_is_named(spoilt, extract):
    (spoilt.audio / "0001.wav").chmod(0)
    assert extract(spoilt, spoilt.root / "s").code == 3
    assert problems(spoilt.root / "s") == {"0001.wav": "unreadable"}
    assert extract(spoilt, spoilt.root / "s", "--allow-failures", 1).code == 0
    assert extract(spoilt, spoilt.root / "s", "--allow-failures", 1).nothing_to_do


def test_a_pipe_among_remembered_files_is_not_opened(spoilt, extract):
    """A store has the clip, so its file would be read for its digest."""
    assert extract(spoilt, spoilt.root / "s").code == 0
    _fifo(spoilt.audio / "0001.wav")
    assert extract(spoilt, spoilt.root / "s").code == 3
    assert problems(spoilt.root / "s") == {"0001.wav": "not-a-file"}


def test_nothing_incomplete_is_ever_sealed(spoilt, extract, monkeypatch):
    """Not even where the reporting of a clip is lost."""
    monkeypatch.setattr(PartialStore, "record", lambda self, finished: None)
    ended = extract(spoilt, spoilt.root / "s")
    assert ended.code == 4
    assert "4 clips are missing" in ended.err
    assert not list((spoilt.root / "s").glob("*.h5"))
