"""Tags of real files by tiny runs, as the command prints and writes them."""

import csv
import json
import os
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from pipeline.dataset.tables import Dataset, Label, write_dataset, write_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.json_files import read_json, write_json
from pipeline.submitting.submitted_scores import read_test_scores

CLASSES = ("Bark", "Meow", "Rain")
SECONDS = 0.25
N_TRAINING, N_TEST = 12, 6
RUNS = {"mel": ("logmel", "dummy2d"), "wave": ("waveform", "dummy1d")}
SOUND = ("--crops", "sound", "--overlap", 0.5)


@pytest.fixture(scope="module")
def trained(make_data_set, call_stage, extract, tone):
    """Runs of two folds and ensembles of them, with the scores that predict writes."""
    data = make_data_set().fill(N_TRAINING)
    for i in range(N_TEST):  # at other rates than the features', from shorter than a crop to 5
        sr = (44100, 16000, 22050)[i % 3]
        y = tone(0.1 + 0.23 * i, sr=sr, seed=100 + i)
        # Silence at the end, which some runs leave out.
        data.write(f"test{i}.wav", np.pad(y, (0, i % 2 * sr // 2)), sr)
    data.prepare()
    write_dataset(data.prepared, Dataset(data.root, "csv", CLASSES, "multi"))
    write_labels(data.prepared, [
        *(Label(f"{i:04d}.wav", (CLASSES[i % 3],), "curated", i % 2, "")
          for i in range(N_TRAINING)),
        *(Label(f"test{i}.wav", (), "test", None, "") for i in range(N_TEST)),
    ])
    stores, runs = data.root / "stores", data.root / "runs"
    assert extract(data, stores, "--features", "logmel", "waveform").code == 0
    for name, (feature, model) in {**RUNS, "sound": RUNS["mel"]}.items():
        where = ("--data", data.prepared, "--stores", stores, "--runs-dir", runs, "--run", name)
        for ended in (
            call_stage("train", *where, "--features", feature, "--model", model, "--epochs", 1,
                       "--learning-rate", 0.3, *(SOUND if name == "sound" else ()),
                       "--seconds", SECONDS * (2 if name == "wave" else 1), "--jobs", 1),
            call_stage("predict", *where),
        ):
            assert ended.code == 0, ended.err
    for name, more in {"both": ("--weights", 1, 2), "ranks": ("--method", "rank")}.items():
        ended = call_stage("ensemble", "--runs", *RUNS, "--runs-dir", runs, "--data",
                           data.prepared, "--name", name, *more)
        assert ended.code == 0, ended.err
    shutil.rmtree(stores)  # nothing below needs them
    return data


@pytest.fixture
def tag(trained, call_stage):
    """Call tag with the tiny runs and one job."""
    def call(*flags, run="mel", jobs=1):
        return call_stage("tag", *flags, "--runs-dir", trained.root / "runs", "--run", run,
                          "--jobs", jobs)

    return call


@pytest.fixture
def runs(trained, tmp_path):
    """A copy of the runs, to be damaged."""
    return shutil.copytree(trained.root / "runs", tmp_path / "runs")


def test_files(trained):
    return [trained.audio / f"test{i}.wav" for i in range(N_TEST)]


test_files.__test__ = False


def scores_of(ended):
    """The scores that a JSON document has, by the files' names."""
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    return {os.path.basename(file["file"]): np.array(file["scores"], np.float32)
            for file in document["files"]}, tuple(document["model"]["classes"])


@pytest.mark.parametrize("run", ["mel", "wave", "sound", "both", "ranks"])
def test_scores_are_those_that_predict_and_ensemble_write(trained, tag, run):
    found, classes = scores_of(tag(*test_files(trained), "--json", run=run))
    written = read_test_scores(trained.root / "runs", run)
    assert classes == written.classes
    assert set(found) == set(written.clip_ids)
    for clip_id, values in zip(written.clip_ids, written.values, strict=True):
        # Equal but for how many crops a batch has.
        np.testing.assert_allclose(found[clip_id], values, rtol=2e-6)
    if run != "ranks":
        # Not because all files have the same scores.
        assert np.ptp(list(found.values()), axis=0).max() > 1e-3


def test_a_folder_is_the_same_as_its_files_and_workers_as_one_process(trained, tag):
    alone, _ = scores_of(tag(*test_files(trained), trained.audio / "0000.wav", "--json"))
    together, _ = scores_of(tag(trained.audio, "--json", jobs=2))
    assert len(together) == N_TRAINING + N_TEST
    assert list(together) == sorted(together)
    for name, values in alone.items():
        np.testing.assert_allclose(together[name], values, rtol=2e-6)


def test_the_table_shows_top_tags_by_their_scores(trained, tag):
    path = trained.audio / "test0.wav"
    ended = tag(path, "--top", 2)
    assert ended.code == 0
    found, classes = scores_of(tag(path, "--json"))
    order = np.argsort(-found["test0.wav"])[:2]
    name, *lines = ended.out.splitlines()[2:]
    assert name == f"{path}  0.1 s"
    assert [line.split()[-1] for line in lines] == [classes[k] for k in order]
    assert [line.split()[0] for line in lines] == [
        f"{found['test0.wav'][k]:.2f}" for k in order]
    assert "mel: run, dummy2d on logmel, geometric mean of 2 folds" in ended.out
    assert "each scored by itself, 0 to 1 (sigmoid)" in ended.out
    high = tag(path, "--min-score", 0.999)
    assert "no tag of 0.999 or more; the highest is" in high.out


def test_a_long_file_has_a_time_line_and_a_short_one_has_not(trained, tag, tmp_path, tone):
    path = tmp_path / "long.flac"
    soundfile.write(path, tone(1.6, sr=48000), 48000)
    document = json.loads(tag(path, trained.audio / "test0.wav", "--json").out)
    long, short = document["files"]
    assert short["timeline"] is None
    windows = long["timeline"]["windows"]
    assert [w["start"] for w in windows] == pytest.approx(
        [*np.arange(0, 1.35, SECONDS / 2), 1.6 - SECONDS])
    assert windows[-1]["end"] == pytest.approx(1.6)
    stretches = long["timeline"]["stretches"]
    assert stretches[0]["start"] == 0
    assert stretches[-1]["end"] == pytest.approx(1.6)
    assert all(a["end"] == b["start"] and a["tag"] != b["tag"]
               for a, b in pairwise(stretches))
    assert "top tag over time" in tag(path).out
    assert "over time" not in tag(path, "--timeline", "never").out
    assert "over time" in tag(trained.audio / "test0.wav", "--timeline", "always").out
    wide = json.loads(tag(path, "--json", "--hop-seconds", 0.5).out)
    assert len(wide["files"][0]["timeline"]["windows"]) == 4
    assert wide["files"][0]["scores"] == long["scores"]


def test_windows_of_the_crops_grid_average_to_the_files_score(tag, tmp_path, tone):
    # Of a file of 6 crops; samples, because mel frames of a window overlap its ends.
    path = tmp_path / "six.wav"
    soundfile.write(path, tone(3.0, sr=16000), 16000, "FLOAT")
    file = json.loads(tag(path, "--json", "--hop-seconds", 2 * SECONDS, "--timeline", "always",
                          run="wave").out)["files"][0]
    windows = np.array([w["scores"] for w in file["timeline"]["windows"]])
    assert len(windows) == 6
    # Geometric over the folds, so only nearly; a shifted grid is far off.
    np.testing.assert_allclose(windows.mean(axis=0), file["scores"], rtol=0.02)


def test_frames_of_a_long_file_may_wait_on_disk(trained, tag, monkeypatch):
    from pipeline.tagging import decoding, tag_files

    files = test_files(trained)[3:5]
    before, _ = scores_of(tag(*files, "--json", run="both"))
    monkeypatch.setattr(tag_files, "FrameWorker",
                        lambda *args: decoding.FrameWorker(*args, in_memory=0))
    after, _ = scores_of(tag(*files, "--json", run="both"))
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=2e-6)


def test_chunks_of_one_file_give_the_same_in_order(trained, tag, monkeypatch):
    from pipeline.tagging import tag_files

    files = test_files(trained)[:3]
    before, _ = scores_of(tag(*files, "--json"))
    monkeypatch.setattr(tag_files, "_CHUNK_FILES", 1)
    monkeypatch.setattr(tag_files, "_TASK_FILES", 1)
    after, _ = scores_of(tag(*files, "--json"))
    assert list(after) == list(before)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=2e-6)


def test_csv_and_json_together(trained, tag, tmp_path):
    path = tmp_path / "new" / "tags.csv"
    ended = tag(*test_files(trained), "--json", "--csv", path)
    found, classes = scores_of(ended)
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "seconds", *classes]
    assert [row[0] for row in rows] == [str(p) for p in test_files(trained)]
    for row in rows:
        np.testing.assert_array_equal(
            np.array(row[2:], np.float32), found[os.path.basename(row[0])])
    assert not list(path.parent.glob("*.partial"))


