"""Any folder of audio into a store, from Python and by the command."""

import os
import warnings

import numpy as np
import pytest
import soundfile

from features.logmel import LogMel
from features.pcen import Pcen
from features.waveform import Waveform
from pipeline.extraction import extract_folder
from pipeline.runtime.errors import BadClipsError, PipelineError, UsageError

FEATURE = LogMel(sr=16000, n_fft=512, hop_length=256, n_mels=32)


@pytest.fixture
def recordings(tmp_path, tone):
    """Recordings in folders, with other files between them."""
    root = tmp_path / "recordings"
    for i, name in enumerate(("b.wav", "x/A.WAV", "x/y, z/<script>.flac", "x/y, z/é.ogg")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, tone(0.1 + i / 50, seed=i), 44100)
    (root / "notes.txt").write_text("x")
    (root / "x" / "table.csv").write_text("name,class\na,b\n")
    return root


NAMES = ["b.wav", "x/A.WAV", "x/y, z/<script>.flac", "x/y, z/é.ogg"]


def call(recordings, out, feature=FEATURE, **options):
    """(store, what was warned of)"""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # In this process, where a test can look into it.
        options = {"jobs": 1, "backend": "threading", **options}
        store = extract_folder(recordings, feature, out=out, **options)
    return store, [str(each.message) for each in caught if each.category is UserWarning]


