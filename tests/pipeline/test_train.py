"""Training on a tiny store of random features, mostly in this process; killed ones in their own."""

import csv
import fcntl
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_ndarray

from features.logmel import LogMel
from features.signal.moments import moments_of
from pipeline.dataset.tables import Dataset, Label, read_labels, write_dataset, write_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.identity import differences
from pipeline.runs.recipe import Recipe
from pipeline.runs.scores import load
from pipeline.runtime.errors import StoreError
from pipeline.scoring.metrics import lwlrap
from pipeline.store.from_arrays import write_store
from pipeline.store.partial import JournalEntry, PartialStore
from pipeline.store.reader import open_store
from pipeline.store.schema import Contents, Excluded, FeatureSpec, spec_of
from pipeline.store.writer import ClipWriter
from pipeline.training import checkpoint as checkpoints
from pipeline.training import fold_data
from pipeline.training.callbacks import EpochDisplay, best_epoch, is_over
from pipeline.training.network import make_model
from pipeline.training.tensorboard_logs import log_run

ROOT = Path(fold_data.__file__).parents[2]
CLASSES = ("Bark", "Meow", "Rain")
N_CLIPS = 24
WIDTH = 6
SPEC = FeatureSpec(
    "mfcc", 1, "float32", WIDTH, "dB",
    {"sr": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 16, "n_mfcc": WIDTH,
     "fmin": 0.0, "fmax": None, "top_db": 80.0},
)
WAVES = FeatureSpec("waveform", 1, "int16", 0, "full scale", {"sr": 8000})
# 8 frames; dummy2d trains in no time.
TINY = ("--model", "dummy2d", "--seconds", 0.1125, "--epochs", 2, "--batch-size", 8,
        "--jobs", 1)


def make_store(folder, spec, arrays, excluded=()):
    folder.mkdir(parents=True, exist_ok=True)
    contents = Contents(tuple(arrays), tuple(map(len, arrays.values())), tuple(excluded))
    filling = PartialStore(folder, spec.feature, spec, contents)
    for i, a in enumerate(arrays.values()):
        with ClipWriter(filling.offsets, spec, i, filling.start(i), len(a)) as writer:
            writer.write(a)
            writer.finish("0" * 64, (0, len(a)), moments_of(a, spec.scale))
        filling.record(JournalEntry(i, 0, 0, "0" * 64))
    return open_store(filling.seal())


class World:
    """A prepared folder, stores of random features, and a folder for runs."""

    def __init__(self, root):
        self.root = root
        self.data, self.stores, self.runs = root / "prepared", root / "stores", root / "runs"
        rng = np.random.default_rng(0)
        self.labels, self.frames, self.waves = [], {}, {}
        for i in range(N_CLIPS + 6):
            clip_id = f"{i:02}.wav"
            names = tuple(CLASSES[k] for k in ([i % 3] if i % 5 else [i % 3, (i + 1) % 3]))
            split = "curated" if i < N_CLIPS else ("noisy" if i < N_CLIPS + 3 else "test")
            fold = i % 2 if split == "curated" else None
            self.labels.append(Label(clip_id, names, split, fold, ""))
            # The class shows in its own coefficient; from shorter than a crop to three of them.
            frames = rng.normal(size=(4 + i % 20, WIDTH))
            for name in names:
                frames[:, CLASSES.index(name)] += 3
            self.frames[clip_id] = (frames * 10 - 20).astype(np.float32)
            self.waves[clip_id] = rng.integers(-9999, 9999, 1700 + 10 * i).astype(np.int16)

    def write(self):
        self.data.mkdir()
        write_labels(self.data, self.labels)
        write_dataset(self.data, Dataset(self.root, "csv", CLASSES, "multi"))
        make_store(self.stores, SPEC, self.frames)
        make_store(self.stores, WAVES, self.waves)
        return self

    @property
    def where(self):
        return "--data", self.data, "--stores", self.stores, "--runs-dir", self.runs

    def relabel(self, change):
        """Rewrite labels.csv with every row changed, or left out."""
        write_labels(self.data, [y for x in read_labels(self.data) if (y := change(x))])

    def truth_of(self, scores):
        labels = {x.clip_id: x.labels for x in read_labels(self.data)}
        return np.array([[c in labels[i] for c in CLASSES] for i in scores.clip_ids])

    def bytes_of(self, run, name):
        """A file of every fold, and the folds' test scores, by their paths in the run."""
        found = (p for p in (self.runs / run).glob(f"**/{name}") if p.name != "run.json")
        return {p.relative_to(self.runs / run).as_posix(): p.read_bytes()
                for p in sorted(found) if "logs" not in p.parts}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path).write()


