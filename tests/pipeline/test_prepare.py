"""The stage and its library function: from folders to tables, and every exit code."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio.file_header import Header
from pipeline.dataset import preparation
from pipeline.dataset import tables as clips
from pipeline.dataset.tables import Clip, Label
from pipeline.runtime.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
CLASSES = ("Bark", "Meow", "Purr")
KNOWN_BAD = ["1d44b0bd.wav", "6a1f682a.wav", "7752cc8a.wav", "77b925c2.wav", "c7db12aa.wav",
             "f76181c4.wav"]


def wavs(folder: Path, *names: str, frames: int = 441) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        soundfile.write(folder / name, np.full(frames, 0.1), 44_100, subtype="PCM_16")


def table(path: Path, header: str, rows) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


@pytest.fixture
def data(tmp_path):
    """Ten curated clips of two labels and less, three noisy ones, two test clips."""
    root = tmp_path / "data"
    root.mkdir()
    curated = [(f"c{i}.wav", CLASSES[i % 2]) for i in range(8)]
    curated += [("c8.wav", "Bark,Meow"), ("c9.wav", "Purr")]
    noisy = [("n0.wav", "Bark"), ("n1.wav", "Meow,Purr"), ("n2.wav", "Purr")]
    test = [("t0.wav", "Bark,Meow", "Public"), ("t1.wav", "Purr", "Private")]
    table(root / "train_curated.csv", "fname,labels", curated)
    table(root / "train_noisy.csv", "fname,labels", noisy)
    table(root / "test_post_competition.csv", "fname,labels,usage", test)
    table(root / "sample_submission.csv", "fname,Purr,Bark,Meow",
          [(name, 0, 0, 0) for name, *_ in test])
    for folder, rows in (("train_curated", curated), ("train_noisy", noisy), ("test", test)):
        wavs(root / folder, *(name for name, *_ in rows))
    return root


def prepare(data, **changed):
    return preparation.prepare(data, **{
        "labels": "multi", "folds": 2, "seed": 0, "drop_known_bad": True, **changed})


def run(*flags, cwd):
    """The command, as a user gives it, in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.prepare", "--params", str(ROOT / "params.yaml"),
         *map(str, flags)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=120, check=False,
    )


def test_library(data):
    result = prepare(data)
    assert result.dataset == clips.Dataset(data, "fsdkaggle2019", ("Purr", "Bark", "Meow"), "multi")
    assert [c.clip_id for c in result.clips] == sorted(
        [f"c{i}.wav" for i in range(10)] + ["n0.wav", "n1.wav", "n2.wav", "t0.wav", "t1.wav"])
    assert result.clips[0] == Clip(
        "c0.wav", "train_curated/c0.wav", Header("WAV", "PCM_16", 44_100, 1, 441))
    assert [x.clip_id for x in result.labels] == [c.clip_id for c in result.clips]
    assert result.labels[-2] == Label("t0.wav", ("Bark", "Meow"), "test", None, "Public")
    folds = {x.split: {y.fold for y in result.labels if y.split == x.split} for x in result.labels}
    assert folds == {"curated": {0, 1}, "noisy": {None}, "test": {None}}
    assert result.problems == []
    assert result.notes == ["classes with fewer curated clips than folds: Purr: 1"]


def test_written_and_read(data, tmp_path):
    result = prepare(data)
    preparation.write(result, tmp_path / "a" / "out")
    assert clips.read_clips(tmp_path / "a" / "out") == (result.dataset, result.clips)
    assert clips.read_labels(tmp_path / "a" / "out") == result.labels
    assert sorted(p.name for p in (tmp_path / "a" / "out").iterdir()) == [
        "clips.csv", "dataset.json", "labels.csv", "problems.csv"]