def test_one_call_from_audio_to_an_open_store(recordings, tmp_path):
    store, warned = call(recordings, tmp_path / "out")
    assert list(store) == NAMES
    assert warned == ["2 files that are not audio are left out: 1 .csv, 1 .txt"]
    y, sr = soundfile.read(recordings / "b.wav", dtype="float32")
    assert store["b.wav"].shape == (FEATURE.n_frames(-(-len(y) * 16000 // sr)), 32)
    whole, _ = call(recordings, tmp_path / "w", Waveform(sr=44100, dtype="float32"))
    np.testing.assert_array_equal(whole["b.wav"][:], y)


def test_the_same_bytes_as_the_command(recordings, tmp_path, call_stage, stores_of):
    call(recordings, tmp_path / "a", Waveform(sr=8000, dtype="int16"))
    call(recordings, tmp_path / "b", Waveform(sr=8000, dtype="int16"), jobs=2)
    ended = call_stage("extract", "--data", recordings, "--out", tmp_path / "c", "--jobs", 1,
                       "--features", "waveform", "--features.waveform.sr", 8000)
    assert ended.err == "  note: 2 files that are not audio are left out: 1 .csv, 1 .txt\n"
    assert stores_of(tmp_path / "a") == stores_of(tmp_path / "b") == stores_of(tmp_path / "c") != {}


def test_a_second_call_decodes_only_what_is_new(recordings, tmp_path, tone, monkeypatch):
    from pipeline.extraction import worker

    decoded = []
    fill = worker.Worker._fill

    def spy(self, task, digest):
        decoded.append(task.clip_id)
        return fill(self, task, digest)

    monkeypatch.setattr(worker.Worker, "_fill", spy)
    call(recordings, tmp_path / "out")
    assert sorted(decoded) == sorted(NAMES)
    before = os.stat(tmp_path / "out" / "logmel.h5").st_mtime_ns
    call(recordings, tmp_path / "out")
    assert os.stat(tmp_path / "out" / "logmel.h5").st_mtime_ns == before
    decoded.clear()
    soundfile.write(recordings / "new.wav", tone(0.1), 44100)
    store, _ = call(recordings, tmp_path / "out")
    assert decoded == ["new.wav"]
    assert list(store) == [NAMES[0], "new.wav", *NAMES[1:]]


def test_stores_inside_the_folder_are_not_taken_for_its_files(recordings, tmp_path):
    for _ in range(2):
        store, warned = call(recordings, recordings / "stores", name="mel-32")
        assert warned == ["2 files that are not audio are left out: 1 .csv, 1 .txt"]
    assert (store.path, list(store)) == (recordings / "stores" / "mel-32.h5", NAMES)


def test_bad_files_are_listed_in_the_exception(recordings, tmp_path, capfd):
    (recordings / "b.wav").write_bytes(b"")
    (recordings / "talk.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    y, sr = soundfile.read(recordings / "x" / "A.WAV")
    y[50] = np.nan
    soundfile.write(recordings / "x" / "A.WAV", y, sr, subtype="FLOAT")
    with open(os.path.join(os.fsencode(recordings), b"caf\xe9.wav"), "wb"):
        pass
    with pytest.raises(BadClipsError) as error:
        call(recordings, tmp_path / "out")
    assert {p.where: p.reason for p in error.value.problems} == {
        "b.wav": "empty", "talk.m4a": "not-audio", "x/A.WAV": "non-finite",
        "caf\\xe9.wav": "bad-name"}
    for words in ("4 bad clips, 0 allowed", "  b.wav: empty: it has 0 bytes. Get the file again",
                  "talk.m4a: not-audio", "MPEG-4 (AAC)", "x/A.WAV: non-finite"):
        assert words in str(error.value)
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "out" / "logmel.h5").exists()
    store, _ = call(recordings, tmp_path / "out", allow_failures=4)
    assert list(store) == NAMES[2:]


def test_the_command_lists_them_on_the_terminal(recordings, tmp_path, call_stage):
    (recordings / "b.wav").write_bytes(b"")
    ended = call_stage("extract", "--data", recordings, "--out", tmp_path / "o", "--jobs", 1)
    assert ended.code == 3
    assert "  b.wav: empty: it has 0 bytes. Get the file again\n" in ended.err
    ended = call_stage("extract", "--data", recordings, "--out", tmp_path / "o", "--dry-run")
    assert (ended.code, "b.wav: empty" in ended.err) == (0, True)


@pytest.mark.parametrize(("changed", "words"), [
    ({"feature": LogMel}, "needs a feature with its settings"),
    ({"feature": "logmel"}, "feature is 'logmel'"),
    ({"jobs": 0}, "jobs is 0"),
    ({"jobs": -2}, "jobs is -2"),
    ({"allow_failures": -1}, "allow_failures is -1"),
    ({"name": "../x"}, "feature '../x': a store's file gets this name"),
])
def test_arguments_are_checked(recordings, tmp_path, changed, words):
    with pytest.raises(UsageError) as error:
        call(recordings, tmp_path / "out", **changed)
    assert words in str(error.value)
    assert not (tmp_path / "out").exists()


def test_folders_without_audio(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("x")
    for data, words in ((tmp_path / "empty", "no audio there"), (tmp_path / "text", "1 .txt"),
                        (tmp_path / "nowhere", "no such folder")):
        with pytest.raises(UsageError) as error:
            call(data, tmp_path / "out")
        assert words in str(error.value)


def test_the_environment_is_as_it_was(recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    call(recordings, tmp_path / "out")
    assert dict(os.environ) == before


def test_two_folders_into_one_are_not_mixed(recordings, tmp_path, tone):
    """The store becomes that of the second folder; no clip of the first stays in it."""
    call(recordings, tmp_path / "out")
    (tmp_path / "other").mkdir()
    soundfile.write(tmp_path / "other" / "b.wav", tone(0.3, seed=9), 44100)
    store, _ = call(tmp_path / "other", tmp_path / "out")
    assert list(store) == ["b.wav"]
    with pytest.raises(PipelineError):
        extract_folder(recordings / "b.wav", FEATURE, out=tmp_path / "out")


@pytest.mark.filterwarnings("error")
def test_values_that_a_dtype_cannot_hold_are_a_problem_of_the_clip(tmp_path, tone):
    soundfile.write(tmp_path / "quiet.wav", np.zeros(8000), 16000)
    soundfile.write(tmp_path / "loud.wav", tone(0.5, sr=16000), 16000)
    pcen = {"sr": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 32, "gain": 0.0, "power": 1.0}
    with pytest.raises(BadClipsError) as caught:
        extract_folder(tmp_path, Pcen(dtype="float16", **pcen), out=tmp_path / "out", jobs=1)
    (problem,) = caught.value.problems
    assert (problem.where, problem.reason) == ("loud.wav", "out-of-range")
    assert problem.found == "pcen has values that are NaN or infinite in float16"
    store = extract_folder(tmp_path, Pcen(dtype="float32", **pcen), out=tmp_path / "out", jobs=1)
    assert np.isfinite(store.mean_std()).all()
