"""What a training leaves: models, scores, histories; and what they are made of."""

import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_ndarray

from features.logmel import LogMel
from pipeline.dataset.tables import read_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import load
from pipeline.scoring.metrics import lwlrap
from pipeline.store.from_arrays import write_store
from pipeline.store.reader import open_store
from pipeline.store.schema import spec_of
from pipeline.training.tensorboard_logs import log_run
from pipeline.training_data import fold_data
from training_world import (
    CLASSES,
    N_CLIPS,
    SPEC,
    TINY,
    WIDTH,
    covering,
    make_store,
    read_history,
)


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
    # As Keras' own callback has it.
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


def test_logs_of_a_run_that_are_missing_are_written_by_the_next_command(done, train):
    """Beside a file that is no store, which a training has no use for."""
    (done.stores / "notes.h5").write_text("no HDF5")
    folder = RunFolder(done.runs, "mfcc")
    before = done.bytes_of("mfcc", "*.*")
    shutil.rmtree(folder.logs)
    folder.logs.mkdir()
    (folder.logs / "events.out.tfevents.1.run.partial").write_bytes(b"torn by a kill")
    ended = train()
    assert ended.code == 0, ended.err
    assert done.bytes_of("mfcc", "*.*") == before
    (written,) = folder.logs.iterdir()
    events = EventAccumulator(str(folder.logs))
    events.Reload()
    assert events.Images("confusion_matrix")
    assert train().code == 0
    assert list(folder.logs.iterdir()) == [written]


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


@pytest.mark.parametrize("has_gpu", [False, True])
def test_a_precision_that_is_slow_here_is_noted_before_the_training(
    world, train, monkeypatch, has_gpu
):
    monkeypatch.setattr("features.kernels.processor.instruction_sets", lambda: {"sse2", "avx2"})
    monkeypatch.setattr("pipeline.training.train_run.has_gpu", lambda: has_gpu)
    note = "  note: mixed_bfloat16 is slow here: "
    flags = ("--fold", 1, "--epochs", 1)
    head, _, _ = train(*flags, "--precision", "mixed_bfloat16").out.partition("fold 1: ")
    assert (note in head) != has_gpu
    assert note not in train(*flags, "--precision", "mixed_bfloat16").out  # nothing to do
    assert "is slow here" not in train(*flags, "--run", "other").out