def test_a_csv_that_is_a_folder_is_refused_at_once(trained, tag, tmp_path):
    ended = tag(trained.audio / "test0.wav", "--csv", tmp_path)
    assert ended.code == 2
    assert f"--csv {tmp_path}: a folder; needs a file to write" in ended.err


def test_bad_files_are_all_listed_and_the_good_ones_tagged(trained, tag, tmp_path):
    folder = tmp_path / "mixed"
    (folder / "deep" / "empty").mkdir(parents=True)
    shutil.copy(trained.audio / "test1.wav", folder / "deep" / "good.WAV")
    whole = (trained.audio / "test5.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:-100])
    (folder / "page.mp3").write_bytes(b"<!doctype html><p>404")
    (folder / "void.ogg").touch()
    (folder / "notes.txt").write_text("no audio")
    (folder / ".hidden.wav").touch()
    os.mkfifo(folder / "pipe.wav")
    soundfile.write(folder / "nan.wav", np.full(100, np.nan, np.float32), 8000, "FLOAT")
    (folder / "back").symlink_to(folder)
    ended = tag(folder, tmp_path / "none.wav", folder / "deep" / "empty", "--json", "--csv",
                tmp_path / "tags.csv", jobs=2)
    assert ended.code == 3
    document = json.loads(ended.out)
    assert [os.path.basename(f["file"]) for f in document["files"]] == ["good.WAV"]
    reasons = {os.path.basename(p["where"]): p["reason"] for p in document["problems"]}
    assert reasons == {
        "cut.wav": "truncated", "page.mp3": "not-audio", "void.ogg": "empty", "nan.wav":
        "non-finite", "pipe.wav": "not-a-file", "none.wav": "missing", "empty": "missing",
    }
    for name in reasons:
        assert f"{name}: {reasons[name]}: " in ended.err
    assert "skipped 1 file in folders" in ended.err
    assert "7 bad of 8, see above; the other 1 were tagged" in ended.err
    assert len((tmp_path / "tags.csv").read_text().splitlines()) == 2


def test_no_audio_at_all(tag, tmp_path):
    ended = tag(tmp_path)
    assert ended.code == 2
    assert f"{tmp_path}: a folder without audio files" in ended.err
    only_bad = tag(tmp_path / "none.wav")
    assert only_bad.code == 3
    assert "no such file" in only_bad.err


def test_names_of_any_bytes_do_not_garble_anything(trained, tag, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    names = [b"a\nb.wav", b"red\x1b[31m.wav", b"caf\xe9.wav", '"quoted",\u202e.wav'.encode()]
    for name in names:
        shutil.copy(trained.audio / "test0.wav", os.fsencode(folder) + b"/" + name)
    ended = tag(folder, "--csv", tmp_path / "tags.csv")
    assert ended.code == 0, ended.err
    assert all(line.isprintable() for line in (ended.out + ended.err).splitlines())
    for shown in (r"a\nb.wav", r"red\x1b[31m.wav", r"caf\xe9.wav", r'"quoted",\u202e.wav'):
        assert shown in ended.out
    document = json.loads(tag(folder, "--json").out)
    assert sorted(os.fsencode(os.path.basename(f["file"])) for f in document["files"]) == sorted(
        names)
    with open(tmp_path / "tags.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 5


def test_a_feature_of_another_version_is_refused(trained, call_stage, runs):
    folder = RunFolder(runs, "mel")
    record = folder.read()
    spec_of_run = {**record.feature, "version": 1}
    from pipeline.store.schema import FeatureSpec

    old = FeatureSpec(spec_of_run["name"], *(
        spec_of_run[k] for k in ("version", "dtype", "width", "units", "config")))
    folder.write(replace(record, feature=spec_of_run, fingerprint=old.fingerprint))
    ended = call_stage("tag", trained.audio, "--runs-dir", runs, "--run", "mel")
    assert ended.code == 4
    assert "version: 1, now 2" in ended.err
    assert "Extract and train the run again" in ended.err
    # A setting that this version does not have.
    config = {**record.feature["config"], "n_wavelets": 3}
    odd = replace(old, config=config)
    folder.write(replace(record, feature={**spec_of_run, "config": config},
                         fingerprint=odd.fingerprint))
    ended = call_stage("tag", trained.audio, "--runs-dir", runs, "--run", "both")
    assert ended.code == 4
    assert "n_wavelets" in ended.err
    assert "is an ensemble of mel, wave" in ended.err


def test_what_cannot_tag(trained, call_stage, runs):
    def tag(run, *flags):
        return call_stage("tag", trained.audio, "--runs-dir", runs, "--run", run, *flags)

    assert "did you mean both?" in tag("bth").err
    assert tag("mel", "--jobs", 0).code == 2
    path = runs / "both" / "run.json"
    record = read_json(path)
    for method in ("stack", "boost"):
        write_json(path, {**record, "method": method})
        ended = tag("both")
        assert ended.code == 2
        assert f"made by {method}, and what that learned is not on record" in ended.err
        assert "--run mel" in ended.err
    write_json(path, {**record, "members": ["both", "mel"]})
    assert tag("both").code == 4
    write_json(path, {**record, "weights": [1]})
    assert tag("both").code == 4
    write_json(path, record)
    (runs / "wave" / "folds" / "1" / "oof.npz").write_bytes(b"other scores")
    ended = tag("both")
    assert ended.code == 2
    assert "changed since in wave" in ended.err
    (runs / "mel" / "folds" / "1" / "model.keras").write_bytes(b"no model")
    ended = tag("mel")
    assert ended.code == 4
    assert "damaged, incomplete or not a model" in ended.err
    shutil.rmtree(runs / "wave")
    assert "has no run 'wave'" in tag("both").err


@pytest.mark.slow
@pytest.mark.parametrize(("format_", "suffix"), [
    ("saved_model", ""), ("litert", ".tflite"), ("onnx", ".onnx")])
def test_an_exported_model_gives_the_runs_scores(
    trained, tag, call_stage, tmp_path, format_, suffix
):
    pytest.importorskip({"litert": "ai_edge_litert", "onnx": "tf2onnx"}.get(format_, "tensorflow"))
    path = tmp_path / f"mel{suffix}"
    ended = call_stage("export", "--run", "mel", "--runs-dir", trained.root / "runs", "--data",
                       trained.prepared, "--format", format_, "--out", path)
    assert ended.code == 0, ended.err
    found, classes = scores_of(tag(*test_files(trained), "--json", "--model", path))
    written = read_test_scores(trained.root / "runs", "mel")
    assert classes == written.classes
    for clip_id, values in zip(written.clip_ids, written.values, strict=True):
        np.testing.assert_allclose(found[clip_id], values, atol=1e-5)


def test_as_a_command_it_prints_json_alone(trained, run_stage):
    ended = run_stage("tag", trained.audio / "test0.wav", "--runs-dir", trained.root / "runs",
                      "--run", "mel", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["files"][0]["tags"]
    assert ended.err == ""