def killed_at(n, function, *args):
    """Call a function in a process that ends before its n-th rename or deletion; False if never."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = iter(range(n))

    def or_die(step):
        def call(*args, **kwargs):
            if next(left, None) is None:
                os._exit(9)
            return step(*args, **kwargs)

        return call

    os.replace, os.unlink = or_die(os.replace), or_die(os.unlink)
    os.fsync = lambda file: None  # a kill loses nothing that was written
    try:
        function(*args)
    finally:
        os._exit(0)


def test_a_kill_never_leaves_labels_of_one_data_set_with_clips_of_another(data, tmp_path):
    old, new = tmp_path / "old", prepare(data)
    preparation.write(prepare(data, labels="single"), old)
    preparation.write(new, tmp_path / "new")

    def contents(folder):
        return clips.read_clips(folder), clips.read_labels(folder)

    whole, seen = {name: contents(tmp_path / name) for name in ("old", "new")}, []
    assert whole["old"] != whole["new"]
    for n in range(100):
        out = tmp_path / f"{n}"
        shutil.copytree(old, out)
        if not killed_at(n, preparation.write, new, out):
            break
        seen += ([name for name in whole if contents(out) == whole[name]] or ["mixed"]
                 if clips.is_prepared(out) else ["none"])
    assert list(dict.fromkeys(seen)) == ["old", "none", "new"]
    out = tmp_path / str(seen.index("none"))
    preparation.write(new, out)
    assert contents(out) == whole["new"]
    assert {path.name for path in out.iterdir()} == {
        "clips.csv", "labels.csv", "dataset.json", "problems.csv"}


def test_tables_that_do_not_fit_on_the_disk_leave_the_old_ones(data, tmp_path, monkeypatch):
    preparation.write(prepare(data, labels="single"), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()}
    monkeypatch.setattr(clips, "write_dataset", lambda *args: os.stat(tmp_path / "no/space"))
    with pytest.raises(FileNotFoundError):
        preparation.write(prepare(data), tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()}
    assert {**after, "problems.csv": b""} == {**before, "problems.csv": b""}


def test_the_order_of_rows_changes_nothing(data, tmp_path):
    preparation.write(prepare(data), tmp_path / "a")
    for name in ("train_curated.csv", "train_noisy.csv"):
        header, *rows = (data / name).read_text().splitlines()
        (data / name).write_text("\n".join([header, *reversed(rows)]))
    preparation.write(prepare(data), tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_nothing_of_the_circumstances_is_written(data, tmp_path, monkeypatch):
    """Other times of modification and another place give the same bytes but for the root."""
    (data / "train_curated" / "c0.wav").write_bytes(b"")
    (data / "train_curated" / "c1.wav").unlink()
    (data / "train_curated" / "c1.wav").symlink_to(tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    preparation.write(prepare(Path("data"), header_cache=tmp_path / "x.csv"), Path("a"))
    for path in data.rglob("*.wav"):
        if not path.is_symlink():
            os.utime(path, ns=(0, 12345))
    (tmp_path / "elsewhere").mkdir()
    data.rename(tmp_path / "elsewhere" / "data")
    monkeypatch.chdir(tmp_path / "elsewhere")
    preparation.write(prepare(Path("data")), Path("a"))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == Path("a", path.name).read_bytes()


def test_folds_can_wait(data):
    found = prepare(data, folds=None)
    assert {x.fold for x in found.labels} == {None}
    assert preparation.with_folds(found, folds=2, seed=0) == prepare(data)


def test_folds_are_remembered(data, tmp_path):
    cache = tmp_path / "memory" / "headers.csv"
    result = prepare(data, header_cache=cache)
    assert sorted(p.name for p in cache.parent.iterdir()) == ["folds.txt", "headers.csv"]
    assert prepare(data, header_cache=cache) == result == prepare(data)


def test_single(data):
    multi, result = prepare(data), prepare(data, labels="single")
    assert result.clips == multi.clips
    gone = {x.clip_id for x in multi.labels} - {x.clip_id for x in result.labels}
    assert gone == {"c8.wav", "n1.wav"}
    assert result.dataset.label_mode == "single"
    assert any(note.startswith("2 training clips with several labels") for note in result.notes)


def test_known_bad(data):
    rows = [(name, "Bark") for name in KNOWN_BAD]
    with open(data / "train_curated.csv", "a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    wavs(data / "train_curated", *KNOWN_BAD[1:])  # one is not even there
    result = prepare(data)
    assert [(p.where, p.reason) for p in result.problems] == [(n, "known-bad") for n in KNOWN_BAD]
    assert preparation.bad(result.problems) == []
    assert not {c.clip_id for c in result.clips} & set(KNOWN_BAD)
    assert not {x.clip_id for x in result.labels} & set(KNOWN_BAD)
    assert any("6 curated clips are left out" in note and "f76181c4.wav" in note
               for note in result.notes)
    kept = prepare(data, drop_known_bad=False)
    assert {c.clip_id for c in kept.clips} >= set(KNOWN_BAD[1:])
    assert [(p.where, p.reason) for p in kept.problems] == [(KNOWN_BAD[0], "missing")]


def test_known_names_in_other_data_are_kept(data, tmp_path):
    with open(data / "train_noisy.csv", "a", encoding="utf-8") as file:
        file.write("f76181c4.wav,Bark\n")
    wavs(data / "train_noisy", "f76181c4.wav")
    assert "f76181c4.wav" in {c.clip_id for c in prepare(data).clips}
    own = tmp_path / "own"
    wavs(own / "audio", "f76181c4.wav", "b.wav")
    table(own / "meta.csv", "fname,label", [("f76181c4.wav", "A"), ("b.wav", "A")])
    assert len(prepare(own).clips) == 2


def test_a_fold_column_wins(tmp_path):
    names = [f"{i}.wav" for i in range(6)]
    wavs(tmp_path / "audio", *names)
    table(tmp_path / "meta.csv", "fname,fold,label",
          [(name, 1 + 2 * (i % 3), "A") for i, name in enumerate(names)])
    result = prepare(tmp_path, folds=5)
    assert [x.fold for x in result.labels] == [0, 1, 2, 0, 1, 2]
    assert result.notes == ["folds are renumbered: 1 is 0, 3 is 1, 5 is 2",
                          "the 3 folds of the data set itself are used, not 5 of seed 0"]


def test_a_fold_column_of_one_fold(tmp_path):
    wavs(tmp_path / "audio", "a.wav", "b.wav")
    table(tmp_path / "meta.csv", "fname,fold,label", [("a.wav", 1, "A"), ("b.wav", 1, "A")])
    with pytest.raises(UsageError, match="the same fold for all clips"):
        prepare(tmp_path)


def test_a_fold_whose_clips_are_all_bad_leaves_no_gap(tmp_path):
    wavs(tmp_path / "audio", "a.wav", "c.wav")
    (tmp_path / "audio" / "b.wav").write_bytes(b"")
    table(tmp_path / "meta.csv", "fname,fold,label",
          [("a.wav", 0, "A"), ("b.wav", 1, "A"), ("c.wav", 2, "A")])
    result = prepare(tmp_path)
    assert [(x.clip_id, x.fold) for x in result.labels] == [("a.wav", 0), ("c.wav", 1)]


def test_fewer_clips_than_folds(data):
    with pytest.raises(UsageError, match="10 curated clips cannot make 11 folds"):
        prepare(data, folds=11)


def test_without_curated_clips_there_are_no_folds(data):
    (data / "train_curated.csv").unlink()
    result = prepare(data)
    assert {x.fold for x in result.labels} == {None}
    assert "there are no curated clips, so there are no folds to train on" in result.notes
    assert "train_curated/ is left out: no table names its clips" in result.notes


def test_files_that_no_table_names(data):
    wavs(data / "train_curated", "x1.wav", "x2.wav", "x3.wav", "x4.wav")
    (data / "train_curated" / ".DS_Store").write_bytes(b"")
    (data / "train_curated" / "README.md").write_bytes(b"")
    assert ("4 files in train_curated/ are not in any table: x1.wav, x2.wav, x3.wav, …"
            in prepare(data).notes)


def test_a_wrong_row_and_a_wrong_file_are_both_told(data):
    with open(data / "train_curated.csv", "a", encoding="utf-8") as file:
        file.write("d.wav,Brak\n")
    (data / "train_curated" / "d.wav").write_bytes(b"<html>")
    result = prepare(data)
    assert [(p.where, p.reason) for p in result.problems] == [
        ("train_curated.csv:12", "unknown-label"), ("d.wav", "not-audio")]
    assert "d.wav" not in {c.clip_id for c in result.clips}


def test_duplicates_are_left_out_altogether(data):
    with open(data / "train_noisy.csv", "a", encoding="utf-8") as file:
        file.write("c0.wav,Purr\n")
    result = prepare(data)
    assert [(p.where, p.reason) for p in result.problems] == [("train_noisy.csv:5", "duplicate")]
    assert "c0.wav" not in {c.clip_id for c in result.clips}
    assert "c0.wav" not in {x.clip_id for x in result.labels}


# Through the command


def test_command(data, tmp_path):
    done = run("--data", "data", "--folds", 2, "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("15 clips", "3 classes", "curated     10 clips", "noisy        3 clips",
                  "test         2 clips", "2 folds of 5, 5 clips", "Purr: 1", "out is ready"):
        assert words in done.stdout
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["root"] == "data"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "clips.csv", "dataset.json", "labels.csv", "problems.csv"]
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert run("--data", "data", "--folds", 2, "--out", "out", cwd=tmp_path).returncode == 0
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    result = prepare(data)
    assert clips.read_clips(tmp_path / "out")[1] == result.clips
    assert clips.read_labels(tmp_path / "out") == result.labels


def test_command_lists_all_that_is_wrong_and_writes_no_tables(data, tmp_path):
    (data / "train_curated" / "c0.wav").write_bytes(b"")
    (data / "train_curated" / "c1.wav").unlink()
    os.mkfifo(data / "train_curated" / "c1.wav")
    (data / "test" / "t0.wav").unlink()
    with open(data / "train_noisy.csv", "a", encoding="utf-8") as file:
        file.write("../../etc/passwd,Bark\n")
    done = run("--data", "data", "--folds", 2, "--out", "out", cwd=tmp_path)
    assert done.returncode == 3
    for words in ("train_noisy.csv:5: outside:", "c0.wav: empty:", "c1.wav: not-a-file:",
                  "t0.wav: missing:", "prepare: 4 bad clips", "--allow-failures 4"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["problems.csv"]
    with open(tmp_path / "out" / "problems.csv", encoding="utf-8", newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == [
            "outside", "empty", "not-a-file", "missing"]


def test_command_accepts_as_many_as_allowed(data, tmp_path):
    (data / "train_curated" / "c0.wav").write_bytes(b"")
    (data / "train_curated" / "c1.wav").unlink()
    flags = ("--data", "data", "--folds", 2, "--out", "out")
    assert run(*flags, "--allow-failures", 1, cwd=tmp_path).returncode == 3
    done = run(*flags, "--allow-failures", 2, cwd=tmp_path)
    assert done.returncode == 0
    assert "c0.wav: empty" in done.stderr
    assert "2 bad clips or rows are left out" in done.stdout
    assert len(clips.read_clips(tmp_path / "out")[1]) == 13


def test_old_tables_stay(data, tmp_path):
    flags = ("--data", "data", "--folds", 2, "--out", "out")
    assert run(*flags, cwd=tmp_path).returncode == 0
    before = (tmp_path / "out" / "clips.csv").read_bytes()
    (data / "train_curated" / "c0.wav").unlink()
    assert run(*flags, cwd=tmp_path).returncode == 3
    assert (tmp_path / "out" / "clips.csv").read_bytes() == before
    assert "c0.wav" in (tmp_path / "out" / "problems.csv").read_text()


def test_bad_clips_come_before_too_few_clips(data, tmp_path):
    for path in (data / "train_curated").iterdir():
        path.write_bytes(b"")
    done = run("--data", "data", "--out", "out", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count(": empty:") == 10


def test_missing_folder_of_a_table(data, tmp_path):
    for path in (data / "train_noisy").iterdir():
        path.unlink()
    (data / "train_noisy").rmdir()
    done = run("--data", "data", "--folds", 2, "--out", "out", cwd=tmp_path)
    assert done.returncode == 3
    assert "note: there is no folder train_noisy/ for the 3 clips of train_noisy.csv" in done.stderr


@pytest.mark.parametrize(("flags", "words"), [
    (("--data", "nothing"), "python -m pipeline.demo"),
    (("--data", "."), "no CSV there names clips"),
    (("--folds", "11"), "10 curated clips cannot make 11 folds"),
    (("--folds", "1"), "at least 2"),
    (("--seed", "-1"), "0 to 4294967295"),
    (("--labels", "both"), "invalid choice"),
    (("--allow-failures", "-1"), "at least 0"),
    (("--out", "data/train_curated.csv"), "not a folder"),
])
def test_usage_errors(data, tmp_path, flags, words):
    done = run("--data", "data", "--out", "out", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "clips.csv").exists()


def test_command_with_single_labels_and_a_table_as_data(tmp_path):
    names = [f"{i}.wav" for i in range(4)]
    wavs(tmp_path / "own" / "audio", *names)
    table(tmp_path / "own" / "meta.csv", "label,fname",
          [(label, name) for label, name in zip(("A", "B", "A,B", "A"), names, strict=True)])
    done = run("--data", "own/meta.csv", "--labels", "single", "--folds", 2, "--out", "out",
               cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    dataset, result = clips.read_clips(tmp_path / "out")
    assert (dataset.root, dataset.layout, dataset.label_mode) == (Path("own"), "csv", "single")
    assert len(result) == 4
    assert [x.clip_id for x in clips.read_labels(tmp_path / "out")] == ["0.wav", "1.wav", "3.wav"]


def test_files_of_no_table_with_names_that_are_not_utf8(data):
    with open(os.fsencode(data) + b"/train_curated/caf\xe9.wav", "wb"):
        pass
    assert "1 file in train_curated/ is not in any table: caf\\xe9.wav" in prepare(data).notes


def corrections(path, *rows):
    table(path, "clip_id,labels,action,new_labels,suspicion", rows)


def test_command_with_corrections(data, tmp_path, call_stage):
    out, path = tmp_path / "out", tmp_path / "corrections.csv"
    flags = ("--data", data, "--folds", 2, "--out", out)
    assert call_stage("prepare", *flags).code == 0
    before = {x.clip_id: x for x in clips.read_labels(out)}
    corrections(path, ("c0.wav", "Bark", "correct", "Meow,Purr", "0.9"),
                ("c1.wav", "Meow", "drop", "", "0.8"), ("n0.wav", "Bark", "", "Purr", "0.7"))
    ended = call_stage("prepare", *flags, "--relabel", path)
    assert (ended.code, ended.err) == (0, "")
    assert f"note: {path}: 1 clips relabelled, 1 dropped" in ended.out
    after = {x.clip_id: x for x in clips.read_labels(out)}
    assert set(before) - set(after) == {"c1.wav"}
    assert {i for i in after if after[i] != before[i]} == {"c0.wav"}
    assert after["c0.wav"] == Label("c0.wav", ("Meow", "Purr"), "curated", before["c0.wav"].fold,
                                    "")
    assert [c.clip_id for c in clips.read_clips(out)[1]] == sorted(after)


def test_command_lists_corrections_that_are_wrong_and_writes_nothing(data, tmp_path, call_stage):
    out, path = tmp_path / "out", tmp_path / "corrections.csv"
    corrections(path, ("x.wav", "", "drop", "", ""), ("t0.wav", "", "correct", "Purr", ""),
                ("c0.wav", "", "correct", "Brak", ""))
    ended = call_stage("prepare", "--data", data, "--folds", 2, "--out", out, "--relabel", path)
    assert ended.code == 2
    for words in (f"{path}:2: no clip 'x.wav'", f"{path}:3: 't0.wav' is a test clip",
                  f"{path}:4: 'Brak' is not a class; did you mean Bark?"):
        assert words in ended.err
    assert not out.exists()


def test_a_correction_extracts_nothing(data, tmp_path, call_stage):
    prepared, path = tmp_path / "prepared", tmp_path / "corrections.csv"
    corrections(path, ("c0.wav", "", "correct", "Meow", ""))
    ended = []
    for flags in ((), ("--relabel", path), ("--relabel", "none")):
        assert call_stage("prepare", "--data", data, "--folds", 2, "--out", prepared,
                          *flags).code == 0
        ended.append(call_stage("extract", "--data", prepared, "--out", tmp_path / "s", "--jobs", 1,
                                "--features", "waveform"))
    assert [e.extracted for e in ended] == [15, 0, 0]
    assert [e.nothing_to_do for e in ended] == [False, True, True]
    corrections(path, ("c0.wav", "", "drop", "", ""))
    assert call_stage("prepare", "--data", data, "--folds", 2, "--out", prepared,
                      "--relabel", path).code == 0
    ended = call_stage("extract", "--data", prepared, "--out", tmp_path / "s", "--features",
                       "waveform", "--jobs", 1)
    assert (ended.code, ended.extracted, ended.reused) == (0, 0, 14)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not here")
def test_data_like_fsdkaggle2019(tmp_path):
    subprocess.run(
        [sys.executable, SHARED / "tools" / "make_fsd_like.py", tmp_path / "data",
         "--curated", "60", "--noisy", "60", "--test", "30"], check=True, capture_output=True)
    done = run("--data", "data", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    _, result = clips.read_clips(tmp_path / "out")
    assert len(result) == 150
    for clip in result[::10]:
        info = soundfile.info(tmp_path / "data" / clip.path)
        assert (clip.header.sr, clip.header.channels, clip.header.frames) == (
            info.samplerate, info.channels, info.frames)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not here")
def test_data_with_folds_of_their_own(tmp_path):
    result = prepare(SHARED / "data" / "esc10")
    assert len(result.clips) == 240
    assert result.problems == []
    assert [sum(x.fold == fold for x in result.labels) for fold in range(3)] == [80, 80, 80]
