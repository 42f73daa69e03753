"""Test scores of a run that was trained on a tiny store of random features."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from pipeline.batching.crops import Crops, covering_crops, mean_by_clip
from pipeline.batching.source import open_source
from pipeline.dataset.tables import Dataset, Label, read_labels, write_dataset, write_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import load
from pipeline.store.reader import open_store
from pipeline.store.schema import FeatureSpec
from training_world import make_store

CLASSES = ("Bark", "Meow", "Rain")
TEST = ("20.wav", "21.wav", "22.wav", "23.wav")
CONFIG = {"sr": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 16, "fmin": 0.0, "fmax": None,
          "top_db": 80.0}
SPEC = FeatureSpec("logmel", 1, "float32", 16, "dB", CONFIG)
TRAIN = ("--features", "logmel", "--run", "tiny", "--model", "dummy2d", "--seconds", 0.1125,
         "--epochs", 1, "--jobs", 1)


def clips():
    """20 curated clips in two folds, 4 test clips; from shorter than a crop of 8 frames to 24."""
    rng = np.random.default_rng(0)
    return {f"{i:02}.wav": rng.normal(-40, 20, (5 + i, 16)).astype(np.float32) for i in range(24)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, call_stage):
    root = tmp_path_factory.mktemp("trained")
    (root / "prepared").mkdir()
    write_labels(root / "prepared", [
        Label(c, () if c in TEST else (CLASSES[i % 3],), "test" if c in TEST else "curated",
              None if c in TEST else i % 2, "") for i, c in enumerate(clips())
    ])
    write_dataset(root / "prepared", Dataset(root, "csv", CLASSES, "multi"))
    make_store(root / "stores", SPEC, clips())
    ended = call_stage("train", *TRAIN, *where(root))
    assert ended.code == 0, ended.err
    return root


def where(root):
    return ("--data", root / "prepared", "--stores", root / "stores", "--runs-dir", root / "runs")


@pytest.fixture
def root(trained, tmp_path):
    """A folder of one's own with a trained run."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def predict(call_stage, root):
    return lambda *flags: call_stage("predict", "--run", "tiny", *where(root), *flags)


