"""What cannot be trained, and what is said of it."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.tables import Dataset, Label, write_dataset, write_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.identity import differences
from pipeline.store.reader import open_store
from pipeline.store.schema import Excluded
from pipeline.training.network import make_model
from pipeline.training_data import fold_data
from training_world import (
    CLASSES,
    SPEC,
    TINY,
    WIDTH,
    make_store,
    recipe,
)

ROOT = Path(fold_data.__file__).parents[2]


def test_no_store(world, train):
    (world.stores / "mfcc.h5").unlink()
    ended = train()
    assert ended.code == 2
    assert "Make it with: python -m pipeline.extract" in ended.err


def test_clips_that_the_store_lacks_are_listed(world, train):
    for clip_id in ("03.wav", "07.wav", "25.wav", "28.wav"):
        del world.frames[clip_id]
    make_store(world.stores, SPEC, world.frames)
    ended = train()
    assert ended.code == 2
    # Neither the noisy clip nor the test clip: they do not train.
    assert "lacks 2 clips of labels.csv: 03.wav, 07.wav." in ended.err
    assert "lacks 3 clips of labels.csv: 03.wav, 07.wav, 25.wav." in train("--noisy").err


def test_a_flipped_bit_of_a_frame_is_no_training(world, train):
    store = open_store(world.stores / "mfcc.h5")
    at = store.offsets.frames + int(store.start[store.index_of("03.wav")]) * SPEC.frame_bytes
    with open(store.path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), at)
    ended = train()
    assert ended.code == 4
    assert "mfcc.h5: damaged: 1 clips do not have their checksums: 03.wav" in ended.err
    assert f"python -m pipeline.extract --repair --out {world.stores}" in ended.err
    assert not list(world.runs.rglob("model.keras"))


def test_clips_that_were_left_out_as_bad_are_only_noted(world, train):
    del world.frames["03.wav"]
    make_store(world.stores, SPEC, world.frames, [Excluded("03.wav", "truncated", "0" * 64)])
    ended = train("--fold", 1)
    assert ended.code == 0, ended.err
    assert "1 bad clips were left out" in ended.out
    assert "03.wav" not in RunFolder(world.runs, "mfcc").load()[0].clip_ids


@pytest.mark.parametrize(("flags", "said"), [
    (("--fold", 2), "--fold is 2; there are 0, 1"),
    (("--folds", 3), "--folds is 3; prepare made 2"),
    (("--folds", 1, "--fold", 1), "contradict each other"),
    (("--model", "conv2d"), "conv2d needs at least 16 frames, not 8"),
    (("--model", "conv1d"), "--model is conv1d: takes waves, unlike feature mfcc"),
    (("--run", "a/b"), "needs the name of a folder"),
    (("--jobs", 0), "--jobs is 0"),
    (("--resume", "--run", "new"), "nothing to resume"),
])
def test_what_cannot_be_trained_is_said_and_nothing_is_touched(done, train, flags, said):
    before = {p: p.read_bytes() for p in done.runs.rglob("*") if p.is_file()}
    ended = train(*flags)
    assert ended.code == 2
    assert said in ended.err
    assert {p: p.read_bytes() for p in done.runs.rglob("*") if p.is_file()} == before


def test_an_unknown_model_is_refused_with_the_known_ones(run_stage):
    ended = run_stage("train", "--run", "mfcc", "--model", "conv2")
    assert ended.code == 2
    assert "--model: invalid choice: 'conv2'; did you mean conv2d?" in ended.err
    assert "conv1d" in ended.err


def test_one_class_is_nothing_to_tell_apart_and_no_folds_nothing_to_hold_against(world, train):
    write_dataset(world.data, Dataset(world.root, "csv", CLASSES[:1], "multi"))
    write_labels(world.data, [Label("00.wav", CLASSES[:1], "noisy", None, "")])
    ended = train()
    assert ended.code == 2
    assert "has 1 class; needs at least two" in ended.err
    assert "no curated clips" in ended.err


def test_an_ensemble_is_not_overwritten(world, train):
    folder = world.runs / "mfcc"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"kind": "ensemble"}')
    ended = train()
    assert ended.code == 2
    assert "is an ensemble" in ended.err


def test_the_first_model_is_a_matter_of_seed_and_fold(world):
    def weights(seed, fold):
        model = make_model(recipe(seed=seed), SPEC, len(CLASSES), fold=fold, mean=np.zeros(WIDTH),
                           variance=np.ones(WIDTH))
        return model.get_weights()[-2].tobytes()

    assert weights(0, 0) == weights(0, 0)
    assert len({weights(0, 0), weights(0, 1), weights(1, 0)}) == 3


def test_differences_name_every_key():
    old = {"epochs": 2, "feature": {"config": {"sr": 8000, "n_fft": 256}}, "clips": "a"}
    new = {"epochs": 3, "feature": {"config": {"sr": 16000, "n_fft": 256}}, "clips": "b"}
    assert differences(old, new) == [
        "clips: other clips, labels, folds or audio", "epochs: 2, now 3",
        "feature.config.sr: 8000, now 16000",
    ]


@pytest.mark.parametrize(("flags", "said"), [
    (("--augment", "{gain: {}}"), "augment.gain needs frequency bands"),  # these are MFCC
    (("--loss", "{kind: lsep, gamma: 1}"), "--loss.gamma"),
    (("--network", "{size: tiny}"), "network.size"),
    (("--schedule", "{kind: cosine, warmup_epochs: 9}"), "schedule.warmup_epochs is 9"),
    (("--noisy", "--noisy-head", "--no-curated"), "--noisy-head contradicts --no-curated"),
    (("--noisy-loss", "{kind: lsoft}"), "--noisy-loss contradicts train.noisy: false"),
    (("--noisy-head",), "--noisy-head contradicts train.noisy: false"),
    (("--averaging", "{kind: snapshots}"), "contradicts train.schedule.kind: constant; it needs"),
])
def test_a_recipe_that_cannot_be_trained_is_refused_before_the_first_epoch(world, flags, train,
                                                                          said):
    ended = train(*flags)
    assert ended.code == 2
    assert said in ended.err
    assert not (world.runs / "mfcc" / "run.json").exists()
    assert not list(world.runs.rglob("history.csv"))


def test_without_tensorflow_it_says_how_to_get_it(world, run_stage, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('none here')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = run_stage("train", "--features", "mfcc", *world.where, *TINY,
                      env={"PYTHONPATH": path})
    assert ended.code == 2
    assert "pip install '.[train]'" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("flags", [("--noisy-share", 0.5), ("--no-curated",)])
def test_training_on_noisy_clips_needs_some(world, train, flags):
    world.relabel(lambda label: label if label.split != "noisy" else None)
    ended = train("--noisy", *flags)
    assert ended.code == 2
    assert "labels.csv has no noisy clips" in ended.err
