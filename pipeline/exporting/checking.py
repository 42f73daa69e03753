"""Hold an exported model against Keras on real clips, and measure how fast it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.decode import Resampler, as_float32
from pipeline.batching.source import CropSource
from pipeline.batching.tiles import Tiling
from pipeline.dataset.tables import Clip, is_prepared, read_clips
from pipeline.ensembling.means import mean_over_folds
from pipeline.exporting.exported_model import ExportedModel
from pipeline.extraction.clip_features import quantised
from pipeline.extraction.worker import ClipTask, checked
from pipeline.runs.folder import RunRecord
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.problems import BadClip
from pipeline.store.reader import open_store
from pipeline.store.schema import FeatureSpec
from pipeline.training.prediction import crop_scores

Floats = NDArray[np.float32]

# Longer clips would check nothing else, and take long.
_MAX_SECONDS = 60.0
_LATENCY_SECONDS = 2.0
_LATENCY_RUNS = 10


@dataclass(frozen=True, eq=False)
class RealClips:
    """Clips of the data set to check a model with.

    Attributes
    ----------
    place : Path
        Where they come from: the data set's folder, or a store of waveforms.
    waveforms : dict of str to np.ndarray [shape=(n_samples,), dtype=float32]
        By clip id, at the sampling rate of the run.
    sr : int
        That rate (in Hz).
    """

    place: Path
    waveforms: dict[str, Floats]
    sr: int

    @property
    def summary(self) -> str:
        """Their number, their place and the range of their lengths."""
        lengths = sorted(len(y) / self.sr for y in self.waveforms.values())
        return (f"{len(lengths)} clips of {self.place} "
                f"({lengths[0]:.1f} to {lengths[-1]:.1f} s)")


def read_real_clips(data: Path, stores: Path, *, sr: int, n_clips: int) -> RealClips:
    """Choose clips from the shortest to the longest, and decode them.

    Parameters
    ----------
    data : Path
        Folder that prepare wrote. Its data set's audio is decoded, as extract does.
    stores : Path
        Folder whose waveforms at `sr` Hz are taken where the audio is gone.
    sr : int
        Sampling rate (in Hz).
    n_clips : int > 0 [scalar]

    Raises
    ------
    UsageError
        If there is neither, or a file is not as prepare read it.
    """
    if is_prepared(data):
        dataset, clips = read_clips(data)
        found = {clip.clip_id: clip for clip in clips if (dataset.root / clip.path).is_file()}
        lengths = {c: clip.header.frames / clip.header.sr for c, clip in found.items()}
        if chosen := _spread(lengths, n_clips):
            try:
                waveforms = {c: _decode(dataset.root, found[c], sr) for c in chosen}
            except BadClip as bad:
                raise UsageError(f"{dataset.root}: a clip to check the model with is bad: {bad}. "
                                 "Run prepare again") from None
            return RealClips(dataset.root, waveforms, sr)
    for path in sorted(stores.glob("*.h5")):
        store = open_store(path)
        if store.spec.feature == "waveform" and store.spec.config.get("sr") == sr:
            lengths = {c: int(store.length[store.index_of(c)]) / sr for c in store}
            if chosen := _spread(lengths, n_clips):
                return RealClips(path, {c: store[c] for c in chosen}, sr)
    raise UsageError(
        f"no real clips to check the model with: {data} names no audio that is there, and {stores} "
        f"has no store of waveforms at {sr} Hz. Name the folder that prepare wrote with --data, "
        "where its data set is"
    )


def _spread(lengths: Mapping[str, float], n_clips: int) -> list[str]:
    """Clips from the shortest to the longest, evenly in their order by length."""
    by_length = sorted((c for c in lengths if lengths[c] <= _MAX_SECONDS),
                       key=lambda c: (lengths[c], c))
    where = np.linspace(0, len(by_length) - 1, min(n_clips, len(by_length))).round()
    return [by_length[int(i)] for i in where]


def _decode(root: Path, clip: Clip, sr: int) -> Floats:
    task = ClipTask(0, clip.clip_id, root / clip.path, clip.header, {})
    resampler = Resampler(clip.header.sr, sr, clip.header.length_at(sr))
    return np.concatenate([as_float32(resampler.push(y, last=last)) for y, last in checked(task)])


def keras_scores(
    clips: RealClips, trained: RunRecord, spec: FeatureSpec, networks: Sequence[Any],
    tiling: Tiling,
) -> dict[str, Floats]:
    """What ``predict`` and ``evaluate`` give the clips: by the extractor and Keras. By clip id."""
    feature, pad = spec.declaration, trained.recipe.pad
    result = {}
    for clip_id, y in clips.waveforms.items():
        frames, _ = quantised(feature(y), spec.dtype)
        length = np.array([len(frames)])
        silence = {0: feature.silent_frame(frames)} if pad == "silence" else None
        source = CropSource((clip_id,), frames, np.array([0]), length, tiling.least, spec.scale,
                            silence, in_memory=True)
        crops = tiling.crops(length)
        folds = []
        for network in networks:
            values = crop_scores(network, source, crops, trained.recipe.batch_size)
            mean = values.astype(np.float64).mean(axis=0, keepdims=True).astype(np.float32)
            folds.append(Scores((clip_id,), trained.classes, mean))
        single = trained.label_mode == "single"
        result[clip_id] = mean_over_folds(trained.name, folds, single=single).values[0]
    return result


def check_scores(
    model: ExportedModel, clips: RealClips, expected: Mapping[str, Floats], tolerance: float
) -> float:
    """Compare an exported model's scores with those expected; return the largest difference.

    Raises
    ------
    StoreError
        If it is above `tolerance`; names the clip.
    """
    found = {clip_id: model.scores(y) for clip_id, y in clips.waveforms.items()}
    worst, off = _largest_difference(found, expected)
    if not off <= tolerance:
        raise StoreError(
            f"the {model.format} model is not as exact as it needs to be: its scores of {worst} "
            f"are off from Keras' by {off:.2g}, more than --tolerance {tolerance:g}. "
            "It was not kept"
        )
    return off


def check_rounding(
    scores: Mapping[str, Floats], as_trained: Mapping[str, Floats], precision: str, bound: float
) -> float:
    """Compare scores in float32 with those of networks as trained; return the largest difference.

    Raises
    ------
    StoreError
        If it is above `bound`; names the clip.
    """
    worst, off = _largest_difference(scores, as_trained)
    if not off <= bound:
        raise StoreError(
            f"in float32 the scores of {worst} are off from those in {precision} by "
            f"{off:.2g}, more than {bound:.2g}, so an exported model would not be the one "
            "that was trained. Give a larger --tolerance, or train again with --precision float32"
        )
    return off


def _largest_difference(
    found: Mapping[str, Floats], expected: Mapping[str, Floats]
) -> tuple[str, float]:
    """The clip whose scores differ most, and by how much."""
    off = {clip_id: float(np.abs(found[clip_id] - expected[clip_id]).max()) for clip_id in found}
    worst = max(off, key=lambda clip_id: off[clip_id])
    return worst, off[worst]


def latency_ms(model: ExportedModel, clips: RealClips) -> float:
    """Median time that a model takes for 2 s of audio, its runtime warm (in ms)."""
    y = np.resize(max(clips.waveforms.values(), key=len), round(_LATENCY_SECONDS * clips.sr))
    times = []
    for _ in range(_LATENCY_RUNS + 2):
        begin = time.perf_counter()
        model.scores(y)
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times[2:])
