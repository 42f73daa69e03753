"""Export runs trained on tiny stores: the files score clips as predict and evaluate do."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from features.logmel import LogMel
from pipeline.audio.decode import as_float32, opened
from pipeline.dataset.tables import Dataset, Label, write_dataset, write_labels
from pipeline.ensembling.means import mean_over_folds
from pipeline.exporting.exported_model import open_exported
from pipeline.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
SR = 8000
CLASSES = ("Bark", "Meow", "Rain")
FEATURES = ("--features.logmel.sr", SR, "--features.logmel.n_fft", 256,
            "--features.waveform.sr", SR, "--hop-length", 100, "--n-mels", 20)
# From a clip of a third of a crop to one of five.
TEST = {f"test{i}.wav": seconds for i, seconds in enumerate((0.1, 0.3, 0.61, 1.5))}
MODULES = {"saved_model": "tensorflow", "litert": "ai_edge_litert", "onnx": "onnxruntime"}
NAMES = {"saved_model": "logmel", "litert": "logmel.tflite", "onnx": "logmel.onnx"}


@pytest.fixture(scope="module")
def trained(make_data_set, extract, call_stage, tone):
    """A folder with audio, tables, stores, and three runs with scores of the test clips."""
    data = make_data_set()
    names = [f"{i:02}.wav" for i in range(8)]
    for i, name in enumerate(names):
        data.write(name, tone(0.2 + 0.1 * i, sr=SR, seed=i), sr=SR)
    for i, (name, seconds) in enumerate(TEST.items()):
        data.write(name, tone(seconds, sr=SR, seed=50 + i), sr=SR)
    data.prepare()
    write_labels(data.prepared, [
        *(Label(name, (CLASSES[i % 3],), "curated", i % 2, "") for i, name in enumerate(names)),
        *(Label(name, (), "test", None, "") for name in TEST),
    ])
    write_dataset(data.prepared, Dataset(data.root, "csv", CLASSES, "multi"))
    stores = data.root / "stores"
    ended = extract(data, stores, "--features", "logmel", "waveform", *FEATURES)
    assert ended.code == 0, ended.err
    for run, *flags in (
        ("logmel", "--features", "logmel", "--model", "dummy2d"),
        ("waveform", "--fold", 0, "--model", "dummy1d", "--labels", "single", "--pad", "repeat"),
        ("snapshots", "--features", "logmel", "--fold", 0, "--model", "cnn", "--network",
         "{size: tiny}", "--epochs", 2, "--schedule", "{kind: cosine, cycles: 2}", "--averaging",
         "{kind: snapshots, last: 2}", "--keep", "last"),
    ):
        ended = call_stage("train", "--run", run, "--jobs", 1, "--epochs", 1, "--seconds", 0.3,
                           *flags, *where(data.root))
        assert ended.code == 0, ended.err
        ended = call_stage("predict", "--run", run, *where(data.root))
        assert ended.code == 0, ended.err
    return data.root


def where(root):
    return ("--data", root / "prepared", "--stores", root / "stores", "--runs-dir", root / "runs")


@pytest.fixture
def export(call_stage, trained, tmp_path):
    def call(run, *flags, root=trained):
        kind = flags[flags.index("--format") + 1] if "--format" in flags else "saved_model"
        if importlib.util.find_spec(MODULES[kind]) is None:
            pytest.skip(f"{MODULES[kind]} is not installed")
        if "--out" not in flags:
            flags = (*flags, "--out", tmp_path / "exports" / NAMES[kind])
        return call_stage("export", "--run", run, *where(root), *flags)

    return call


@pytest.fixture(scope="module")
def exported(call_stage, trained, tmp_path_factory):
    """The run on log-mel frames in each format, once: how the command ended, and the file."""
    folder, done = tmp_path_factory.mktemp("exported"), {}

    def call(kind):
        if importlib.util.find_spec(MODULES[kind]) is None:
            pytest.skip(f"{MODULES[kind]} is not installed")
        if kind not in done:
            path = folder / kind / "exports" / NAMES[kind]
            ended = call_stage("export", "--run", "logmel", *where(trained), "--format", kind,
                               "--out", path)
            assert ended.code == 0, ended.err
            done[kind] = ended, path
        return done[kind]

    return call


def waveform(root, name):
    with opened(root / "audio" / name) as (_, blocks):
        return np.concatenate([as_float32(y) for y in blocks])


@pytest.mark.parametrize("kind", NAMES)
def test_the_scores_are_those_of_predict_and_evaluate(kind, trained, exported):
    ended, path = exported(kind)
    assert ended.err == ""
    said = re.search(r"against Keras on 5 clips of (\S+) \(0\.1 to 1\.5 s\): scores differ by at "
                     r"most (\S+)\n  \S+ \wB, \S+ ms per 2 s of audio", ended.out)
    assert said, ended.out
    assert said[1] == str(trained)
    assert float(said[2]) <= 1e-5
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    model = open_exported(path)
    assert (model.format, model.name, model.classes) == (kind, "logmel", CLASSES)
    assert (model.sr, model.seconds, model.label_mode) == (SR, 0.3, "multi")
    assert model.description.folds == (0, 1)
    assert model.description.feature["name"] == "logmel"
    assert model.description.feature["config"]["hop_length"] == 100
    _, folds = RunFolder(trained / "runs", "logmel").load()
    expected = mean_over_folds("logmel", folds, single=False)
    assert expected.clip_ids == tuple(TEST)
    for name, scores in zip(expected.clip_ids, expected.values, strict=True):
        found = model.scores(waveform(trained, name))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, scores, atol=1e-5, err_msg=name)


def test_waveforms_repeated_with_one_label_per_clip(trained, export, tmp_path):
    ended = export("waveform")
    assert ended.code == 0, ended.err
    model = open_exported(tmp_path / "exports" / "logmel")
    assert model.label_mode == "single"
    _, folds = RunFolder(trained / "runs", "waveform").load()
    expected = mean_over_folds("waveform", folds, single=True)
    for name, scores in zip(expected.clip_ids, expected.values, strict=True):
        found = model.scores(waveform(trained, name))
        assert found.sum() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(found, scores, atol=1e-6)


@pytest.mark.parametrize("kind", NAMES)
def test_snapshots_are_exported_as_one_network(kind, trained, export, tmp_path):
    ended = export("snapshots", "--format", kind)
    assert ended.code == 0, ended.err
    model = open_exported(tmp_path / "exports" / NAMES[kind])
    _, (expected,) = RunFolder(trained / "runs", "snapshots").load()
    for name, scores in zip(expected.clip_ids, expected.values, strict=True):
        np.testing.assert_allclose(model.scores(waveform(trained, name)), scores, atol=1e-5)


def test_without_audio_a_store_of_waveforms_is_used_and_named(trained, export, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    shutil.rmtree(root / "audio")
    write_dataset(root / "prepared", Dataset(root, "csv", CLASSES, "multi"))
    ended = export("logmel", "--clips", 3, "--fold", 0, root=root)
    assert ended.code == 0, ended.err
    assert f"3 clips of {root / 'stores' / 'waveform.h5'} (0.1 to 1.5 s)" in ended.out
    (root / "stores" / "waveform.h5").unlink()
    shutil.rmtree(tmp_path / "exports")
    ended = export("logmel", root=root)
    assert ended.code == 2
    assert "no real clips to check the model with" in ended.err
    assert "checked" not in ended.out
    assert not (tmp_path / "exports").exists()


def test_a_clip_that_changed_since_prepare_checks_nothing(trained, export, tmp_path, tone):
    import soundfile

    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    write_dataset(root / "prepared", Dataset(root, "csv", CLASSES, "multi"))
    soundfile.write(root / "audio" / "test0.wav", tone(2.0, sr=SR), SR)
    ended = export("logmel", root=root)
    assert ended.code == 2
    assert "a clip to check the model with is bad" in ended.err


def test_a_model_that_differs_too_much_is_not_kept(export, tmp_path):
    out = tmp_path / "exports" / "logmel"
    out.mkdir(parents=True)
    (out / "saved_model.pb").write_bytes(b"an earlier model")
    ended = export("logmel", "--fold", 0, "--tolerance", 1e-12)
    assert ended.code == 4
    assert re.search(r"scores of \S+\.wav are off from Keras' by .*more than --tolerance 1e-12",
                     ended.err)
    assert "checked" not in ended.out
    assert [p.name for p in out.parent.iterdir()] == ["logmel"]
    assert [p.name for p in out.iterdir()] == ["saved_model.pb"]
    assert (out / "saved_model.pb").read_bytes() == b"an earlier model"


def test_a_graph_that_computes_something_else_fails_its_check(trained, export, monkeypatch):
    from pipeline.exporting import feature_graphs

    frames = feature_graphs.LogMelGraph.frames
    monkeypatch.setattr(feature_graphs.LogMelGraph, "frames", lambda self, y: frames(self, 2 * y))
    ended = export("logmel", "--fold", 0)
    assert ended.code == 4
    assert "are off from Keras'" in ended.err


@pytest.fixture
def in_bfloat16(trained, tmp_path):
    """The run on log-mel frames, with networks that compute in bfloat16 in its networks' place."""
    root = tmp_path / "mixed"
    shutil.copytree(trained, root)
    write_dataset(root / "prepared", Dataset(root, "csv", CLASSES, "multi"))
    path = root / "runs" / "logmel" / "run.json"
    record = json.loads(path.read_text())
    settings = {**record["settings"], "precision": "mixed_bfloat16"}
    path.write_text(json.dumps({**record, "settings": settings}))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    for fold in (0, 1):
        file = root / "runs" / "logmel" / "folds" / str(fold) / "model.keras"
        keras.utils.set_random_seed(fold)
        shape = keras.saving.load_model(file, compile=False).input_shape[1:]
        network = keras.Sequential([
            keras.Input(shape), keras.layers.Rescaling(0.01, dtype="float32"),
            keras.layers.Reshape((*shape, 1)), keras.layers.Conv2D(8, 3),
            keras.layers.GlobalAveragePooling2D(dtype="float32"),
            keras.layers.Dense(3, activation="sigmoid", dtype="float32"),
        ])
        keras.Model(network.inputs, network.outputs).save(file)
    keras.config.set_dtype_policy(before)
    return root