@pytest.fixture
def train(call_stage, tmp_path):
    """Train with small settings in this process."""
    where = World(tmp_path).where
    return lambda *flags: call_stage("train", "--features", "mfcc", *where, *TINY, *flags)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, call_stage):
    """A world with a finished run, not to be changed; and how the training ended."""
    world = World(tmp_path_factory.mktemp("trained")).write()
    return world, call_stage("train", "--features", "mfcc", *world.where, *TINY)


@pytest.fixture
def done(trained, tmp_path):
    """A world of one's own with a finished run."""
    shutil.copytree(trained[0].root, tmp_path, dirs_exist_ok=True)
    return World(tmp_path)


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def recipe(**other):
    return Recipe(**{
        "features": "mfcc", "model": "dummy2d", "labels": "multi", "noisy": False, "seconds": 0.1,
        "pad": "silence", "normalization": "standardize", "crops": "clip", "seconds_max": None,
        "overlap": 0.0, "score_seconds": None, "curated": True, "noisy_share": None,
        "balance": False, "teacher": None, "batch_size": 8, "epochs": 10,
        "learning_rate": 0.1, "patience": 3, "monitor": "loss", "seed": 0,
        "network": {}, "start_from": None, "augment": {},
        "loss": {"kind": "cross-entropy", "label_smoothing": 0.0}, "noisy_loss": None,
        "noisy_head": False, "optimizer": {"kind": "adam"}, "schedule": {"kind": "constant"},
        "averaging": {"kind": "none"}, "keep": "best", "validate_every": 1,
        "precision": "float32", **other,
    })


# ---- what a run leaves


def test_a_run_has_a_model_scores_and_a_history_a_fold(trained):
    world, ended = trained
    assert ended.code == 0, ended.err
    run = world.runs / "mfcc"
    result = json.loads((run / "run.json").read_text())
    assert result["kind"] == "train"
    assert result["fingerprint"] == SPEC.fingerprint
    assert result["feature"]["config"] == SPEC.config
    assert (result["classes"], result["folds"]) == (list(CLASSES), [0, 1])
    assert result["label_mode"] == "multi"
    assert (result["seed"], result["settings"]["epochs"]) == (0, 2)
    for fold in (0, 1):
        folder = run / f"folds/{fold}"
        assert sorted(p.name for p in folder.iterdir()) == [
            "fold.json", "history.csv", "logs", "model.keras", "oof.npz"
        ]
        oof = load(folder / "oof.npz", made_by="train")
        assert oof.classes == CLASSES
        assert oof.clip_ids == tuple(f"{i:02}.wav" for i in range(fold, N_CLIPS, 2))
        rows = read_history(folder)
        assert [row["epoch"] for row in rows] == [1, 2]
        assert list(rows[0]) == ["epoch", "loss", "lwlrap", "val_loss", "val_lwlrap"]
        assert f"  1/2 {rows[0]['loss']:12.4f} {rows[0]['lwlrap']:12.4f}" in ended.out
    assert "* best" in ended.out
    oof, tests = RunFolder(world.runs, "mfcc").load()
    assert len(oof.clip_ids) == N_CLIPS
    assert tests == []
    assert f"out-of-fold lwlrap {lwlrap(world.truth_of(oof), oof.values):.4f}" in ended.out


def test_tensorboard_gets_what_the_history_has(trained):
    folder = trained[0].runs / "mfcc" / "folds/0"
    found = {}
    for part in ("train", "validation"):
        (path,) = (folder / "logs" / part).iterdir()
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = Event.FromString(record)
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                name = ("val_" if part == "validation" else "") + value.tag.removeprefix("epoch_")
                # Keras counts epochs from 0.
                found[event.step + 1, name] = float(make_ndarray(value.tensor))
    for row in read_history(folder):
        for name, value in row.items():
            if name != "epoch":
                assert found.pop((int(row["epoch"]), name)) == pytest.approx(value, rel=1e-6)
    # Keras adds the learning rate.
    assert {name for _, name in found} == {"learning_rate"}