def test_scores_are_means_over_crops_that_cover_the_clip(root, predict):
    ended = predict()
    assert ended.code == 0, ended.err
    assert "4 test clips (16 crops)" in ended.out  # of 25 to 28 frames, in crops of 8
    _, tests = RunFolder(root / "runs", "tiny").load()
    for fold, scores in enumerate(tests):
        assert scores.clip_ids == TEST
        assert scores.classes == CLASSES
        model = keras.saving.load_model(root / "runs" / "tiny" / f"folds/{fold}" / "model.keras")
        for clip_id, found in zip(TEST, scores.values, strict=True):
            frames = clips()[clip_id]
            n = -(-len(frames) // 8)
            starts = [j * (len(frames) - 8) // (n - 1) for j in range(n)]
            crops = np.stack([frames[s:s + 8] for s in starts])
            np.testing.assert_allclose(found, model(crops).numpy().mean(axis=0), atol=1e-6)
    assert not np.array_equal(tests[0].values, tests[1].values)


def test_predicting_again_gives_the_same_bytes(root, predict):
    paths = [root / "runs" / "tiny" / "test" / f"{k}.npz" for k in (0, 1)]
    predict()
    first = [p.read_bytes() for p in paths]
    for path in paths:
        path.with_suffix(".json").unlink()
    assert "fold 1: " in predict().out
    assert [p.read_bytes() for p in paths] == first


def test_nothing_changed_is_nothing_to_do_and_needs_no_tensorflow(root, predict, stage_command):
    assert predict().code == 0
    before = {p: p.stat().st_mtime_ns for p in (root / "runs").rglob("*")}
    code = (
        "import sys\n"
        "from pipeline.cli.settings import parse\n"
        "from pipeline import predict\n"
        "predict.run(parse('predict', predict.Settings, '', sys.argv[1:]))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    flags = stage_command("predict", "--run", "tiny", *where(root))[3:]
    ended = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True,
                           env=stage_command.environment)
    assert ended.returncode == 0, ended.stderr
    assert "predict: nothing to do" in ended.stdout
    assert {p: p.stat().st_mtime_ns for p in (root / "runs").rglob("*")} == before


@pytest.mark.parametrize("change", ["audio", "clips", "model", "scores"])
def test_what_changed_is_scored_again(root, predict, change):
    assert predict().code == 0
    test = root / "runs" / "tiny" / "test"
    first = [(test / f"{k}.npz").read_bytes() for k in (0, 1)]
    arrays = clips()
    if change == "audio":
        make_store(root / "stores", SPEC, {**arrays, TEST[0]: arrays[TEST[0]] + 9})
    elif change == "clips":
        make_store(root / "stores", SPEC, {k: v for k, v in arrays.items() if k != TEST[0]})
    elif change == "model":
        folds = root / "runs" / "tiny" / "folds"
        shutil.copy(folds / "0/model.keras", folds / "1/model.keras")
    else:
        (test / "1.npz").unlink()
    ended = predict()
    assert ended.code == 0, ended.err
    assert ("  fold 0: " in ended.out) == (change in ("audio", "clips"))
    assert "  fold 1: " in ended.out
    again = [(test / f"{k}.npz").read_bytes() for k in (0, 1)]
    assert (again[0] != first[0]) == (change in ("audio", "clips"))
    assert (again[1] != first[1]) == (change != "scores")
    assert "nothing to do" in predict().out


def test_a_training_clip_that_changed_scores_nothing_again(root, predict):
    assert predict().code == 0
    make_store(root / "stores", SPEC, {**clips(), "00.wav": clips()["00.wav"] + 9})
    assert "nothing to do" in predict().out


def test_a_store_of_another_kind_is_refused_key_by_key(root, predict):
    other = replace(SPEC, config={**CONFIG, "hop_length": 64, "top_db": None}, version=2)
    make_store(root / "stores", other, clips())
    ended = predict()
    assert ended.code == 4
    for line in ("config.hop_length: 128, now 64", "config.top_db: 80.0, now null",
                 "version: 1, now 2"):
        assert f"\n  {line}\n" in ended.err
    assert "n_fft" not in ended.err
    assert not list((root / "runs").rglob("test/*.npz"))


def test_clips_that_the_store_lacks_are_listed_and_the_others_scored(root, predict):
    make_store(root / "stores", SPEC, {k: v for k, v in clips().items() if k != TEST[1]})
    ended = predict()
    assert ended.code == 0
    assert f"lacks 1 test clips, which get no scores: {TEST[1]}" in ended.err
    scores = load(root / "runs" / "tiny" / "test" / "0.npz", made_by="predict")
    assert scores.clip_ids == (TEST[0], TEST[2], TEST[3])


def test_no_test_clip_at_all(root, predict):
    make_store(root / "stores", SPEC, {k: v for k, v in clips().items() if k not in TEST})
    ended = predict()
    assert ended.code == 2
    assert "has none of the 4 test clips" in ended.err
    write_labels(root / "prepared", [Label("00.wav", CLASSES[:1], "curated", 0, "")])
    assert "labels.csv has no test clips" in predict().err


def add_noisy_clips(root):
    """Add two noisy clips, of which the store has one, equal to a test clip."""
    noisy = [Label(c, CLASSES[:1], "noisy", None, "") for c in ("30.wav", "31.wav")]
    write_labels(root / "prepared", [*read_labels(root / "prepared"), *noisy])
    make_store(root / "stores", SPEC, {**clips(), "30.wav": clips()[TEST[2]]})


def test_noisy_clips_are_scored_beside_the_test_clips(root, predict):
    assert predict().code == 0
    assert RunFolder(root / "runs", "tiny").load_noisy() == []
    add_noisy_clips(root)
    ended = predict("--no-noisy")
    assert "nothing to do" in ended.out
    assert "noisy clips" not in ended.out + ended.err
    ended = predict()
    assert ended.code == 0, ended.err
    assert "1 noisy clips" in ended.out
    assert "test clips" not in ended.out
    assert "lacks 1 noisy clips, which get no scores: 31.wav" in ended.err
    run = RunFolder(root / "runs", "tiny")
    noisy, (_, tests) = run.load_noisy(), run.load()
    assert len(noisy) == len(tests) == 2
    for scores, test in zip(noisy, tests, strict=True):
        assert scores.clip_ids == ("30.wav",)
        np.testing.assert_allclose(scores.values[0], test.values[2], atol=1e-6)
    assert "4 test and 1 noisy clips already" in predict().out
    run.fold(1).predicted("noisy").unlink()
    assert run.load_noisy() == []
    ended = predict()
    assert "fold 1" in ended.out
    assert "fold 0" not in ended.out


def test_a_run_trained_on_noisy_clips_does_not_score_them(root, predict):
    add_noisy_clips(root)
    path = root / "runs" / "tiny" / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "settings": {**record["settings"], "noisy": True}}))
    ended = predict()
    assert ended.code == 0
    assert "was trained on the noisy clips, so it does not score them" in ended.err
    assert RunFolder(root / "runs", "tiny").load_noisy() == []
    assert list((root / "runs" / "tiny" / "noisy").iterdir()) == []


