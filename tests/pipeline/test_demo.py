import csv
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import demo
from pipeline.audio.decode import write_pcm16
from pipeline.cli import settings as settings_module
from pipeline.runtime.errors import Stopped, UsageError
from pipeline.synthesis import dataset as synthesis_dataset
from pipeline.synthesis import scene as synthesis
from pipeline.synthesis.scene import SOUNDS, SR

ROOT = Path(demo.__file__).parents[1]
PARAMS = "demo: {out: from/params, seed: 3, curated: 24, noisy: 12, test: 12}\n"


def small(out, **changes):
    return replace(demo.Settings(out=out, seed=0, curated=24, noisy=12, test=12), **changes)


def digests(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "data"
    demo.run(small(out))
    return out


@pytest.fixture
def quick(monkeypatch):
    """Scenes of 10 ms, and the list of what was asked for: (sounds, seconds, behind)."""
    asked = []

    def scene(rng, names, seconds, *, behind=None):
        asked.append((list(names), seconds, behind))
        return np.full(441, 0.1, np.float32)

    monkeypatch.setattr(synthesis, "scene", scene)
    return asked


# The layout


def test_tables_and_folders_are_those_of_the_competition(result):
    assert sorted(p.name for p in result.iterdir()) == [
        "demo.json", "sample_submission.csv", "test", "test_post_competition.csv",
        "train_curated", "train_curated.csv", "train_noisy", "train_noisy.csv"]
    names = []
    for table, folder, n in (("train_curated", "train_curated", 24),
                             ("train_noisy", "train_noisy", 12),
                             ("test_post_competition", "test", 12)):
        listed = [row["fname"] for row in rows(result / f"{table}.csv")]
        assert listed == sorted(p.name for p in (result / folder).iterdir())
        assert len(listed) == n
        assert all(re.fullmatch(r"[0-9a-f]{8}\.wav", name) for name in listed)
        names += listed
    assert len(set(names)) == len(names)


def test_labels_are_classes_and_training_has_them_all(result):
    for table in ("train_curated", "train_noisy", "test_post_competition"):
        for row in rows(result / f"{table}.csv"):
            labels = row["labels"].split(",")
            assert 1 <= len(labels) <= 2
            assert labels == sorted(set(labels))
            assert set(labels) <= set(SOUNDS)
    curated = {c for row in rows(result / "train_curated.csv") for c in row["labels"].split(",")}
    assert curated == set(SOUNDS)


def test_the_sample_submission_is_zeros_for_the_test_clips(result):
    submission, truth = rows(result / "sample_submission.csv"), rows(
        result / "test_post_competition.csv")
    assert list(submission[0]) == ["fname", *sorted(SOUNDS)]
    assert [r["fname"] for r in submission] == [r["fname"] for r in truth]
    assert {value for r in submission for key, value in r.items() if key != "fname"} == {"0"}
    assert {r["usage"] for r in truth} == {"Public", "Private"}


def test_clips_are_44100_hz_mono_pcm16_of_the_promised_length(result):
    for path in result.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (44_100, 1, "PCM_16")
        assert 0.3 * SR - 1 <= info.frames <= 12 * SR + 1
        y, _ = soundfile.read(path)
        assert 0.09 < np.abs(y).max() < 0.9


def test_shares_of_labels_lengths_and_usage(tmp_path, quick):
    demo.run(small(tmp_path / "out", curated=1200, noisy=1200, test=1200))
    curated, noisy, test = quick[:1200], quick[1200:2400], quick[2400:]
    # Three standard errors of 1,200 draws: 0.03 at a share of 1/7, 0.043 at 1/2, 0.04 at 0.3.
    for asked in (curated, noisy, test):
        assert np.mean([len(names) == 2 for names, _, _ in asked]) == pytest.approx(1 / 7, abs=0.03)
        # Log-uniform: half of the clips are shorter than the geometric mean, 1.9 s.
        seconds = np.array([s for _, s, _ in asked])
        assert np.mean(seconds < np.sqrt(0.3 * 12)) == pytest.approx(0.5, abs=0.043)
        firsts = [names[0] for names, _, _ in asked]
        assert {firsts.count(c) for c in SOUNDS} == {100}
    assert all(behind is None for _, _, behind in curated + test)
    assert all(behind in SOUNDS for _, _, behind in noisy)

    def errors(asked, table):
        labels = [set(r["labels"].split(",")) for r in rows(tmp_path / "out" / f"{table}.csv")]
        given = [set(names) for names, _, _ in asked]
        for a, b in zip(labels, given, strict=True):
            assert a == b or not a & b
        return np.mean([a != b for a, b in zip(labels, given, strict=True)])

    names = synthesis_dataset.file_names([1200, 1200, 1200], 0)[1]
    drawn = [clip.sounds for clip in synthesis_dataset.draw_split(1, names, 0, kind="noisy")]
    assert drawn == [tuple(sorted(given)) for given, _, _ in noisy]

    assert errors(curated, "train_curated") == errors(test, "test_post_competition") == 0
    assert errors(noisy, "train_noisy") == pytest.approx(0.5, abs=0.043)
    usage = [r["usage"] for r in rows(tmp_path / "out/test_post_competition.csv")]
    assert usage.count("Public") / 1200 == pytest.approx(0.3, abs=0.04)


# The same settings, the same bytes


def test_same_settings_same_bytes(result, tmp_path):
    demo.run(small(tmp_path / "again"))
    assert digests(tmp_path / "again") == digests(result)


def test_another_seed_shares_no_clip(result, tmp_path):
    demo.run(small(tmp_path / "other", seed=1))
    wavs = [{h for name, h in digests(folder).items() if name.endswith(".wav")}
            for folder in (result, tmp_path / "other")]
    assert len(wavs[0]) == len(wavs[1]) == 48
    assert not wavs[0] & wavs[1]


# What is there already


def test_a_finished_demo_is_left_as_it_is(result, capsys):
    before = {p: p.stat().st_mtime_ns for p in result.rglob("*")}
    demo.run(small(result))
    assert "already holds this demo" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in result.rglob("*")} == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"curated": 25}, {"noisy": 0}, {"test": 13}])
