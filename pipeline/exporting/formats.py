"""Write the graph of a clip's scores as a SavedModel, a LiteRT file or an ONNX file.

All formats are written from the same frozen graph: its weights are constants, because converters
take those of Keras 3 for inputs or zeros.
"""

from __future__ import annotations

import logging
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pipeline.exporting.description import FILE, KEY, Description
from pipeline.exporting.exported_model import EXTRA, INPUT, OUTPUT, saved_model_bodies
from pipeline.runtime.errors import PipelineError, UsageError
from pipeline.runtime.standard_error import held_back

# The newest operators that tf2onnx writes.
_OPSET = 18


def write_saved_model(path: Path, tagger: Any, description: Description) -> None:
    """Write a SavedModel; `path` is its folder."""
    with _quiet():
        _save(path, _frozen(tagger))
    extra = path / EXTRA / FILE
    extra.parent.mkdir()
    extra.write_text(description.to_json(*saved_model_bodies(path)), encoding="utf-8")


def write_litert(path: Path, tagger: Any, description: Description) -> None:
    """Write a LiteRT file of built-in operators, with the description in a ZIP behind it."""
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        _save(Path(folder), _frozen(tagger))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        try:
            body = converter.convert()
        except (ValueError, RuntimeError) as error:
            raise _not_convertible("litert", error) from None
    path.write_bytes(body)
    with zipfile.ZipFile(path, "a") as archive:  # behind what is there
        # A date of its own would make two equal exports different files.
        archive.writestr(zipfile.ZipInfo(FILE), description.to_json(body))


def write_onnx(path: Path, tagger: Any, description: Description) -> None:
    """Write an ONNX file, checked by ONNX itself, with the description in its metadata."""
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise UsageError(f"--format onnx needs onnx and tf2onnx, which do not start ({error}); "
                         "install them with: pip install '.[export]'") from None
    frozen = _frozen(tagger)
    names = {frozen.inputs[0].name: INPUT, frozen.outputs[0].name: OUTPUT}
    try:
        with _quiet():
            model, _ = tf2onnx.convert.from_graph_def(
                frozen.graph.as_graph_def(), name=description.run, opset=_OPSET,
                input_names=[frozen.inputs[0].name], output_names=[frozen.outputs[0].name],
            )
        _rename(model.graph, names)
        # tf2onnx writes invalid files of operators that it takes for convertible.
        onnx.checker.check_model(model, full_check=True)
    except (ValueError, RuntimeError, NotImplementedError, onnx.checker.ValidationError,
            onnx.shape_inference.InferenceError) as error:
        raise _not_convertible("onnx", error) from None
    body = model.SerializeToString()
    # Messages one behind the other are one message, so the rest may have a checksum of the first.
    rest = onnx.ModelProto()
    onnx.helper.set_model_props(rest, {KEY: description.to_json(body)})
    path.write_bytes(body + rest.SerializeToString())


WRITERS: dict[str, Callable[[Path, Any, Description], None]] = {
    "saved_model": write_saved_model, "litert": write_litert, "onnx": write_onnx,
}


def _frozen(tagger: Any) -> Any:
    return convert_variables_to_constants_v2(tagger.tag.get_concrete_function())


def _save(path: Path, frozen: Any) -> None:
    module = tf.Module()
    module.tag = tf.function(
        lambda waveform: {OUTPUT: frozen(waveform)[0]},
        input_signature=[tf.TensorSpec([None], tf.float32, name=INPUT)],
    )
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.tag})


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Rename the inputs and outputs of an ONNX graph; the waveform's axis gets a name, too."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n_samples"


def _not_convertible(kind: str, error: Exception) -> PipelineError:
    lines = str(error).strip().splitlines()
    return PipelineError(f"the run's networks cannot be written with --format {kind}: "
                         f"{lines[0] if lines else repr(error)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what converters tell of their progress, and warnings of others' deprecations."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "absl", "tensorflow")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with held_back():
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
