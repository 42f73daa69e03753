import contextlib
import errno
import fcntl
import io
import os
import pty
import re
import resource
import subprocess
import sys
import termios
import time
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from pipeline.audio import decode as audio
from pipeline.extraction import clip_features, reuse, worker
from pipeline.extraction import run as extraction
from pipeline.runtime import parallel
from pipeline.runtime.progress import ClipProgress
from pipeline.store import partial
from pipeline.store.reader import open_store

N = 12
FEATURES = ("logmel.h5", "mfcc.h5", "waveform.h5")


@pytest.fixture(scope="module")
def data(make_data_set):
    """Clips that no test changes."""
    return make_data_set().fill(N).prepare()


@pytest.fixture(scope="module")
def reference(data, extract, stores_of):
    """The bytes of an uninterrupted run with one job."""
    ended = extract(data, data.root / "reference")
    assert (ended.code, ended.extracted, ended.err) == (0, N, "")
    stores = stores_of(data.root / "reference")
    assert tuple(stores) == FEATURES
    return stores


@pytest.fixture
def small(data_set):
    """Clips that a test may change."""
    return data_set.fill(6).prepare()


@pytest.fixture
def out(data_set, small, extract):
    """Their stores."""
    assert extract(small, data_set.root / "stores").code == 0
    return data_set.root / "stores"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded from now on."""
    names = []
    real = worker.opened
    monkeypatch.setattr(worker, "opened", lambda path: names.append(path.name) or real(path))
    return names


def states(out):
    """Inode and time of modification of every store: what a rewritten file cannot keep."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in out.glob("*.h5")}


# Audio


FORMATS = [
    ("a.wav", {"subtype": "PCM_U8"}), ("a.wav", {"subtype": "PCM_16"}),
    ("a.wav", {"subtype": "PCM_24"}), ("a.wav", {"subtype": "PCM_32"}),
    ("a.wav", {"subtype": "FLOAT"}), ("a.wav", {"subtype": "DOUBLE"}),
    ("a.wav", {"subtype": "ULAW"}), ("a.flac", {}), ("a.ogg", {}), ("a.mp3", {}),
    ("a.aiff", {"subtype": "PCM_16"}), ("a.aiff", {"subtype": "PCM_24"}), ("a.w64", {}),
    ("a.caf", {}), ("a.au", {}),
]


def loaded(path, sr):
    return librosa.load(path, sr=sr, mono=True, res_type="soxr_hq", dtype=np.float32)[0]


def waveform_of(data, extract, sr):
    """The only clip's samples out of a float32 store, which is verified."""
    out = data.root / f"stores-{sr}"
    ended = extract(data.prepare(), out, "--sr", sr, "--features", "waveform",
                    "--features.waveform.dtype", "float32")
    assert (ended.code, ended.err) == (0, "")
    store = open_store(out / "waveform.h5")
    assert list(store.verify()) == []
    return store[store.contents.clip_ids[0]]


