"""Exported models as taggers: a model file with the front end inside, without the run's folder.

A segment is given to the model as samples, so a window of a long file is scored as a clip by
itself: it cannot know how loud the rest of the file is (see :mod:`pipeline.tagging.tagger`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.waveform import Waveform
from pipeline.audio.decode import as_float32
from pipeline.batching.crops import covering_crops, mean_by_clip
from pipeline.extraction.targets import Target, make_target
from pipeline.runs.scores import Scores
from pipeline.tagging.tagger import Clips, Floats, Segments, Tagger
from pipeline.tagging.trained import scale_of

# A longer segment is given to the model in pieces, whose scores are averaged: inside, a model has
# memory for what it is given, 1 MB per second.
PIECE_SECONDS = 600.0


class WaveformModel(Protocol):
    """What :func:`pipeline.exporting.exported_model.open_exported` returns."""

    @property
    def name(self) -> str:
        """Name of the run that it was exported from."""

    @property
    def format(self) -> str:
        """Of the file."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes, in the order of the scores."""

    @property
    def sr(self) -> int:
        """Sampling rate of the samples that it takes (in Hz)."""

    @property
    def seconds(self) -> float:
        """Length of the crops that its networks see (in seconds)."""

    @property
    def label_mode(self) -> str:
        """``single`` or ``multi``."""

    def scores(self, y: NDArray) -> Floats:
        """Score samples [shape=(n,), dtype=float32] of any length. [shape=(n_classes,)]"""


@dataclass(frozen=True, eq=False)
class ExportedSegments:
    """An exported model as a :class:`pipeline.tagging.tagger.SegmentModel`.

    Attributes
    ----------
    model : WaveformModel
    """

    model: WaveformModel

    @property
    def name(self) -> str:
        """Name of the run that it was exported from."""
        return self.model.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's classes."""
        return self.model.classes

    @property
    def target(self) -> Target:
        """The samples themselves, at the model's rate."""
        return make_target("samples", Waveform(sr=self.model.sr, dtype="float32"), trim_db=60.0)

    @property
    def seconds(self) -> float:
        """Length of a crop."""
        return self.model.seconds

    def start(self) -> None:
        """Nothing: the model was loaded when it was opened."""

    def scores(self, clips: Clips, segments: Segments) -> list[Floats]:
        """Score each segment; long ones in equal pieces."""
        n_piece = max(1, round(PIECE_SECONDS * self.model.sr))
        pieces = covering_crops(segments.length, np.arange(len(segments)), n_piece)
        lengths = np.minimum(segments.length[pieces.row], n_piece)
        starts = (clips.start[segments.row] + segments.first)[pieces.row] + np.maximum(
            pieces.first, 0)
        values = [self.model.scores(as_float32(clips.frames[start:start + length]))
                  for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)]
        return [mean_by_clip(np.stack(values), pieces)]


@dataclass(frozen=True)
class _Itself:
    """The combination of one model."""

    name: str

    def __call__(self, scores: Mapping[str, Sequence[Scores]]) -> Scores:
        return scores[self.name][0]


def open_model(path: Path) -> Tagger:
    """Make a tagger of a file that ``pipeline.export`` wrote.

    Raises
    ------
    UsageError, StoreError
        As :func:`pipeline.exporting.exported_model.open_exported`.
    """
    from pipeline.exporting.exported_model import open_exported

    return tagger_of(open_exported(path), path)


def tagger_of(model: WaveformModel, path: Path) -> Tagger:
    """Make a tagger of an open model; `path` is where it is from."""
    segments = ExportedSegments(model)
    return Tagger(
        model.name, "exported model", f"{model.format} in {path}", model.label_mode, model.classes,
        scale_of(model.label_mode), (segments,), _Itself(model.name),
    )
