"""What the same command, or a changed one, does with a run that is there."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.runs.fold_folder import FoldFolder
from pipeline.runs.folder import RunFolder
from pipeline.training_data import fold_data
from training_world import (
    SPEC,
    TINY,
    make_store,
)

ROOT = Path(fold_data.__file__).parents[2]


def test_what_is_done_is_not_done_again(done, train):
    run = done.runs / "mfcc"
    shutil.rmtree(run / "folds/0")
    kept = done.bytes_of("mfcc", "*.*")
    ended = train()
    assert "fold 0: " in ended.out
    assert "fold 1: " not in ended.out
    assert json.loads((run / "run.json").read_text())["folds"] == [0, 1]
    times = {p: p.stat().st_mtime_ns for p in run.rglob("folds/*/*.*")}
    for resume in ((), ("--resume",)):
        ended = train(*resume)
        assert "nothing to do" in ended.out
        assert "out-of-fold lwlrap" in ended.out
    assert {p: p.stat().st_mtime_ns for p in run.rglob("folds/*/*.*")} == times
    assert kept.items() <= done.bytes_of("mfcc", "*.*").items()


def test_a_fold_whose_model_is_gone_is_trained_beside_one_that_has_test_scores(done, train):
    run = RunFolder(done.runs, "mfcc")
    predicted = run.fold(1).predicted("test")
    predicted.parent.mkdir()
    shutil.copy(run.fold(1).oof, predicted)
    run.fold(0).model.unlink()
    ended = train()
    assert ended.code == 0
    assert "out-of-fold lwlrap" in ended.out


def test_run_json_names_the_folds_that_are_done(done, train):
    shutil.rmtree(done.runs / "mfcc" / "folds/0")
    assert "nothing to do" in train("--fold", 1).out
    assert json.loads((done.runs / "mfcc" / "run.json").read_text())["folds"] == [1]


def test_the_first_folds_alone(done, train):
    shutil.rmtree(done.runs / "mfcc" / "folds/1")
    ended = train("--folds", 1)
    assert "folds 0 of 2" in ended.out
    assert "nothing to do" in ended.out
    assert "nothing to do" not in train("--folds", 2).out


@pytest.mark.parametrize("change", [
    lambda world: ("--epochs", 3),
    lambda world: ("--seed", 5),
    lambda world: world.relabel(lambda x: replace(x, labels=("Rain",))) or (),
    lambda world: make_store(world.stores, SPEC, {k: f + 1 for k, f in world.frames.items()})
    and (),
    lambda world: make_store(world.stores, replace(SPEC, version=2), world.frames) and (),
], ids=["epochs", "seed", "labels", "audio", "feature"])
def test_anything_that_changes_scores_trains_anew_and_resume_refuses_to(done, train, change):
    (done.runs / "mfcc" / "test").mkdir()
    (done.runs / "mfcc" / "test" / "0.npz").write_bytes(b"of the old model")
    before = done.bytes_of("mfcc", "*.*")
    flags = (*change(done), "--fold", 0)
    ended = train(*flags, "--resume")
    assert ended.code == 2
    assert ", now " in ended.err or "clips: other clips, labels, folds or audio" in ended.err
    assert done.bytes_of("mfcc", "*.*") == before
    ended = train(*flags)
    assert ended.code == 0, ended.err
    assert "begun with other settings, fold 0:" in ended.out
    after = done.bytes_of("mfcc", "*.*")
    assert "test/0.npz" not in after
    assert after["folds/0/model.keras"] != before["folds/0/model.keras"]
    # The other fold is of the old settings still, so it is no part of the run.
    assert after["folds/1/model.keras"] == before["folds/1/model.keras"]
    assert json.loads((done.runs / "mfcc" / "run.json").read_text())["folds"] == [0]


def test_a_fold_in_training_cannot_be_trained_by_another_process(world, train, stage_command):
    folder = RunFolder(world.runs, "mfcc").fold(0)
    code = (
        "import sys, pathlib\n"
        "from pipeline.runs.folder import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1]), 'mfcc').fold(0).locked():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, world.runs], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=stage_command.environment) as holder:
        assert holder.stdout.readline() == b"held\n"
        ended = train("--fold", 0)
        assert ended.code == 1
        assert f"folds/0 is in use by process {holder.pid}" in ended.err
        assert "--run" in ended.err
        holder.stdin.close()
    assert folder.read() is None
    assert train("--fold", 0).code == 0


def test_a_store_that_is_replaced_between_two_folds_is_not_mixed_in(world, train, monkeypatch):
    real, replaced = FoldFolder.finish, []

    def finish(folder, **facts):
        real(folder, **facts)
        if not replaced:
            replaced.append(folder.fold)
            world.frames["03.wav"] = world.frames["03.wav"] + np.float32(1)
            make_store(world.stores, SPEC, world.frames)

    monkeypatch.setattr(FoldFolder, "finish", finish)
    ended = train()
    assert ended.code == 4
    assert "mfcc.h5 was replaced while the run was trained" in ended.err
    assert replaced == [0]
    assert not (world.runs / "mfcc/folds/1/model.keras").exists()
    again = train()
    assert again.code == 0, again.err
    assert "clips: other clips, labels, folds or audio" in again.out


def test_threads_follow_from_jobs_and_are_kept(world, train, monkeypatch):
    cores = {-1: 8}
    monkeypatch.setattr("pipeline.training.train_run.worker_count",
                        lambda jobs: cores.get(jobs, jobs))
    fold = RunFolder(world.runs, "mfcc").fold
    assert train("--fold", 0).code == 0  # one job, all cores
    assert fold(0).read()["threads"] == 8
    cores[-1] = 4
    ended = train()
    assert "8 threads per fold, as the run was begun with" in ended.out
    assert fold(1).read()["threads"] == 8
    assert train("--run", "other", "--fold", 1).code == 0
    assert RunFolder(world.runs, "other").fold(1).read()["threads"] == 4


@pytest.fixture
def edited(world, stage_command, tmp_path):
    """A copy of the code, with a training of it; returns (train, edit a file of models/)."""
    code = tmp_path / "code"
    for name in ("features", "models", "pipeline"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = stage_command("train", "--features", "mfcc", *world.where, *TINY, "--fold", 0)

    def train(*flags):
        return subprocess.run(
            [*command, *flags], cwd=code, capture_output=True, text=True, timeout=120,
            env={**stage_command.environment, "PYTHONPATH": str(code)},
        )

    def edit(path, old, new):
        text = (code / path).read_text()
        assert old in text
        (code / path).write_text(text.replace(old, new))

    return train, edit


@pytest.mark.slow
def test_an_edited_network_is_retrained_and_an_edited_comment_is_not(world, edited):
    train, edit = edited
    assert train().returncode == 0
    before = world.bytes_of("mfcc", "model.keras")
    # A comment, a docstring, and a layer of another network: built again, and found the same.
    edit("models/networks/notebook.py", "# (clips, 10, 2, 32)", "# (clips, time, feature, 32)")
    edit("models/networks/notebook.py", "x = layers.Dense(64)(x)", "x = layers.Dense(65)(x)")
    ended = train()
    assert "nothing to do" in ended.stdout, ended.stderr
    edit("models/networks/notebook.py", "return layers.GlobalMaxPooling2D()(x)",
         "return layers.GlobalAveragePooling2D()(x)")
    refused = train("--resume")
    assert refused.returncode == 2
    assert "network: other layers than the model was trained with" in refused.stderr
    assert world.bytes_of("mfcc", "model.keras") == before
    ended = train()
    assert "network: other layers than the model was trained with" in ended.stdout
    assert world.bytes_of("mfcc", "model.keras") != before
    assert "nothing to do" in train().stdout


def test_nothing_to_do_needs_no_tensorflow(done, stage_command):
    code = (
        "import sys\n"
        "from pipeline.cli.settings import parse\n"
        "from pipeline import train\n"
        "train.run(parse('train', train.Settings, '', sys.argv[1:]))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    flags = stage_command("train", "--features", "mfcc", *done.where, *TINY)[3:]
    ended = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True,
                           env=stage_command.environment)
    assert ended.returncode == 0, ended.stderr
    assert "nothing to do" in ended.stdout
