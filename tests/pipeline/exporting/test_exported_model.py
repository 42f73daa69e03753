"""Open exported models: recognised by content, damaged and foreign files refused."""

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.exporting import exported_model
from pipeline.exporting.description import FILE, Description
from pipeline.exporting.exported_model import EXTRA, INPUT, OUTPUT, format_of, open_exported
from pipeline.exporting.formats import WRITERS
from pipeline.runtime.errors import StoreError, UsageError

ROOT = Path(__file__).parents[3]
RUNTIMES = {"saved_model": "tensorflow", "litert": "ai_edge_litert", "onnx": "onnxruntime"}
ABOUT = Description(
    run="a run", model_version="0", folds=(0, 1), label_mode="multi",
    classes=("Bark", "Étude", "<script>"), sr=8000, seconds=0.5, pad="silence", feature={},
)


class Extremes(tf.Module):
    """A clip's mean, least and largest sample as its scores."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name=INPUT)], autograph=False)
    def tag(self, waveform):
        return {OUTPUT: tf.stack([tf.reduce_mean(waveform), tf.reduce_min(waveform),
                                  tf.reduce_max(waveform)])}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A model in each format whose runtime is installed, under names that say nothing."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for i, (kind, write) in enumerate(WRITERS.items()):
        if importlib.util.find_spec(RUNTIMES[kind]) is not None:
            paths[kind] = folder / f"model{i}"
            write(paths[kind], Extremes(), ABOUT)
    return paths


@pytest.fixture(params=RUNTIMES)
def path(request, written, tmp_path):
    """A copy of a model, in each format."""
    if request.param not in written:
        pytest.skip(f"{RUNTIMES[request.param]} is not installed")
    source, copy = written[request.param], tmp_path / "model"
    return Path(shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy))


def test_a_model_and_what_it_says_of_itself(path, written):
    model = open_exported(path)
    assert model.format == format_of(path)
    assert written[model.format].name != "model"
    assert model.description == ABOUT
    assert (model.name, model.classes, model.sr) == ("a run", ABOUT.classes, 8000)
    assert (model.seconds, model.label_mode) == (0.5, "multi")
    for n in (1, 7, 100_000, 2):
        y = np.random.default_rng(n).standard_normal(n)
        found = model.scores(y)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [y.mean(), y.min(), y.max()], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("y", "message"), [
    (np.zeros(0, np.float32), "empty"), (np.zeros((2, 5), np.float32), "one-dimensional"),
    (np.zeros(5, np.int16), "floating point"), (np.float32([0, np.nan]), "not finite"),
])
def test_waveforms_that_are_none(path, y, message):
    with pytest.raises(ValueError, match=message):
        open_exported(path).scores(y)


def body_of(path):
    return path / "saved_model.pb" if path.is_dir() else path


def test_a_byte_that_changed_is_seen(path):
    file = body_of(path)
    whole = file.read_bytes()
    for where in (9, len(whole) // 3, len(whole) // 2):
        file.write_bytes(whole[:where] + bytes([whole[where] ^ 64]) + whole[where + 1:])
        with pytest.raises(StoreError, match=r"not a valid exported model: .* Export the run"):
            open_exported(path)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.95, 0.999])
def test_a_file_that_ends_early_is_refused(path, part):
    file = body_of(path)
    whole = file.read_bytes()
    file.write_bytes(whole[:int(part * len(whole))])
    with pytest.raises(StoreError, match=r"not a valid exported model|neither a SavedModel"):
        open_exported(path)


@pytest.mark.parametrize("content", [
    b"", b"\x08", b"RIFF....WAVEfmt ", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x80\x04\x95pickled",
    b"\x08\x0a" + bytes(100), b"\x1c\0\0\0TFL3" + bytes(100),
], ids=repr)
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"not a valid exported model|neither a SavedModel"):
        open_exported(path)


def test_what_is_not_there_or_a_folder_of_something_else(tmp_path):
    with pytest.raises(UsageError, match=r"no such file; .*pipeline\.export"):
        open_exported(tmp_path / "model")
    with pytest.raises(StoreError, match="neither a SavedModel's folder nor"):
        open_exported(tmp_path)


def test_models_of_others_without_a_description_are_refused(tmp_path, written):
    if "onnx" in written:
        import onnx

        model = onnx.load(written["onnx"])
        del model.metadata_props[:]
        onnx.save(model, tmp_path / "onnx")
        with pytest.raises(StoreError, match="no entry audio_tagging in its metadata"):
            open_exported(tmp_path / "onnx")
    tf.saved_model.save(Extremes(), str(tmp_path / "saved_model"))
    with pytest.raises(StoreError, match=f"it has no {EXTRA}/{FILE}"):
        open_exported(tmp_path / "saved_model")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved_model"))
    (tmp_path / "litert").write_bytes(converter.convert())
    with pytest.raises(StoreError, match="not a zip file"):
        open_exported(tmp_path / "litert")


def test_a_graph_that_reaches_for_files_is_not_loaded(tmp_path, monkeypatch):
    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name=INPUT)])
        def tag(self, waveform):
            size = tf.strings.length(tf.io.read_file("/etc/hostname"))
            return {OUTPUT: waveform[:1] + tf.cast(size, tf.float32)}

    WRITERS["saved_model"](tmp_path / "model", Reader(), ABOUT)
    monkeypatch.setattr(tf.saved_model, "load", None)
    with pytest.raises(StoreError, match="would reach out of TensorFlow: ReadFile"):
        open_exported(tmp_path / "model")


def test_a_model_with_other_scores_than_classes(tmp_path):
    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name=INPUT)])
        def tag(self, waveform):
            return {OUTPUT: waveform[:1] / 0.0}

    WRITERS["saved_model"](tmp_path / "model", Two(), ABOUT)
    with pytest.raises(StoreError, match=r"shape \(1,\), and not 3 finite scores"):
        open_exported(tmp_path / "model").scores(np.ones(5, np.float32))


@pytest.mark.parametrize(("kind", "package"), [("litert", "ai-edge-litert"),
                                               ("onnx", "onnxruntime")])
def test_a_runtime_that_is_missing_is_named(written, monkeypatch, kind, package):
    if kind not in written:
        pytest.skip(f"{package} is not installed")
    for name in [n for n in sys.modules if n.startswith(RUNTIMES[kind])] + [RUNTIMES[kind]]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=f"install it with: pip install {package}"):
        open_exported(written[kind])


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_others_than_saved_models_need_no_tensorflow(written, kind):
    if kind not in written:
        pytest.skip(f"{RUNTIMES[kind]} is not installed")
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
            "import numpy as np\n"
            "from pathlib import Path\n"
            "from pipeline.exporting.exported_model import open_exported\n"
            "print(*open_exported(Path(sys.argv[1])).scores(np.float32([0, 1])))\n"
            "assert not {'tensorflow', 'keras', 'h5py'} & set(sys.modules)\n")
    ended = subprocess.run([sys.executable, "-c", code, str(written[kind])],
                           capture_output=True, text=True)
    assert ended.stderr == ""
    assert ended.stdout.split() == ["0.5", "0.0", "1.0"]


def test_litert_files_end_in_a_zip_archive(written):
    if "litert" not in written:
        pytest.skip("ai_edge_litert is not installed")
    with zipfile.ZipFile(written["litert"]) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read(FILE))["classes"] == list(ABOUT.classes)


def test_all_formats_can_be_written_and_opened():
    assert set(exported_model.FORMATS) == set(WRITERS)