def test_noisy_scores_go_when_the_fold_is_trained_again(root, predict):
    add_noisy_clips(root)
    predict()
    fold = RunFolder(root / "runs", "tiny").fold(0)
    assert fold.predicted("noisy").is_file()
    fold.begin({})
    assert sorted(p.name for p in fold.predicted("noisy").parent.iterdir()) == ["1.json", "1.npz"]


def test_other_classes_than_the_runs(root, predict):
    write_labels(root / "prepared", [Label(c, (), "test", None, "") for c in TEST])
    write_dataset(root / "prepared", Dataset(root, "csv", ("Bark", "Meow", "Snow"), "multi"))
    ended = predict()
    assert ended.code == 2
    assert "Rain, Snow" in ended.err


def test_what_is_no_run(root, predict, call_stage):
    ended = call_stage("predict", "--run", "tinny", *where(root))
    assert ended.code == 2
    assert "did you mean tiny?" in ended.err
    path = root / "runs" / "tiny" / "run.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "fingerprint": "0"}))
    assert predict().code == 4
    path.write_text(json.dumps({**result, "kind": "ensemble", "members": ["a", "b"]}))
    ended = predict()
    assert ended.code == 2
    assert "name one of its members: a, b" in ended.err


def test_a_model_that_is_missing_damaged_or_of_another_shape(root, predict):
    path = root / "runs" / "tiny" / "folds/1" / "model.keras"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    ended = predict()
    assert ended.code == 4
    assert "folds/1/model.keras: damaged, incomplete or not a model" in ended.err
    path.unlink()
    assert predict().code == 2
    model = keras.Sequential([keras.Input((8, 16)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.save(path)
    ended = predict()
    assert ended.code == 4
    assert "gives (2,)" in ended.err


def test_a_model_with_code_in_it_is_not_run(root, predict):
    inputs = keras.Input((8, 16))
    x = keras.layers.Lambda(lambda x: x * 2)(keras.layers.Flatten()(inputs))
    keras.Model(inputs, keras.layers.Dense(3)(x)).save(
        root / "runs" / "tiny" / "folds/0" / "model.keras"
    )
    ended = predict()
    assert ended.code == 4
    assert "damaged, incomplete or not a model" in ended.err


def test_the_mean_by_clip_by_hand():
    crops = Crops(np.array([4, 4, 4, 2, 7, 7]), np.zeros(6, np.int64), np.ones(6, np.int64))
    values = np.array([1, 2, 6, 5, 0, 1])
    np.testing.assert_array_equal(mean_by_clip(values, crops), [3, 5, 0.5])
    np.testing.assert_array_equal(
        mean_by_clip(np.stack([values, -values], axis=1), crops), [[3, -3], [5, -5], [0.5, -0.5]]
    )


def test_every_clip_has_its_own_mean_even_next_to_its_equal(trained):
    store = open_store(trained / "stores" / "logmel.h5")
    source = open_source(store, TEST, n_frames=8, pad="silence", budget=0)
    crops = covering_crops(source.length, np.arange(4), 8)
    np.testing.assert_array_equal(mean_by_clip(crops.row, crops), np.arange(4))


def test_as_a_command_it_is_quiet(root, run_stage):
    ended = run_stage("predict", "--run", "tiny", *where(root))
    assert ended.code == 0
    assert ended.err == ""
