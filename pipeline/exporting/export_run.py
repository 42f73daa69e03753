"""Export a trained run: build the graph, write the file, check it, put it in its place."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from pipeline.exporting.description import Description
from pipeline.runs.folder import RunFolder, RunRecord
from pipeline.runs.identity import feature_facts
from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import flush_file, flush_folder, locked, naming
from pipeline.runtime.progress import size
from pipeline.store.schema import FeatureSpec
from pipeline.training_data.crop_lengths import network_shape, tiling_of

SUFFIXES = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}
# What a format needs beside TensorFlow, its converter and its runtime; by what is imported.
PACKAGES = {
    "saved_model": {}, "litert": {"ai_edge_litert": "ai-edge-litert"},
    "onnx": {"onnx": "onnx", "tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
}


def check_packages(kind: str) -> None:
    """Raise a UsageError that names the packages that a format needs and that are missing."""
    missing = [name for module, name in PACKAGES[kind].items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"--format {kind} needs {', '.join(missing)}, not installed; install all "
                         "that export needs with: pip install '.[train,export]'")


def choose_folds(trained: RunRecord, fold: int | None) -> tuple[int, ...]:
    """All folds of a run, or the one that is asked for; a UsageError if there is none such."""
    if fold is not None and fold not in trained.folds:
        there = ", ".join(map(str, trained.folds))
        raise UsageError(f"--fold is {fold}; of {trained.name} there are {there}")
    return trained.folds if fold is None else (fold,)


def output_path(out: Path | None, name: str, kind: str) -> Path:
    """Where the model goes; a UsageError if something else is there."""
    path = out or Path("exports") / f"{name}{SUFFIXES[kind]}"
    is_folder = kind == "saved_model"
    if path.exists() and path.is_dir() != is_folder:
        raise UsageError(f"{path} is {'not ' if is_folder else ''}a folder; {kind} needs "
                         f"{'one' if is_folder else 'a file'}. Give another --out")
    if is_folder and path.is_dir() and any(path.iterdir()) \
            and not (path / "saved_model.pb").is_file():
        raise UsageError(f"{path} is a folder with other files, which would be lost. Give "
                         "another --out")
    return path


def export_run(
    folder: RunFolder, trained: RunRecord, spec: FeatureSpec, *, folds: tuple[int, ...],
    kind: str, out: Path, data: Path, stores: Path, n_clips: int, tolerance: float,
) -> None:
    """Export the networks of some folds of a run as one model, checked on real clips.

    Networks that were trained in mixed precision are exported in float32.

    Parameters
    ----------
    folder : RunFolder
    trained : RunRecord
    spec : FeatureSpec
        The feature that it was trained on.
    folds : tuple of int
    kind : {"saved_model", "litert", "onnx"}
    out : Path
        Replaced once the new model has passed its check.
    data, stores : Path
        Where real clips come from, see :func:`.checking.read_real_clips`.
    n_clips : int > 0 [scalar]
        Number of them.
    tolerance : float
        Largest difference of a score from Keras', in float32.

    Raises
    ------
    PipelineError
        If the run cannot be exported, or the model does not pass its check. `out` stays as it was.
    """
    _check_tiling(folder, trained)
    check_packages(kind)
    from pipeline.training import tensorflow_setup as backend

    backend.start()
    from pipeline.exporting import checking
    from pipeline.exporting.clip_graph import ClipTagger
    from pipeline.exporting.exported_model import open_exported
    from pipeline.exporting.float32_network import in_float32, rounding_bound
    from pipeline.exporting.formats import WRITERS
    from pipeline.training.prediction import load_model

    recipe = trained.recipe
    feature, tiling = spec.declaration, tiling_of(recipe, spec)
    as_trained = [load_model(folder.fold(k), crop_shape=network_shape(recipe, spec),
                             n_classes=len(trained.classes)) for k in folds]
    networks = [in_float32(network) for network in as_trained]
    tagger = ClipTagger(feature, networks, n_frames=tiling.least, overlap=tiling.overlap,
                        pad=recipe.pad, single=trained.label_mode == "single")
    clips = checking.read_real_clips(data, stores, sr=feature.sr, n_clips=n_clips)
    expected = checking.keras_scores(clips, trained, spec, networks, tiling)
    rounding = ""
    if recipe.precision != "float32":
        off = checking.check_rounding(
            expected, checking.keras_scores(clips, trained, spec, as_trained, tiling),
            recipe.precision, max(tolerance, rounding_bound(recipe.precision)))
        rounding = f" in float32; {recipe.precision} moves scores by at most {off:.2g}"
    description = Description(
        run=trained.name, model_version=_model_version(folder, folds), folds=folds,
        label_mode=trained.label_mode, classes=trained.classes, sr=feature.sr,
        seconds=recipe.score_seconds or recipe.seconds, pad=recipe.pad,
        feature=feature_facts(spec),
    )
    print(f"{folder.path}: {spec.feature} at {feature.sr} Hz, "
          f"{'fold' if len(folds) == 1 else 'folds'} {', '.join(map(str, folds))}", flush=True)
    with replacing(out) as partial:
        WRITERS[kind](partial, tagger, description)
        model = open_exported(partial)
        off = checking.check_scores(model, clips, expected, tolerance)
        print(f"  checked: opened by its own runtime, held against Keras on {clips.summary}: "
              f"scores differ by at most {off:.2g}{rounding}")
        taken = checking.latency_ms(model, clips)
        n_bytes = sum(f.stat().st_size for f in (partial, *partial.rglob("*")) if f.is_file())
    print(f"  {size(n_bytes)}, {taken:.1f} ms per 2 s of audio on this machine\n  {out}")


def _check_tiling(folder: RunFolder, trained: RunRecord) -> None:
    """Raise a UsageError if clips are covered in a way that no exported model computes."""
    recipe, errors = trained.recipe, []
    if recipe.crops == "sound":
        errors.append("crops: sound: an exported model does not look for a clip's silence")
    if recipe.score_seconds == 0:
        errors.append("score_seconds: 0: an exported model takes crops of one length")
    if errors:
        raise UsageError(f"{folder.path} cannot be exported:\n  " + "\n  ".join(errors)
                         + "\nTrain a run without these settings")


def _model_version(folder: RunFolder, folds: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    for k in folds:
        digest.update(folder.fold(k).model.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path of a file or folder; it replaces `path` if the block succeeds."""
    with locked(path, beside=True):
        partial, old = (path.with_name(f".{path.name}.{word}") for word in ("partial", "old"))
        _remove(partial)
        try:
            with naming(path):
                yield partial
                for each in (partial, *partial.rglob("*")):
                    (flush_folder if each.is_dir() else flush_file)(each)
            if partial.is_dir() and path.exists():
                # A folder cannot be renamed over another.
                _remove(old)
                path.rename(old)
            partial.replace(path)
            flush_folder(path.parent)
        finally:
            _remove(partial)
            if not path.exists() and old.exists():
                old.rename(path)
            _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