def test_tensorboard_gets_the_run_as_a_whole(trained):
    world = trained[0]
    folder = RunFolder(world.runs, "mfcc")
    events = EventAccumulator(str(folder.logs))
    events.Reload()
    histories = [read_history(folder.fold(k).path) for k in folder.read().folds]
    assert len(histories) > 1
    for name in histories[0][0].keys() - {"epoch"}:
        found = [event.value for event in events.Scalars(f"mean_over_folds/{name}")]
        # As long as all folds train.
        by_epoch = zip(*[[row[name] for row in history] for history in histories], strict=False)
        assert found == pytest.approx([np.mean(values) for values in by_epoch], rel=1e-6)
    for tag in ("clips", "confusion_matrix"):
        (picture,) = events.Images(tag)
        pixels = imread(io.BytesIO(picture.encoded_image_string), format="png")
        assert pixels.shape[:2] == (picture.height, picture.width)
        assert np.ptp(pixels) > 0.5


def test_means_end_with_the_shortest_fold_and_log_mel_is_shown_if_it_is_there(trained, tmp_path):
    world = trained[0]
    shutil.copytree(world.runs / "mfcc", tmp_path / "runs/mfcc")
    shutil.copytree(world.stores, tmp_path / "stores")
    spec = spec_of(LogMel(sr=8000, n_mels=WIDTH, n_fft=256, hop_length=128), trim_db=60.0)
    write_store(tmp_path / "stores/logmel.h5", spec, world.frames)
    folder = RunFolder(tmp_path / "runs", "mfcc")
    history = folder.fold(1).history
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:2]))
    log_run(folder, open_store(tmp_path / "stores/mfcc.h5"), read_labels(world.data))
    events = EventAccumulator(str(folder.logs))
    events.Reload()
    assert [event.step for event in events.Scalars("mean_over_folds/val_loss")] == [0]
    assert len(events.Images("log_mel")) == 1