@pytest.mark.parametrize(("name", "options"), FORMATS)
def test_every_format_is_what_librosa_loads(data_set, extract, tone, name, options):
    path = data_set.write(name, tone(0.3, seed=1), 44100, **options)
    for sr in (44100, 16000):
        y = loaded(path, sr)
        np.testing.assert_allclose(waveform_of(data_set, extract, sr), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("source_sr", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_rate_is_what_librosa_resamples(data_set, extract, tone, source_sr, channels):
    path = data_set.write("a.wav", tone(0.25, sr=source_sr, channels=channels), source_sr)
    y = waveform_of(data_set, extract, 44100)
    assert len(y) == -(-soundfile.info(path).frames * 44100 // source_sr)
    np.testing.assert_allclose(y, loaded(path, 44100), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 511, 512, 513, 1023, 2048])
@pytest.mark.parametrize("source_sr", [8000, 44100, 768000])
def test_the_shortest_clips_have_their_frames(data_set, extract, n, source_sr):
    y = np.full(n, 0.25, np.float32)
    data_set.write("a.wav", y, source_sr, subtype="FLOAT")
    out = data_set.root / "stores"
    ended = extract(data_set.prepare(), out)
    assert (ended.code, ended.err) == (0, "")
    for name, sr, hop in (("waveform", 16000, 0), ("mfcc", 44100, 512), ("logmel", 44100, 512)):
        store = open_store(out / f"{name}.h5")
        n_samples = -(-n * sr // source_sr)
        assert len(store["a.wav"]) == (1 + n_samples // hop if hop else n_samples)
        assert list(store.verify()) == []
        assert np.isfinite(store["a.wav"]).all()
        assert np.isfinite(store.mean_std()).all()


def test_silence_is_kept_and_finite(data_set, extract):
    data_set.write("a.wav", np.zeros(4000))
    out = data_set.root / "stores"
    assert extract(data_set.prepare(), out).code == 0
    logmel = open_store(out / "logmel.h5")
    np.testing.assert_allclose(logmel["a.wav"], -100, atol=1e-4)
    np.testing.assert_allclose(logmel.mean_std()[1], 0, atol=1e-12)
    np.testing.assert_array_equal(logmel.sound, [[0, 8]])
    np.testing.assert_array_equal(open_store(out / "waveform.h5")["a.wav"], np.zeros(1452))


def test_two_rates_in_one_run_decode_each_clip_once(small, extract, decoded):
    out = small.root / "stores"
    assert extract(small, out).extracted == 6
    assert sorted(decoded) == [f"{i:04d}.wav" for i in range(6)]
    waveform, logmel = open_store(out / "waveform.h5"), open_store(out / "logmel.h5")
    assert (waveform.spec.config["sr"], logmel.spec.config["sr"]) == (16000, 44100)
    for name in decoded:
        n = soundfile.info(small.audio / name).frames
        assert len(waveform[name]) == -(-n * 16000 // 44100)
        assert len(logmel[name]) == 1 + n // 512


def test_sr_is_the_rate_of_every_feature(small, extract):
    out = small.root / "stores"
    assert extract(small, out, "--sr", 22050).code == 0
    rates = {p.stem: open_store(p).spec.config["sr"] for p in out.glob("*.h5")}
    assert rates == {"waveform": 22050, "mfcc": 22050, "logmel": 22050}
    rates = ("--sr", 22050, "--features.waveform.sr", 8000, "--features.mfcc.sr", 16000)
    assert extract(small, out, *rates).code == 0
    rates = {p.stem: open_store(p).spec.config["sr"] for p in out.glob("*.h5")}
    assert rates == {"waveform": 8000, "mfcc": 16000, "logmel": 22050}


@pytest.mark.parametrize("feature_sr", [44100, 16000])
def test_a_long_clip_has_the_frames_of_a_short_one(
    data_set, extract, tone, monkeypatch, feature_sr, leftovers_in
):
    """In pieces that wait on disk, of every awkward length, against one piece in memory."""
    data_set.write("a.wav", tone(2.5, channels=2))
    data_set.write("b.wav", tone(0.7, sr=8000), 8000)
    data_set.prepare()
    flags = ("--sr", feature_sr, "--features.waveform.dtype", "float32")
    assert extract(data_set, data_set.root / "whole", *flags).code == 0
    monkeypatch.setattr(audio, "BLOCK", 1777)
    monkeypatch.setattr(clip_features, "_CHUNK", 13)
    monkeypatch.setattr(clip_features, "_IN_MEMORY", 26)
    assert extract(data_set, data_set.root / "pieces", *flags).code == 0
    assert leftovers_in(data_set.root / "pieces") == []
    for name in ("waveform", "mfcc", "logmel"):
        whole = open_store(data_set.root / "whole" / f"{name}.h5")
        pieces = open_store(data_set.root / "pieces" / f"{name}.h5")
        assert pieces.contents == whole.contents
        assert list(pieces.verify()) == []
        np.testing.assert_array_equal(pieces.sound, whole.sound)
        for clip_id in whole.contents.clip_ids:
            np.testing.assert_allclose(pieces[clip_id], whole[clip_id], rtol=0, atol=1e-4)
        np.testing.assert_allclose(pieces.mean_std(), whole.mean_std(), rtol=1e-5, atol=1e-5)


# The same bytes


def test_the_bytes_are_those_of_any_number_of_jobs(data, reference, run_stage, stores_of, tmp_path):
    for jobs in (1, 2):
        ended = run_stage("extract", "--data", data.prepared, "--out", jobs, "--jobs", jobs)
        assert (ended.code, ended.err, ended.extracted) == (0, "", N)
        assert stores_of(tmp_path / str(jobs)) == reference


def test_the_bytes_do_not_depend_on_the_order_of_the_work(
    data, reference, extract, stores_of, tmp_path, monkeypatch
):
    monkeypatch.setattr("pipeline.extraction.run._TASK_CLIPS", 1)
    assert extract(data, tmp_path / "one", "--backend", "threading", "--jobs", 3).code == 0
    assert stores_of(tmp_path / "one") == reference


def test_the_bytes_do_not_depend_on_what_was_extracted_together(
    data, reference, extract, stores_of, tmp_path
):
    for name in ("waveform", "mfcc", "logmel"):
        assert extract(data, tmp_path / "apart", "--features", name).code == 0
    assert stores_of(tmp_path / "apart") == reference


def test_some_first_and_then_all_is_all(data, reference, extract, stores_of, tmp_path):
    out = tmp_path / "stores"
    assert extract(data, out, "--limit", 5).extracted == 5
    assert len(open_store(out / "mfcc.h5")) == 5
    ended = extract(data, out)
    assert (ended.extracted, ended.reused) == (N - 5, 5)
    assert stores_of(out) == reference


def test_clips_that_come_and_go_leave_no_trace(small, out, extract, stores_of, tone, decoded):
    before = stores_of(out)
    small.write("0002b.wav", tone(0.1, seed=77))
    ended = extract(small.prepare(), out)
    assert (ended.extracted, ended.reused, decoded) == (1, 6, ["0002b.wav"])
    assert extract(small, small.root / "scratch").extracted == 7
    assert stores_of(out) == stores_of(small.root / "scratch")
    (small.audio / "0002b.wav").unlink()
    decoded.clear()
    ended = extract(small.prepare(), out)
    assert (ended.code, ended.extracted, ended.reused, decoded) == (0, 0, 6, [])
    assert stores_of(out) == before


def test_a_changed_clip_alone_is_extracted_again(small, out, extract, stores_of, decoded):
    path = small.audio / "0003.wav"
    content = bytearray(path.read_bytes())
    content[-100] ^= 255
    path.write_bytes(content)
    ended = extract(small, out)
    assert (ended.extracted, ended.reused, decoded) == (1, 5, ["0003.wav"])
    assert extract(small, small.root / "scratch").extracted == 6
    assert stores_of(out) == stores_of(small.root / "scratch")


def test_a_clip_of_another_length_alone_is_extracted_again(
    small, out, extract, stores_of, decoded, tone
):
    small.write("0003.wav", tone(0.5, seed=33))
    ended = extract(small.prepare(), out)
    assert (ended.extracted, ended.reused, decoded) == (1, 5, ["0003.wav"])
    extract(small, small.root / "scratch")
    assert stores_of(out) == stores_of(small.root / "scratch")


def test_a_clip_under_a_new_name_is_a_new_clip(small, out, extract, stores_of):
    (small.audio / "0003.wav").rename(small.audio / "9.wav")
    ended = extract(small.prepare(), out)
    assert (ended.extracted, ended.reused) == (1, 5)
    extract(small, small.root / "scratch")
    assert stores_of(out) == stores_of(small.root / "scratch")


# Nothing to do


def test_a_second_run_does_nothing(small, out, extract, stores_of, decoded):
    before, content = states(out), stores_of(out)
    ended = extract(small, out)
    assert ended.nothing_to_do
    assert (ended.code, ended.err, decoded, ended.out.count("up to date")) == (0, "", [], 3)
    assert (states(out), stores_of(out)) == (before, content)


def test_a_journal_that_outlived_its_store_is_tidied_up(small, out, extract, monkeypatch):
    names = sorted(os.listdir(out))
    real = os.unlink
    monkeypatch.setattr(os, "unlink", lambda path, *more: str(path).endswith(".journal")
                        or real(path, *more))
    assert extract(small, out, "--force").code == 0
    monkeypatch.undo()
    assert len(os.listdir(out)) == len(names) + 3
    assert extract(small, out).nothing_to_do
    assert sorted(os.listdir(out)) == names


def test_a_second_run_reads_no_source(small, out, extract, monkeypatch):
    monkeypatch.setattr(reuse, "digest_of", lambda path: pytest.fail("it was read"))
    assert extract(small, out).nothing_to_do


def test_touched_files_are_read_once_and_not_extracted(small, out, extract, decoded, monkeypatch):
    before = states(out)
    for path in small.audio.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    assert extract(small, out).nothing_to_do
    assert (states(out), decoded) == (before, [])
    monkeypatch.setattr(reuse, "digest_of", lambda path: pytest.fail("it was read"))
    assert extract(small, out).nothing_to_do


@pytest.mark.parametrize("content", [None, "", "clip_id,size\n", "\x00", "a,b,c,d\nx,y,z,w\n"])
def test_the_memory_of_the_sources_may_be_lost(small, out, extract, decoded, content):
    before = states(out)
    (out / "sources.csv").unlink()
    if content is not None:
        (out / "sources.csv").write_text(content)
    assert extract(small, out).nothing_to_do
    assert (states(out), decoded) == (before, [])


@pytest.mark.parametrize(("flags", "rewritten"), [
    (("--features.mfcc.n-mfcc", 20), {"mfcc"}),
    (("--n-mels", 64), {"mfcc", "logmel"}),
    (("--features.waveform.sr", 8000), {"waveform"}),
    (("--features.waveform.dtype", "float32"), {"waveform"}),
    (("--features.mfcc.dtype", "float16"), {"mfcc"}),
    (("--features.logmel.sr", 22050), {"logmel"}),
    (("--trim-db", 40), {"mfcc", "logmel", "waveform"}),
    (("--top-db", "none"), {"mfcc", "logmel"}),
    (("--force",), {"mfcc", "logmel", "waveform"}),
])
def test_a_setting_rewrites_the_stores_that_it_is_in(small, out, extract, flags, rewritten):
    before = states(out)
    ended = extract(small, out, *flags)
    after = states(out)
    assert (ended.code, ended.extracted) == (0, 6)
    assert {p[:-3] for p in after if after[p] != before[p]} == rewritten
    again = extract(small, out, *(f for f in flags if f != "--force"))
    assert again.nothing_to_do == (flags != "--force")
    assert states(out) == after


def test_stores_are_flushed_while_they_are_filled(small, data_set, extract, monkeypatch):
    flushed, real = [], extraction.flushed_meanwhile

    def recorded(paths):
        flushed.extend(paths)
        return real(flushed)

    monkeypatch.setattr(extraction, "flushed_meanwhile", recorded)
    out = data_set.root / "stores"
    assert extract(small, out).code == 0
    assert [re.sub(r"-.*", "", path.name) for path in flushed] == [".waveform", ".mfcc", ".logmel"]
    assert not any(path.exists() for path in flushed)  # they have their names now


def test_what_workers_need_is_started_first_and_ended_before_the_sealing(
    small, data_set, extract, monkeypatch
):
    monkeypatch.setattr(extraction, "_TASK_CLIPS", 1)  # else there is work for one worker alone
    order = []
    for place, name in (
        (parallel, "start_ahead"), (extraction, "end_workers"), (partial.PartialStore, "seal")
    ):
        real = getattr(place, name)
        monkeypatch.setattr(
            place, name,
            lambda *given, real=real, name=name, **more: order.append(name) or real(*given, **more),
        )
    assert extract(small, data_set.root / "stores", "--jobs", 2).code == 0
    assert order == ["start_ahead", "end_workers", "seal", "seal", "seal"]


def test_force_makes_the_same_bytes(small, out, extract, stores_of, decoded):
    before = stores_of(out)
    assert extract(small, out, "--force").extracted == 6
    assert len(decoded) == 6
    assert stores_of(out) == before


def test_one_feature_leaves_the_others_alone(small, out, extract, tone):
    before = states(out)
    small.write("new.wav", tone(0.1))
    ended = extract(small.prepare(), out, "--features", "mfcc")
    after = states(out)
    assert (ended.extracted, ended.reused) == (1, 6)
    assert {p for p in after if after[p] != before[p]} == {"mfcc.h5"}
    ended = extract(small, out, "--features", "mfcc", "logmel")
    assert "mfcc.h5: up to date" in ended.out
    assert (ended.extracted, ended.reused) == (1, 6)


def test_a_damaged_store_is_replaced(small, out, extract, stores_of):
    before = stores_of(out)
    os.truncate(out / "mfcc.h5", 5000)
    (out / "logmel.h5").write_text("not a store")
    (out / "waveform.h5").unlink()
    assert extract(small, out).extracted == 6
    assert stores_of(out) == before


def test_damaged_clips_are_not_reused(small, out, extract, stores_of, tone, decoded):
    store = open_store(out / "mfcc.h5")
    at = store.offsets.frames + int(store.start[2]) * store.spec.frame_bytes
    with open(out / "mfcc.h5", "r+b") as file:
        file.seek(at)
        file.write(b"\xff\xff")
    small.write("new.wav", tone(0.1))
    ended = extract(small.prepare(), out)
    assert sorted(decoded) == ["0002.wav", "new.wav"]
    assert (ended.extracted, ended.reused) == (2, 5)
    extract(small, small.root / "scratch")
    assert stores_of(out) == stores_of(small.root / "scratch")


def flip(path, at):
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), at)


def test_repair_extracts_damaged_clips_alone(small, out, extract, stores_of, decoded):
    before = stores_of(out)
    store = open_store(out / "mfcc.h5")
    flip(store.path, store.offsets.frames + int(store.start[2]) * store.spec.frame_bytes)
    store = open_store(out / "logmel.h5")
    flip(store.path, store.offsets.tables["moments/m2"] + 4 * 128 * 8)
    with open(out / "waveform.h5", "ab") as file:
        file.write(b"junk")
    decoded.clear()
    assert extract(small, out).nothing_to_do
    planned = extract(small, out, "--repair", "--dry-run")
    for name, why in (("mfcc", "1 clip damaged"), ("logmel", "1 clip damaged"),
                      ("waveform", "damaged outside of its clips")):
        assert re.search(rf"{name}\.h5 .* {why}\n", planned.out)
    ended = extract(small, out, "--repair")
    assert (ended.code, ended.extracted, ended.reused) == (0, 2, 4)
    assert sorted(decoded) == ["0002.wav", "0004.wav"]
    assert stores_of(out) == before
    assert extract(small, out, "--repair").nothing_to_do


@pytest.mark.parametrize(("table", "at", "n"), [("sound", 16 * 3 + 7, 1), ("digest", 64 * 3, 1)])
def test_a_store_that_does_not_open_is_repaired_unasked(
    small, out, extract, stores_of, decoded, table, at, n
):
    before = stores_of(out)
    with open(out / "mfcc.h5", "r+b") as file:
        file.seek(open_store(out / "mfcc.h5").offsets.tables[table] + at)
        file.write(b"\x8f")
    decoded.clear()
    assert extract(small, out).extracted == n
    assert decoded == ["0003.wav"]
    assert stores_of(out) == before


def test_a_store_that_cannot_be_read_is_not_replaced(small, out, extract, monkeypatch):
    before, real = states(out), os.open

    def refused(path, *more):
        if str(path) == str(out / "mfcc.h5"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *more)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(PermissionError, match=r"mfcc\.h5"):  # the command's line
        extract(small, out, "--n-mels", 40)
    assert states(out) == before


# Settings


def test_a_data_set_is_prepared_on_the_fly(small, out, run_stage, stores_of, tmp_path):
    ended = run_stage("extract", "--data", small.table().root, "--out", "raw", "--jobs", 1)
    assert ended.code == 0
    assert stores_of(tmp_path / "raw") == stores_of(out)
    again = run_stage("extract", "--data", small.root, "--out", "raw", "--jobs", 1)
    assert again.nothing_to_do


@pytest.mark.parametrize(("flags", "said"), [
    (("--jobs", 0), "--jobs is 0"),
    (("--force", "--repair"), "give one"),
    (("--jobs", -2), "--jobs"),
    (("--sr", 999), "--sr"),
    (("--sr", "fast"), "--sr"),
    (("--features", "chroma"), "chroma"),
    (("--n-mels", 4000), "n_mels=4000 is too many"),
    (("--features.mfcc.n-mfcc", 129), "n_mfcc is 129"),
    (("--fmin", 30000), "fmin is 30000"),
    (("--fmin", "nan"), "fmin"),
    (("--hop-length", 4096), "samples between frames would be lost"),
    (("--top-db", 0), "top_db is 0"),
    (("--limit", 0), "--limit"),
    (("--n-fft", "2048.5"), "--n-fft"),
    (("--nfft", 2048), "--nfft"),
])
def test_a_setting_that_cannot_be_is_said_before_anything_is_made(
    data, call_stage, tmp_path, flags, said
):
    out = tmp_path / "stores"
    ended = call_stage("extract", "--data", data.prepared, "--out", out, *flags)
    assert ended.code == 2
    assert said in ended.err
    assert not out.exists()


def test_all_wrong_settings_are_listed(data, call_stage, tmp_path):
    ended = call_stage("extract", "--data", data.prepared, "--out", tmp_path / "s",
                       "--features.mfcc.n-mfcc", 300, "--fmin", 30000, "--top-db", -1)
    assert ended.code == 2
    for said in ("mfcc:", "logmel:", "n_mfcc is 300", "fmin is 30000", "top_db is -1"):
        assert said in ended.err


@pytest.mark.parametrize(("change", "said"), [
    (("n_mels: 128", "n_mel: 128"), "unknown key extract.n_mel; did you mean n_mels?"),
    (("  sr: 44100", "  zebra: 1\n  sr: 44100"), "unknown key extract.zebra"),
    (("  n_fft: 2048\n", ""), "extract.n_fft is missing"),
    (("hop_length: 512", "hop_length: wide"), "needs a whole number"),
    (("extract:", "extrakt:"), "no section 'extract'"),
    (("extract:", "extract: ["), "not valid YAML"),
])
def test_params_are_checked(
    data, call_stage, stage_command, tmp_path, monkeypatch, change, said
):
    text = Path(stage_command("extract")[4]).read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / "params.yaml").write_text(text.replace(*change, 1))
    monkeypatch.chdir(tmp_path)  # else it would be laid over the project's
    ended = call_stage("extract", "--data", data.prepared, "--out", "s", "--params", "params.yaml")
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "s").exists()


def test_what_is_not_there_is_said(run_stage, tmp_path):
    for name in ("nowhere", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        ended = run_stage("extract", "--data", name, "--out", "s")
        assert ended.code == 2
        assert name in ended.err
        assert "Traceback" not in ended.err


# The machine


def test_a_folder_is_held_by_one_run(data, run_stage, tmp_path):
    (tmp_path / "s").mkdir()
    with open(tmp_path / "s" / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 4242 on somewhere\n")
        file.flush()
        ended = run_stage("extract", "--data", data.prepared, "--out", "s")
    assert ended.code == 1
    assert "s is in use by process 4242 on somewhere" in ended.err
    assert "Traceback" not in ended.err
    # The file stays and holds nobody back.
    assert run_stage("extract", "--data", data.prepared, "--out", "s", "--jobs", 1).code == 0


def test_out_is_a_file(data, run_stage, tmp_path):
    (tmp_path / "s").write_text("precious")
    ended = run_stage("extract", "--data", data.prepared, "--out", "s")
    assert ended.code in (1, 2)
    assert ended.err.count("\n") == 1
    assert "s: " in ended.err
    assert (tmp_path / "s").read_text() == "precious"


def test_out_cannot_be_written(data, run_stage):
    ended = run_stage("extract", "--data", data.prepared, "--out", "/proc/stores")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "/proc/stores" in ended.err


def test_progress_is_lines_where_there_is_no_terminal(data, extract, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.runtime.progress._EVERY_SECONDS", 0.0)
    monkeypatch.setattr("pipeline.extraction.run._TASK_CLIPS", 1)
    ended = extract(data, tmp_path / "s")
    lines = ended.err.splitlines()
    assert len(lines) == N
    assert lines[0].startswith(f"  1/{N} clips, ")
    assert f"{N}/{N} clips" in lines[-1]
    assert "x real time" in lines[-1]
    assert lines[-1].endswith("0 s left")
    assert "\r" not in ended.err


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ClipProgress(3, 7200.0) as progress:
        for bad in (0, 1, 0):
            time.sleep(0.11)  # tqdm draws ten times a second at most
            progress.update(1, 2400.0, bad=bad)
    shown = terminal.getvalue()
    assert " 33%|" in shown
    assert "1/3 clips, 40.0 min of 2.0 h, " in shown
    assert "2/3 clips, 1.3 h of 2.0 h, " in shown
    assert "x real time, 1 bad" in shown
    assert "\n" not in shown


def test_a_terminal_sees_the_bar_and_a_clean_screen_after_it(
    data_set, stage_command, tmp_path
):
    data_set.fill(130, seconds=0.02).prepare()
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n_pwrite = os.pwrite\n"
        "os.pwrite = lambda *args: time.sleep(0.0003) or _pwrite(*args)\n"
    )
    path = os.pathsep.join((str(tmp_path), stage_command.environment["PYTHONPATH"]))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        stage_command("extract", "--data", data_set.prepared, "--out", "s", "--jobs", 1),
        cwd=tmp_path, env={**stage_command.environment, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL, stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    # The other end closes as an error on Linux.
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert process.wait() == 0
    assert b"64/130 clips, " in shown
    assert shown.endswith(b"\r")
    assert b"\n" not in shown.replace(b"\x1b[A", b"")


# A full disk


@pytest.fixture
def full_disk(tmp_path):
    """Mount a file system of so many bytes on tmp_path / "disk"."""
    (tmp_path / "disk").mkdir()
    mounted = []

    def mount(size):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path / "disk")],
            capture_output=True, text=True,
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(tmp_path / "disk")
        return tmp_path / "disk"

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def frames_of(stores):
    """Bytes of the frames of all stores in a folder: what is known to be needed."""
    return sum(open_store(path).frames.nbytes for path in stores.glob("*.h5"))


def pages(n_bytes):
    return -(-n_bytes // 4096) * 4096


def test_a_disk_that_is_too_small_is_known_before(data, reference, run_stage, full_disk):
    disk = full_disk(pages(frames_of(data.root / "reference")) - 4096)
    ended = run_stage("extract", "--data", data.prepared, "--out", disk / "s", "--jobs", 1)
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "no space left" in ended.err
    assert "dtype of float16" in ended.err
    assert list((disk / "s").iterdir()) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_disk_that_fills_up_leaves_the_old_stores(
    data, reference, run_stage, stores_of, full_disk, jobs
):
    """The frames would just fit; their tables do not."""
    frames = frames_of(data.root / "reference")
    disk = full_disk(pages(sum(map(len, reference.values())) + frames) + 8 * 4096)
    for name, content in reference.items():
        (disk / name).write_bytes(content)
    flags = ("--data", data.prepared, "--out", disk, "--jobs", jobs, "--trim-db", 40)
    ended = run_stage("extract", *flags)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err.count("\n") == 1
    assert re.match(
        rf"extract: {disk}/\.\w+-\w+\.(partial|journal): No space left on device\n", ended.err
    )
    assert stores_of(disk) == reference
    # There is room again: the same command resumes.
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    assert run_stage("extract", *flags).code == 0
    assert all(list(open_store(path).verify()) == [] for path in disk.glob("*.h5"))
    assert stores_of(disk).keys() == reference.keys()


@pytest.mark.parametrize("limit", [3_000, 20_000, 60_000])
def test_a_limit_on_file_sizes_is_one_clear_line(data, run_stage, stores_of, tmp_path, limit):
    """While a store is laid out, and while it is filled."""
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ended = run_stage("extract", "--data", data.prepared, "--out", "s", "--jobs", 1,
                      preexec_fn=limited)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err.count("\n") == 1
    assert re.match(r"extract: s/\.\w+-\w+\.(partial|journal): File too large\n", ended.err)
    assert stores_of(tmp_path / "s").keys() < {"logmel.h5", "mfcc.h5", "waveform.h5"}


# Not getrusage, whose peak is that of the process that started this one if it was higher.
MEASURE = """
import sys
from pipeline import extract
from pipeline.cli.settings import parse
extract.run(parse("extract", extract.Settings, "", sys.argv[1:]))
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_half_an_hour_takes_little_memory(data_set, stage_command, tone):
    with soundfile.SoundFile(data_set.audio / "long.wav", "w", 44100, 2, "PCM_16") as file:
        for _ in range(180):
            file.write(tone(10, channels=2))
    data_set.prepare()
    flags = stage_command("extract", "--data", data_set.prepared, "--jobs", 1,
                          "--out", data_set.root / "stores")[3:]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *flags], capture_output=True, text=True, check=True,
        env=stage_command.environment,
    )
    # In kB. The waveform alone would be 635 MB as stereo float32, the log-mel frames 79 MB.
    assert int(re.search(r"VmHWM:\s*(\d+) kB", done.stdout)[1]) < 400_000