def test_networks_of_mixed_precision_are_exported_in_float32(
    in_bfloat16, export, monkeypatch
):
    ended = export("logmel", "--format", "litert", root=in_bfloat16)
    assert ended.code == 0, ended.err
    said = re.search(r"scores differ by at most (\S+) in float32; mixed_bfloat16 moves scores by "
                     r"at most (\S+)\n", ended.out)
    assert said, ended.out
    assert float(said[1]) <= 1e-5 < float(said[2]) <= 1 / 16
    # Scores that lie further apart than rounding explains are an error.
    monkeypatch.setattr("pipeline.exporting.float32_network.rounding_bound", lambda _: 1e-6)
    ended = export("logmel", "--format", "litert", "--tolerance", 1e-5, root=in_bfloat16)
    assert ended.code == 4
    assert re.search(r"in float32 the scores of \S+\.wav are off from those in mixed_bfloat16 by "
                     r"\S+, more than 1e-05, .* Give a larger --tolerance", ended.err)


def test_one_fold_in_the_place_of_an_earlier_model(trained, export, tmp_path):
    out = tmp_path / "exports" / "logmel"
    out.mkdir(parents=True)
    (out / "saved_model.pb").touch()
    (out / "rest").touch()
    assert export("logmel", "--fold", 1).code == 0
    assert [p.name for p in out.parent.iterdir()] == ["logmel"]
    assert not (out / "rest").exists()
    model = open_exported(out)
    assert model.description.folds == (1,)
    _, folds = RunFolder(trained / "runs", "logmel").load()
    name = folds[1].clip_ids[3]
    np.testing.assert_allclose(model.scores(waveform(trained, name)), folds[1].values[3], atol=1e-5)


