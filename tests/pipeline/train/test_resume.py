"""A training that is stopped and goes on gives what one gives that never stops."""

import fcntl
import json
import signal
import subprocess
import time
from dataclasses import replace

import keras
import numpy as np
import pytest

from pipeline.runs.folder import RunFolder
from pipeline.runtime.errors import StoreError
from pipeline.training import checkpoint as checkpoints
from training_world import (
    CLASSES,
    SPEC,
    TINY,
    Killed,
    make_store,
    read_history,
)

DROPOUT = ("--features", "waveform", "--model", "conv1d", "--seconds", 0.203, "--fold", 0,
           "--epochs", 4, "--patience", 4, "--batch-size", 6)


@pytest.mark.parametrize(("flags", "epochs"), [
    (DROPOUT, (1, 3)),
    (("--precision", "mixed_float16", "--fold", 1, "--epochs", 4), (2,)),  # and Adam's wrapper
    (("--precision", "mixed_bfloat16", "--fold", 1, "--epochs", 4), (2,)),
])
def test_going_on_gives_what_never_stopping_gives(
    world, train, copy_after, kill_after, monkeypatch, flags, epochs
):
    # Dropout, moving averages and Adam's moments must all come back, each to the bit.
    copy_after(epochs[0], world.runs / "whole", world.runs / "killed")
    assert train(*flags, "--run", "whole").code == 0
    monkeypatch.undo()
    for epoch in epochs[1:]:
        kill_after(epoch)
        with pytest.raises(Killed):
            train(*flags, "--run", "killed")
        monkeypatch.undo()
    assert not (world.runs / "killed" / "run.json").exists()
    ended = train(*flags, "--run", "killed", "--resume")
    assert f"resumes after epoch {epochs[-1]}" in ended.out
    for name in ("oof.npz", "history.csv"):
        assert world.bytes_of("killed", name) == world.bytes_of("whole", name)
    assert not world.bytes_of("killed", "training.npz")


EVERYTHING = (
    "--model", "cnn", "--network", "{size: tiny, auxiliary: true}", "--noisy", "--noisy-head",
    "--noisy-loss", "{kind: lsoft}", "--augment",
    "{time_shift: {}, stretch: {}, concatenation: {}, mixup: {probability: 0.7}, masks: {}}",
    "--epochs", 3, "--patience", 3,
)


@pytest.mark.parametrize("flags", [
    ("--schedule", "{kind: cosine, warmup_epochs: 1}", "--averaging", "{kind: ema, momentum: 0.9}",
     "--optimizer", "{kind: adamw}"),
    ("--schedule", "{kind: plateau, patience: 1}", "--averaging", "{kind: swa, start: 0.25}",
     "--optimizer", "{kind: sgd}", "--keep", "last", "--noisy-share", 0.25, "--balance"),
    ("--schedule", "{kind: cosine, cycles: 3}", "--averaging", "{kind: snapshots, last: 2}",
     "--keep", "last"),
], ids=["cosine, ema, adamw", "plateau, swa, sgd, last", "snapshots"])
def test_resuming_with_everything_random_and_averaged_gives_the_same_bits(
    world, train, copy_after, monkeypatch, flags
):
    asked = (*EVERYTHING, *flags, "--fold", 1)
    copy_after(2, world.runs / "whole", world.runs / "killed")
    ended = train(*asked, "--run", "whole")
    assert ended.code == 0, ended.err
    monkeypatch.undo()
    ended = train(*asked, "--run", "killed", "--resume")
    assert "resumes after epoch 2" in ended.out
    for name in ("oof.npz", "history.csv"):
        assert world.bytes_of("killed", name) == world.bytes_of("whole", name)
    model = keras.saving.load_model(world.runs / "killed/folds/1/model.keras", safe_mode=True)
    # The network alone: no second head, no auxiliary ones, no augmentation.
    assert model.output_shape == (None, len(CLASSES))
    assert not any("noisy" in layer.name or "mixup" in layer.name for layer in model.layers)