def test_a_demo_of_other_settings_is_refused(result, change):
    before = digests(result)
    with pytest.raises(UsageError, match="made with other settings"):
        demo.run(small(result, **change))
    assert digests(result) == before


def test_a_demo_of_another_recipe_is_refused(result, monkeypatch):
    monkeypatch.setattr(synthesis, "RECIPE", synthesis.RECIPE + 1)
    with pytest.raises(UsageError, match="made with other settings"):
        demo.run(small(result))


def test_data_of_the_user_is_refused_and_not_touched(tmp_path, quick):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/train_curated.csv").write_text("precious")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "new.partial/train_curated").mkdir(parents=True)
    (tmp_path / "new.partial/train_curated/a.wav").write_text("precious")
    demo.run(small(tmp_path / "finished"))
    os.rename(tmp_path / "finished", tmp_path / "kept.partial")
    before = digests(tmp_path)
    for name, reason in (("mine", "is not a demo"), ("file", "is not a demo"),
                         ("new", "not left by an interrupted run"), ("kept.partial", "partial")):
        with pytest.raises(UsageError, match=reason) as caught:
            demo.run(small(tmp_path / name))
        assert caught.value.exit_code == 2
    assert digests(tmp_path) == before


def test_an_empty_folder_and_missing_parents_are_no_obstacle(tmp_path, quick):
    (tmp_path / "empty").mkdir()
    demo.run(small(tmp_path / "empty"))
    demo.run(small(tmp_path / "a/b/c"))
    assert digests(tmp_path / "empty") == digests(tmp_path / "a/b/c")


# Interruptions


def test_an_interrupted_run_leaves_nothing_final_and_the_next_one_starts_over(
        result, tmp_path, monkeypatch):
    calls = []

    def scene(rng, names, seconds, *, behind=None):
        calls.append(names)
        if len(calls) == 30:
            raise Stopped(signal.SIGTERM)
        return np.full(441, 0.1, np.float32)

    with monkeypatch.context() as patch:
        patch.setattr(synthesis, "scene", scene)
        with pytest.raises(Stopped):
            demo.run(small(tmp_path / "out", seed=9))
    assert [p.name for p in tmp_path.iterdir()] == ["out.partial"]
    assert (tmp_path / "out.partial/train_curated.csv").exists()
    demo.run(small(tmp_path / "out"))
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert digests(tmp_path / "out") == digests(result)


def test_a_killed_run_leaves_nothing_final(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.demo", "out", "--curated", "5000"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while not any((tmp_path / "out.partial").glob("train_curated/*.wav")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (tmp_path / "out").exists()


# The command line


@pytest.mark.parametrize(("argv", "out"), [
    ([], "from/params"), (["given"], "given"), (["--out", "given"], "given"),
    (["--seed", "1", "given"], "given"), (["given", "--seed", "1"], "given"),
])
def test_out_is_a_key_a_flag_and_a_positional(tmp_path, argv, out):
    (tmp_path / "p.yaml").write_text(PARAMS)
    parsed = settings_module.parse(
        "demo", demo.Settings, "", ["--params", str(tmp_path / "p.yaml"), *argv])
    assert parsed.out == Path(out)
    assert (parsed.curated, parsed.noisy, parsed.test) == (24, 12, 12)


def test_out_given_both_ways_is_an_error(tmp_path, capsys):
    (tmp_path / "p.yaml").write_text(PARAMS)
    with pytest.raises(SystemExit) as caught:
        settings_module.parse(
            "demo", demo.Settings, "", ["a", "--out", "b", "--params", str(tmp_path / "p.yaml")])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_the_command_ends_with_a_line_that_says_what_was_made(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.demo", "my data", "--curated", "2", "--noisy", "0",
         "--test", "1"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"demo: my data: 2 curated, 0 noisy and 1 test clips, \d+\.\d minutes of audio, "
        r"12 classes, \d+ MB\. Next: python -m pipeline\.prepare --data 'my data'\n", done.stdout)


# Writing a clip


def test_pcm16_rounds_and_reads_back_exactly(tmp_path):
    y = np.array([0, 1, -1, 0.5, 0.4 / 32768, 0.6 / 32768, -0.6 / 32768], np.float32)
    write_pcm16(tmp_path / "a.wav", y, 44_100)
    pcm, sr = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert sr == 44_100
    assert pcm.tolist() == [0, 32767, -32768, 16384, 0, 1, -1]
    write_pcm16(tmp_path / "b.wav", soundfile.read(tmp_path / "a.wav", dtype="float32")[0], 44_100)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize("bad", [1.0001, -1.0001, np.nan, np.inf])
def test_pcm16_refuses_what_it_cannot_hold(tmp_path, bad):
    with pytest.raises(ValueError, match="must lie in"):
        write_pcm16(tmp_path / "a.wav", np.array([0.0, bad]), 44_100)
    assert not list(tmp_path.iterdir())


def test_pcm16_reports_the_operating_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_pcm16(tmp_path / "missing/a.wav", np.zeros(10), 44_100)