def test_nothing_but_a_model_is_replaced(export, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.png").touch()
    for flags, message in (
        (("--out", other), "other files, which would be lost"),
        (("--format", "litert", "--out", other), "needs a file"),
        (("--out", other / "cat.png"), "needs one"),
    ):
        ended = export("logmel", *flags)
        assert ended.code == 2
        assert message in ended.err
    assert [p.name for p in other.iterdir()] == ["cat.png"]


def test_what_cannot_be_exported(trained, export, call_stage, tmp_path):
    assert "give --run NAME" in call_stage("export").err
    ended = export("logmal")
    assert ended.code == 2
    assert "did you mean logmel?" in ended.err
    ended = export("logmel", "--fold", 7)
    assert ended.code == 2
    assert "--fold is 7; of logmel there are 0, 1" in ended.err
    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    path = root / "runs" / "logmel" / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "kind": "ensemble", "members": ["a", "b"]}))
    ended = export("logmel", root=root)
    assert ended.code == 2
    assert "is an ensemble, without a model of its own; name one of its members: a, b" in ended.err
    path.write_text(json.dumps(record))
    model = keras.Sequential([keras.Input((3, 20)), keras.layers.Flatten(), keras.layers.Dense(3)])
    model.save(root / "runs" / "logmel" / "folds" / "0" / "model.keras")
    ended = export("logmel", root=root)
    assert ended.code == 4
    assert "takes (3, 20)" in ended.err


