"""Open a model file that ``pipeline.export`` wrote, whatever its format, and score waveforms.

Each format is run by its own runtime: a SavedModel by TensorFlow, a LiteRT file by ai-edge-litert,
an ONNX file by onnxruntime. Only the one that is needed has to be installed.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.signal.checks import check_audio
from pipeline.exporting.description import FILE, KEY, Description, check_body, read_description
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.standard_error import held_back

Floats = NDArray[np.float32]

# Where a SavedModel may have files of others, which TensorFlow does not touch.
EXTRA = "assets.extra"
INPUT, OUTPUT = "waveform", "scores"

# Operations of TensorFlow that run Python code or reach for files: none belongs into a tagger.
_REACHING_OUT = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile",
                 "MatchingFiles", "WholeFileReaderV2", "ImmutableConst")


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """A model with its front end inside: waveform in, tag scores out.

    Attributes
    ----------
    path : Path
    format : {"saved_model", "litert", "onnx"}
    description : Description
        What the file says of itself.
    """

    path: Path
    format: str
    description: Description
    _run: Callable[[Floats], NDArray] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the run that it was exported from."""
        return self.description.run

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes, in the order of the scores."""
        return self.description.classes

    @property
    def sr(self) -> int:
        """Sampling rate that waveforms need to have (in Hz)."""
        return self.description.sr

    @property
    def seconds(self) -> float:
        """Length of the crops that the networks see (in seconds)."""
        return self.description.seconds

    @property
    def label_mode(self) -> str:
        """``single`` or ``multi``: one label per clip, or any number."""
        return self.description.label_mode

    def scores(self, y: NDArray) -> Floats:
        """Score one clip. Not to be called from several threads at once.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,), dtype=floating]
            Mono samples at `sr` Hz, full scale at 1.0; of any length. The memory that it takes
            grows with the length.

        Returns
        -------
        scores : np.ndarray [shape=(n_classes,), dtype=float32]
            From 0 to 1, in the order of `classes`: what ``pipeline.predict`` gives such a clip.

        Raises
        ------
        ValueError
            If `y` is not one-dimensional, not of floating point, empty, not finite or beyond 1e12.
        StoreError
            If the model does not run, or gives other than one number per class.
        """
        scores = np.asarray(self._run(np.ascontiguousarray(check_audio(y))))
        if scores.shape != (len(self.classes),) or not np.isfinite(scores).all():
            raise StoreError(f"{self.path}: gives {scores.dtype} of shape {scores.shape}, and not "
                             f"{len(self.classes)} finite scores. Export the run again")
        return scores.astype(np.float32, copy=False)


def open_exported(path: Path) -> ExportedModel:
    """Open an exported model; its format is recognised by its content.

    Parameters
    ----------
    path : Path
        A file, or the folder of a SavedModel.

    Returns
    -------
    ExportedModel

    Raises
    ------
    UsageError
        If there is no such file, or the runtime that it needs is not installed.
    StoreError
        If the file is damaged or something else.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file; `python -m pipeline.export` writes one")
    kind = format_of(path)
    if kind is None:
        raise StoreError(f"{path}: neither a SavedModel's folder nor a model of LiteRT or ONNX; "
                         "`python -m pipeline.export` writes them")
    try:
        description, run = _OPEN[kind](path)
    except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path}: not a valid exported model: {_reason(error)}. Export the run "
                         "again") from None
    return ExportedModel(path, kind, description, run)


def format_of(path: Path) -> str | None:
    """The format of a file by its first bytes, of a folder by its content; None for others."""
    if path.is_dir():
        return "saved_model" if (path / "saved_model.pb").is_file() else None
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:] == b"TFL3":
        return "litert"
    # Protocol buffers have no signature, but ModelProto's first field is ir_version, a number.
    return "onnx" if head[:1] == b"\x08" and b"\0" < head[1:2] < b"\x80" else None


def saved_model_bodies(path: Path) -> list[bytes]:
    """The bytes of a SavedModel that decide its scores."""
    files = [path / "saved_model.pb", *sorted((path / "variables").glob("variables.*"))]
    return [file.read_bytes() for file in files]


def _open_saved_model(path: Path) -> tuple[Description, Callable[[Floats], NDArray]]:
    file = path / EXTRA / FILE
    if not file.is_file():
        raise ValueError(f"it has no {EXTRA}/{FILE}")
    description, checked = read_description(file.read_bytes())
    bodies = saved_model_bodies(path)
    check_body(checked, *bodies)

    from pipeline.training import tensorflow_setup as backend

    backend.start()
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString(bodies[0]).meta_graphs[0].graph_def
    nodes = [node for part in (graph.node, *(f.node_def for f in graph.library.function))
             for node in part]
    if found := sorted({node.op for node in nodes} & set(_REACHING_OUT)):
        raise ValueError(f"its graph would reach out of TensorFlow: {', '.join(found)}")
    try:
        loaded = tf.saved_model.load(str(path))
        function = loaded.signatures["serving_default"]
    except (OSError, AttributeError, tf.errors.OpError) as error:
        raise ValueError(_reason(error)) from None

    def run(y: Floats) -> NDArray:
        try:
            return function(**{INPUT: tf.constant(y)})[OUTPUT].numpy()
        except tf.errors.OpError as error:
            raise StoreError(f"{path}: does not run: {_reason(error)}") from None

    # The functions of a SavedModel do not keep it alive.
    run.loaded = loaded  # type: ignore[attr-defined]
    return description, run


def _open_litert(path: Path) -> tuple[Description, Callable[[Floats], NDArray]]:
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        description, checked = read_description(archive.read(FILE))
    body = content[:checked["bytes"]]
    check_body(checked, body)
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise _missing(path, "ai-edge-litert", error) from None
    try:
        with held_back():
            interpreter = Interpreter(
                model_content=body, num_threads=len(os.sched_getaffinity(0))
            )
            runner = interpreter.get_signature_runner()
            runner(**{INPUT: np.zeros(1, np.float32)})  # it speaks when it first runs
    except (RuntimeError, ValueError) as error:
        raise ValueError(_reason(error)) from None

    def run(y: Floats) -> NDArray:
        try:
            return runner(**{INPUT: y})[OUTPUT]
        except (RuntimeError, ValueError) as error:
            raise StoreError(f"{path}: does not run: {_reason(error)}") from None

    return description, run


def _open_onnx(path: Path) -> tuple[Description, Callable[[Floats], NDArray]]:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as states
    except ImportError as error:
        raise _missing(path, "onnxruntime", error) from None
    failures = (states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf,
                states.NoModel, states.NotImplemented, states.RuntimeException, RuntimeError)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings are about how it optimizes
    content = path.read_bytes()
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
    except failures as error:
        raise ValueError(_reason(error)) from None
    metadata: dict[str, Any] = session.get_modelmeta().custom_metadata_map
    if KEY not in metadata:
        raise ValueError(f"it has no entry {KEY} in its metadata")
    description, checked = read_description(metadata[KEY])
    check_body(checked, content[:checked["bytes"]])

    def run(y: Floats) -> NDArray:
        try:
            return session.run([OUTPUT], {INPUT: y})[0]
        except failures as error:
            raise StoreError(f"{path}: does not run: {_reason(error)}") from None

    return description, run


_OPEN = {"saved_model": _open_saved_model, "litert": _open_litert, "onnx": _open_onnx}
FORMATS = tuple(_OPEN)


def _missing(path: Path, package: str, error: ImportError) -> UsageError:
    return UsageError(f"{path} needs {package}, which does not start ({error}); install it with: "
                      f"pip install {package}")


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else repr(error)