def covering(frames, n):
    """Evenly spaced crops of a clip that is no shorter than one."""
    k = -(-len(frames) // n)
    starts = [j * (len(frames) - n) // max(k - 1, 1) for j in range(k)]
    return np.stack([frames[s:s + n] for s in starts])


def test_scores_and_loss_are_means_over_crops_that_cover_the_clip(world, train):
    # Clips of a crop or more, so that nothing is padded.
    world.relabel(lambda x: x if len(world.frames[x.clip_id]) >= 8 else None)
    assert train("--fold", 1).code == 0
    folder = world.runs / "mfcc" / "folds/1"
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    oof = load(folder / "oof.npz", made_by="train")
    truth = world.truth_of(oof).astype(float)
    losses, scores = [], []
    for clip_id, true in zip(oof.clip_ids, truth, strict=True):
        p = model(covering(world.frames[clip_id], 8)).numpy().astype(float)
        scores.append(p.mean(axis=0))
        losses.append(-np.mean(true * np.log(p) + (1 - true) * np.log(1 - p)))
    np.testing.assert_allclose(oof.values, scores, atol=1e-6)
    best = min(read_history(folder), key=lambda row: row["val_loss"])
    assert best["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert best["val_lwlrap"] == pytest.approx(lwlrap(truth, oof.values))


def test_mean_and_variance_are_of_the_training_clips_alone(world, train):
    # Were one validation frame among them, the mean would be far off.
    world.frames = {k: f + 1e6 * (int(k[:2]) % 2 == 0) for k, f in world.frames.items()}
    make_store(world.stores, SPEC, world.frames)
    assert train("--fold", 0).code == 0
    model = keras.saving.load_model(world.runs / "mfcc" / "folds/0" / "model.keras")
    layer = model.get_layer("standardize")
    frames = np.concatenate([world.frames[f"{i:02}.wav"] for i in range(1, N_CLIPS, 2)])
    np.testing.assert_allclose(np.ravel(layer.mean), frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.ravel(layer.variance), frames.var(axis=0), rtol=1e-4)


def test_it_learns(world, train):
    assert train("--fold", 0, "--epochs", 30, "--learning-rate", 0.1, "--patience", 30).code == 0
    first, *_, last = read_history(world.runs / "mfcc" / "folds/0")
    assert last["loss"] < first["loss"]
    assert last["val_loss"] < first["val_loss"]


def test_noisy_clips_train_in_every_fold_and_validate_in_none(trained, world, train):
    assert "fold 0: 12 training clips, 12 validation clips" in trained[1].out
    ended = train("--noisy")
    assert "fold 0: 15 training clips, 12 validation clips" in ended.out
    assert "fold 1: 15 training clips, 12 validation clips" in ended.out
    oof, _ = RunFolder(world.runs, "mfcc").load()
    assert set(oof.clip_ids) == {f"{i:02}.wav" for i in range(N_CLIPS)}


def test_one_label_a_clip(world, train):
    world.relabel(lambda x: replace(x, labels=("Bark",)) if x.labels == ("Rain",) else x)
    ended = train("--labels", "single", "--fold", 0)
    assert ended.code == 0, ended.err
    assert "5 clips with several labels are left out" in ended.out
    assert re.search(r"best epoch .* val_accuracy [01]\.", ended.out)
    oof, _ = RunFolder(world.runs, "mfcc").load()
    several = {x.clip_id for x in read_labels(world.data) if len(x.labels) > 1}
    assert not several & set(oof.clip_ids)
    # No clip is Rain alone any more; it keeps its column.
    assert oof.classes == CLASSES
    np.testing.assert_allclose(oof.values.sum(axis=1), 1, atol=1e-6)
    assert {"accuracy", "val_accuracy"} < set(read_history(world.runs / "mfcc" / "folds/0")[0])


# ---- seeds


def test_a_seed_gives_the_same_scores_and_another_gives_others(done, train):
    # The fold is trained alone here, and was trained after another one there.
    for run, seed in (("same", 0), ("other", 1)):
        assert train("--run", run, "--seed", seed, "--fold", 1).code == 0
    first, same, other = (
        done.bytes_of(run, "oof.npz")["folds/1/oof.npz"] for run in ("mfcc", "same", "other")
    )
    assert first == same
    assert first != other


def test_every_epoch_has_every_training_clip_in_another_order_and_other_crops(
    world, train, monkeypatch
):
    result, random_crops = [], fold_data.random_crops

    def drawn(*args):
        result.append(random_crops(*args))
        return result[-1]

    monkeypatch.setattr(fold_data, "random_crops", drawn)
    train("--fold", 0, "--epochs", 3)
    orders = [crops.row.tolist() for crops in result]
    assert [sorted(order) for order in orders] == [list(range(12))] * 3
    firsts = [crops.first[np.argsort(crops.row)].tolist() for crops in result]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert firsts[0] != firsts[1] != firsts[2] != firsts[0]


@pytest.mark.slow
def test_folds_side_by_side_are_as_good(done, run_stage):
    ended = run_stage("train", "--features", "mfcc", *done.where, *TINY, "--run", "two",
                      "--jobs", 2)
    assert ended.code == 0, ended.err
    one, two = (RunFolder(done.runs, run).load()[0] for run in ("mfcc", "two"))
    assert one.clip_ids == two.clip_ids
    # Another number of threads may sum in another order.
    np.testing.assert_allclose(one.values, two.values, atol=1e-5)


# ---- stopped and gone on


class Killed(BaseException):
    pass


@pytest.fixture
def kill_after(monkeypatch):
    """Make trainings end as if killed after an epoch."""
    def kill(epoch):
        def row(self, values, seconds, *, mark):
            if values["epoch"] == epoch:
                raise Killed

        monkeypatch.setattr(EpochDisplay, "row", row)

    yield kill
    monkeypatch.undo()


DROPOUT = ("--features", "waveform", "--model", "conv1d", "--seconds", 0.203, "--fold", 0,
           "--epochs", 4, "--patience", 4, "--batch-size", 6)


@pytest.mark.parametrize(("flags", "epochs"), [
    (DROPOUT, (1, 3)),
    (("--precision", "mixed_float16", "--fold", 1, "--epochs", 4), (2,)),  # and Adam's wrapper
])
def test_going_on_gives_what_never_stopping_gives(
    world, train, kill_after, monkeypatch, flags, epochs
):
    # Dropout, moving averages and Adam's moments must all come back, each to the bit.
    assert train(*flags, "--run", "whole").code == 0
    for epoch in epochs:
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
    "--precision", "mixed_bfloat16", "--epochs", 3, "--patience", 3,
)


@pytest.mark.parametrize("flags", [
    ("--schedule", "{kind: cosine, warmup_epochs: 1}", "--averaging", "{kind: ema, momentum: 0.9}",
     "--optimizer", "{kind: adamw}"),
    ("--schedule", "{kind: plateau, patience: 1}", "--averaging", "{kind: swa, start: 0.25}",
     "--optimizer", "{kind: sgd}", "--keep", "last", "--noisy-share", 0.25, "--balance"),
    ("--schedule", "{kind: cosine, cycles: 3}", "--averaging", "{kind: snapshots, last: 2}",
     "--keep", "last", "--precision", "float32"),
], ids=["cosine, ema, adamw", "plateau, swa, sgd, last", "snapshots"])
def test_resuming_with_everything_random_and_averaged_gives_the_same_bits(
    world, train, kill_after, monkeypatch, flags
):
    asked = (*EVERYTHING, *flags, "--fold", 1)
    ended = train(*asked, "--run", "whole")
    assert ended.code == 0, ended.err
    kill_after(2)
    with pytest.raises(Killed):
        train(*asked, "--run", "killed")
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


# ---- edited networks


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


# ---- when to stop


def rows_of(*losses):
    return [{"epoch": i, "val_loss": x, "val_lwlrap": 1 - x} for i, x in enumerate(losses, 1)]


@pytest.mark.parametrize("monitor", ["loss", "lwlrap"])
def test_the_best_epoch_is_the_first_of_the_best(monitor):
    assert best_epoch([], monitor) == 0
    assert best_epoch(rows_of(0.5, 0.25, 0.25, 0.75), monitor) == 2


@pytest.mark.parametrize("monitor", ["loss", "lwlrap"])
def test_patience(monitor):
    asked = recipe(monitor=monitor, patience=2, epochs=5)
    assert not is_over([], asked)
    assert not is_over(rows_of(0.5), asked)
    assert not is_over(rows_of(0.5, 0.75), asked)
    assert is_over(rows_of(0.5, 0.75, 0.5), asked)
    assert not is_over(rows_of(0.5, 0.75, 0.25, 0.3), asked)
    assert is_over(rows_of(0.5, 0.4, 0.3, 0.2, 0.1), asked)


def test_early_stopping_keeps_the_best_model(world, train):
    # Steps that large overshoot: the loss is best early on.
    assert train("--fold", 0, "--epochs", 20, "--patience", 2, "--learning-rate", 30).code == 0
    folder = world.runs / "mfcc" / "folds/0"
    rows = read_history(folder)
    assert len(rows) < 20
    best = min(rows, key=lambda row: row["val_loss"])
    assert len(rows) == best["epoch"] + 2
    oof = load(folder / "oof.npz", made_by="train")
    assert lwlrap(world.truth_of(oof), oof.values) == pytest.approx(best["val_lwlrap"])


def test_a_training_that_diverges_stops_and_says_so(world, train):
    ended = train("--learning-rate", 1e38, "--epochs", 5)
    assert ended.code == 1
    assert "fold 0, epoch " in ended.err
    assert "training diverged: the loss became NaN or infinite" in ended.err
    assert "lower --learning-rate than 1e+38" in ended.err


# ---- what is wrong with the input


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
    (("--model", "conv1d"), "conv1d takes (samples,)"),
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


# ---- which model is kept, and where it starts


def test_the_last_epoch_is_kept_if_asked_for(world, train):
    # Steps that large overshoot: the loss is best early on.
    flags = ("--fold", 0, "--epochs", 6, "--patience", 1, "--learning-rate", 30)
    ended = train(*flags, "--keep", "last")
    assert ended.code == 0, ended.err
    folder = world.runs / "mfcc" / "folds/0"
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert "last epoch 6 of 6" in ended.out
    assert ended.out.count("* last") == 1
    assert best_epoch(rows, "loss") < 6
    oof = load(folder / "oof.npz", made_by="train")
    assert rows[-1]["val_lwlrap"] == pytest.approx(lwlrap(world.truth_of(oof), oof.values))


def test_the_kept_model_has_the_averaged_weights_that_gave_the_scores(world, train):
    world.relabel(lambda x: x if len(world.frames[x.clip_id]) >= 8 else None)
    assert train("--fold", 1, "--averaging", "{kind: ema}", "--learning-rate", 1).code == 0
    folder = world.runs / "mfcc" / "folds/1"
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    oof = load(folder / "oof.npz", made_by="train")
    found = [model(covering(world.frames[clip_id], 8)).numpy().mean(axis=0)
             for clip_id in oof.clip_ids]
    np.testing.assert_allclose(oof.values, found, atol=1e-6)


def test_snapshots_score_as_the_mean_of_trainings_that_end_where_they_were_taken(
    world, train, call_stage
):
    # The first cycle of two is a training of half the epochs; the second one ends with the run.
    flags = ("--fold", 0, "--keep", "last", "--learning-rate", 0.5)
    two = "{kind: cosine, cycles: 2}"
    runs = {
        "first": ("--epochs", 2, "--schedule", "{kind: cosine}"),
        "second": ("--epochs", 4, "--schedule", two),
        "both": ("--epochs", 4, "--schedule", two, "--averaging", "{kind: snapshots, last: 2}"),
    }
    for name, own in runs.items():
        ended = train("--run", name, *flags, *own)
        assert ended.code == 0, ended.err
        ended = call_stage("predict", *world.where, "--run", name)
        assert ended.code == 0, ended.err
    for file in ("folds/0/oof.npz", "test/0.npz"):
        first, second, both = (load(world.runs / name / file, made_by="train") for name in runs)
        np.testing.assert_allclose(both.values, (first.values + second.values) / 2, atol=1e-5)
        assert np.abs(first.values - second.values).max() > 1e-3
    oof = load(world.runs / "both/folds/0/oof.npz", made_by="train")
    second, both = (read_history(world.runs / name / "folds/0") for name in ("second", "both"))
    assert both[:-1] == second[:-1]  # of the network as it is
    assert both[-1]["val_lwlrap"] == pytest.approx(lwlrap(world.truth_of(oof), oof.values))
    assert both[-1]["val_loss"] != second[-1]["val_loss"]

    ended = train("--run", "next", "--fold", 0, "--start-from", "both")
    assert (ended.code, "its averaging is snapshots" in ended.err) == (2, True)
    assert not (world.runs / "next").exists()


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


@pytest.mark.parametrize(("flags", "said"), [
    (("--augment", "{gain: {}}"), "augment.gain needs frequency bands"),  # these are MFCC
    (("--loss", "{kind: lsep, gamma: 1}"), "--loss.gamma"),
    (("--network", "{size: tiny}"), "network.size"),
    (("--schedule", "{kind: cosine, warmup_epochs: 9}"), "schedule.warmup_epochs is 9"),
    (("--noisy", "--noisy-head", "--no-curated"), "--noisy-head and --no-curated contradict"),
    (("--averaging", "{kind: snapshots}"), "snapshots needs --schedule.kind cosine"),
])
def test_a_recipe_that_cannot_be_trained_is_refused_before_the_first_epoch(world, flags, train,
                                                                          said):
    ended = train(*flags)
    assert ended.code == 2
    assert said in ended.err
    assert not (world.runs / "mfcc" / "run.json").exists()
    assert not list(world.runs.rglob("history.csv"))


# ---- the process


def test_training_loads_no_decoder_and_is_quiet(world, stage_command):
    code = (
        "import sys\n"
        "from pipeline.cli.settings import parse\n"
        "from pipeline import train\n"
        "train.run(parse('train', train.Settings, '', sys.argv[1:]))\n"
        "assert 'tensorflow' in sys.modules\n"
        "print([m for m in ('librosa', 'soundfile', 'soxr', 'audioread') if m in sys.modules])\n"
    )
    flags = stage_command("train", "--features", "mfcc", *world.where, *TINY, "--fold", 0)[3:]
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True,
                          env=stage_command.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


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


def test_fewer_validations_change_no_weight_and_no_final_score(world, train):
    flags = ("--keep", "last", "--epochs", 4, "--fold", 0)
    train("--run", "each", *flags)
    train("--run", "some", *flags, "--validate-every", 3)
    assert world.bytes_of("some", "oof.npz") == world.bytes_of("each", "oof.npz")
    each, some = (pd.read_csv(world.runs / name / "folds/0/history.csv")
                  for name in ("each", "some"))
    assert some["val_loss"].isna().tolist() == [True, True, False, False]
    pd.testing.assert_frame_equal(some.dropna(), each[2:])
    assert some["loss"].tolist() == each["loss"].tolist()


@pytest.mark.parametrize("flags", [
    ("--keep", "best"), ("--keep", "last", "--schedule.kind", "plateau"),
])
def test_a_choice_by_validation_needs_one_after_every_epoch(world, train, flags):
    ended = train("--validate-every", 2, *flags)
    assert ended.code == 2
    assert "--validate-every is 2; --keep best and a plateau need" in ended.err
    assert not world.runs.exists()