def test_a_feature_of_another_version_is_refused(trained, export, tmp_path, monkeypatch):
    version = LogMel.version
    monkeypatch.setattr(LogMel, "version", version + 1)
    ended = export("logmel")
    assert ended.code == 4
    assert f"version: {version}, now {version + 1}" in ended.err
    assert "export with the version of the package that trained it" in ended.err
    assert not (tmp_path / "exports").exists()


def test_packages_that_are_missing_are_all_named(trained, call_stage, monkeypatch):
    monkeypatch.setattr("pipeline.exporting.export_run.find_spec", lambda name: (
        None if name in ("tf2onnx", "onnxruntime") else importlib.util.find_spec(name)))
    ended = call_stage("export", "--run", "logmel", *where(trained), "--format", "onnx")
    assert ended.code == 2
    assert "--format onnx needs tf2onnx, onnxruntime, not installed" in ended.err


@pytest.mark.slow
def test_two_exports_have_the_same_bytes(trained, export, tmp_path):
    paths = [tmp_path / name for name in ("a.tflite", "b.tflite")]
    for path in paths:
        assert export("logmel", "--format", "litert", "--out", path).code == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.slow
def test_as_a_command(trained, run_stage, stage_command, tmp_path):
    ended = run_stage("export", "--run", "logmel", *where(trained), "--format", "litert")
    assert ended.code == 0, ended.err
    assert ended.err == ""
    with zipfile.ZipFile(tmp_path / "exports" / "logmel.tflite") as archive:
        assert json.loads(archive.read("audio_tagging.json"))["classes"] == list(CLASSES)
    # Without TensorFlow, and quietly.
    code = ("import sys, numpy as np\n"
            "from pathlib import Path\n"
            "from pipeline.exporting.exported_model import open_exported\n"
            "open_exported(Path(sys.argv[1])).scores(np.zeros(9000, np.float32))\n"
            "assert not {'tensorflow', 'keras', 'h5py'} & set(sys.modules)\n")
    done = subprocess.run([sys.executable, "-c", code, "exports/logmel.tflite"], cwd=tmp_path,
                          env=stage_command.environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")



def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_documentation_run(trained, exported, tmp_path, monkeypatch, capsys):
    blocks = python_blocks((ROOT / "docs" / "export.md").read_text(encoding="utf-8"))
    assert len(blocks) == 4
    (tmp_path / "exports").mkdir()
    for kind, name in NAMES.items():
        link = tmp_path / "exports" / name.replace("logmel", "mfcc")
        link.symlink_to(exported(kind)[1])
    shutil.copy(trained / "audio" / "test3.wav", tmp_path / "dog.wav")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    found, names = [], {}
    for block in blocks:
        exec(block, names)
        found.append(names["scores"])
    tag = int(np.argmax(found[0]))
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == [CLASSES[tag]] * 3 + ["logmel"]
    for scores in found[1:]:
        np.testing.assert_allclose(scores, found[0], atol=1e-5)