def test_kill_minus_nine_and_the_same_command_again(world, run_stage, stage_command):
    flags = ("--features", "mfcc", *world.where, *TINY, "--fold", 0, "--epochs", 60,
             "--patience", 60)
    process = subprocess.Popen(
        stage_command("train", *flags), env=stage_command.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    folder = world.runs / "mfcc" / "folds/0"
    try:
        deadline = time.monotonic() + 60
        while not (folder / "history.csv").exists() or len(read_history(folder)) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads((folder / "fold.json").read_text())["finished"] is False
    before = read_history(folder)
    ended = run_stage("train", *flags)
    assert ended.code == 0, ended.err
    # The state is written before the history.
    assert (f"resumes after epoch {len(before)}" in ended.out
            or f"resumes after epoch {len(before) + 1}" in ended.out)
    assert ended.err == ""  # TensorFlow has nothing to say either
    rows = read_history(folder)
    assert rows[:len(before)] == before
    assert [row["epoch"] for row in rows] == list(range(1, 61))


def test_a_damaged_state_is_an_error_that_says_what_to_do(world, train, kill_after, monkeypatch):
    kill_after(1)
    with pytest.raises(Killed):
        train("--fold", 0)
    monkeypatch.undo()
    path = world.runs / "mfcc" / "folds/0" / "training.npz"
    path.write_bytes(path.read_bytes()[:-300])
    ended = train("--fold", 0)
    assert ended.code == StoreError.exit_code
    assert "Delete it to retrain the fold" in ended.err
    path.unlink()
    assert train("--fold", 0).code == 0


def test_a_state_of_another_model_is_refused(tmp_path):
    models = []
    for units in (2, 3):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
        model.compile("adam", "mse")
        models.append(model)
    checkpoints.save(tmp_path / "x.npz", models[0], [{"epoch": 1, "loss": 0.5}])
    assert checkpoints.restore(tmp_path / "x.npz", models[0]) == [{"epoch": 1, "loss": 0.5}]
    with pytest.raises(StoreError, match="another model"):
        checkpoints.restore(tmp_path / "x.npz", models[1])


def test_a_half_replaced_run_is_no_run(done, train, kill_after):
    kill_after(1)
    with pytest.raises(Killed):
        train("--seed", 5)
    assert not (done.runs / "mfcc" / "run.json").exists()


def test_resume_begins_the_next_fold_of_a_run_that_was_begun(world, train):
    # Fold 0 is finished, fold 1 was not begun.
    assert train("--fold", 0).code == 0
    refused = train("--seed", 5, "--fold", 1, "--resume")
    assert (refused.code, "seed: 0, now 5" in refused.err) == (2, True)
    ended = train("--resume")
    assert ended.code == 0, ended.err
    assert "fold 1: best epoch" in ended.out
    assert "fold 0: best epoch" not in ended.out


@pytest.mark.slow
@pytest.mark.parametrize("kill", ["between folds", "within a fold"])
def test_resumed_scores_do_not_depend_on_jobs_and_folds_left(
    world, run_stage, stage_command, kill
):
    # Frames for conv2d, whose sums depend on the number of threads.
    rng = np.random.default_rng(1)
    spec = replace(SPEC, width=32)
    make_store(world.stores, spec, {
        x.clip_id: rng.normal(size=(70 + i, 32)).astype(np.float32)
        for i, x in enumerate(world.labels)
    })
    flags = ("--features", "mfcc", *world.where, "--model", "conv2d", "--seconds", 1.0,
             "--epochs", 6, "--patience", 6, "--batch-size", 8)
    whole = run_stage("train", *flags, "--run", "whole", "--jobs", 2)
    assert whole.code == 0, whole.err
    killed = RunFolder(world.runs, "killed")
    if kill == "between folds":
        assert run_stage("train", *flags, "--run", "killed", "--jobs", 2, "--fold", 0).code == 0
    else:
        process = subprocess.Popen(
            stage_command("train", *flags, "--run", "killed", "--jobs", 2),
            env=stage_command.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not killed.fold(0).checkpoint.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        process.wait()
        while (killed.fold(0).path / ".lock").exists() and _is_in_use(killed.fold(0).path):
            assert time.monotonic() < deadline  # workers end with their parent
            time.sleep(0.1)
        time.sleep(1)
        assert killed.fold(0).read()["finished"] is False
    # Now with one job: by itself it would take all threads.
    ended = run_stage("train", *flags, "--run", "killed", "--jobs", 1)
    assert ended.code == 0, ended.err
    assert world.bytes_of("killed", "oof.npz") == world.bytes_of("whole", "oof.npz")
    threads = {killed.fold(k).read()["threads"] for k in (0, 1)}
    assert threads == {RunFolder(world.runs, "whole").fold(0).read()["threads"]}


def _is_in_use(folder):
    with open(folder / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
