"""A run that starts from the weights of another one."""

import shutil
from dataclasses import replace

import keras
import numpy as np


def test_a_run_starts_from_the_weights_of_another_one_fold_by_fold(done, train):
    # A step so small that it leaves every weight where it was, nearly.
    flags = ("--run", "tuned", "--start-from", "mfcc", "--learning-rate", 1e-12, "--epochs", 1)
    ended = train(*flags)
    assert ended.code == 0, ended.err
    for fold in (0, 1):
        ours, theirs = (keras.saving.load_model(done.runs / run / f"folds/{fold}/model.keras")
                        for run in ("tuned", "mfcc"))
        for own, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(own, other, atol=1e-9)
    assert "nothing to do" in train(*flags).out
    # Of another model to start from, the fold is trained again, and it alone.
    assert train("--seed", 5, "--fold", 1).code == 0
    before = done.bytes_of("tuned", "model.keras")
    ended = train(*flags, "--fold", 1)
    assert "initial_weights: the run to start from has another model" in ended.out
    after = done.bytes_of("tuned", "model.keras")
    assert after["folds/1/model.keras"] != before["folds/1/model.keras"]
    assert after["folds/0/model.keras"] == before["folds/0/model.keras"]


def test_what_a_run_cannot_start_from_is_said_before_anything_is_trained(done, train):
    ended = train("--run", "new", "--start-from", "mfc")
    assert (ended.code, "has no run 'mfc'; did you mean mfcc?" in ended.err) == (2, True)
    ended = train("--run", "new", "--start-from", "mfcc", "--model", "cnn",
                  "--network", "{size: tiny}")
    assert ended.code == 2
    assert "--start-from mfcc: its model is dummy2d, not cnn" in ended.err
    assert "its network is {}, not {'size': 'tiny'}" in ended.err
    done.relabel(lambda x: replace(x, fold=1) if x.clip_id == "00.wav" else x)
    ended = train("--run", "new", "--start-from", "mfcc")
    assert "its fold 0 has other validation clips: 00.wav" in ended.err
    assert "its fold 1 has other validation clips: 00.wav" in ended.err
    shutil.rmtree(done.runs / "mfcc" / "folds/0")
    assert train("--fold", 1).code == 0  # run.json names fold 1 alone now
    ended = train("--run", "new", "--start-from", "mfcc")
    assert "its fold 0 is not trained" in ended.err
    assert not (done.runs / "new").exists()


def test_a_run_cannot_start_from_itself_or_from_a_fold_without_its_files(world, train):
    assert train("--run", "first").code == 0
    before = world.bytes_of("first", "model.keras")
    ended = train("--run", "first", "--start-from", "first")
    assert ended.code == 2
    assert "--start-from is first, the run itself" in ended.err
    assert world.bytes_of("first", "model.keras") == before
    for fold in (0, 1):
        (world.runs / "first" / "folds" / str(fold) / "oof.npz").unlink()
    ended = train("--run", "second", "--start-from", "first")
    assert ended.code == 2
    assert "its fold 0 lacks oof.npz" in ended.err
    assert "its fold 1 lacks oof.npz" in ended.err
