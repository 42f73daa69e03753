"""What tags: models that score segments of files, and how their scores are combined.

Scores of a file are those that predict and ensemble would write for it as a test clip. A window of
a long file is scored like a clip, but its features are those of the whole file: where a feature
depends on the loudest moment (`top_db` of log-mel and MFCC clips everything 80 dB below it), that
is the file's, as it is for the crops of a clip in training. Otherwise a quiet stretch would be
scored as if it had been recorded louder, and its noise floor as if it were sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.crops import Ints, crop_frames
from pipeline.extraction.targets import Target
from pipeline.runs.scores import Scores
from pipeline.store.schema import FeatureSpec

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clips:
    """Frames of some files, of one feature.

    Attributes
    ----------
    spec : FeatureSpec
    frames : np.ndarray [shape=(n, width) or (n,), dtype as stored]
        File after file.
    start, length : np.ndarray [shape=(n_files,), dtype=int64]
        A file's first frame and number of frames.
    sound : np.ndarray [shape=(n_files, 2), dtype=int64]
        First frame and one past the last that is not leading or trailing silence, from the file's.
    """

    spec: FeatureSpec
    frames: NDArray
    start: Ints
    length: Ints
    sound: Ints


@dataclass(frozen=True, eq=False)
class Segments:
    """Whole files and windows of them, to be scored one by one.

    Attributes
    ----------
    row : np.ndarray [shape=(n_segments,), dtype=int64]
        The file of each, as a row of :class:`Clips`.
    first, length : np.ndarray [shape=(n_segments,), dtype=int64]
        First frame, counted from the file's, and number of frames.
    """

    row: Ints
    first: Ints
    length: Ints

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, part: slice) -> Segments:
        """Select some, in their order."""
        return Segments(self.row[part], self.first[part], self.length[part])


class SegmentModel(Protocol):
    """What scores segments: a trained run, or an exported model."""

    @property
    def name(self) -> str:
        """What it is called in messages and results."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the scores."""

    @property
    def target(self) -> Target:
        """The feature that it takes."""

    @property
    def seconds(self) -> float:
        """Length of what its network sees at a time (in seconds)."""

    def start(self) -> None:
        """Load what is needed to score; raises a PipelineError if that fails."""

    def scores(self, clips: Clips, segments: Segments) -> list[Floats]:
        """Score each segment, by each network that the model has (one per fold).

        Returns
        -------
        list of np.ndarray [shape=(n_segments, n_classes), dtype=float32]
        """


class Combination(Protocol):
    """How the scores of several models become one; see :mod:`pipeline.tagging.trained`."""

    def __call__(self, scores: Mapping[str, Sequence[Scores]]) -> Scores:
        """From each model's scores, by its name and one entry per network, to the result's."""


@dataclass(frozen=True, eq=False)
class Tagger:
    """Models and what is made of their scores.

    Attributes
    ----------
    name, kind : str
        Kind: ``run``, ``ensemble`` or ``exported model``.
    about : str
        What it is made of, for people.
    label_mode : {"multi", "single"}
    classes : tuple of str
    scale : str
        What the scores are, for people.
    models : tuple of SegmentModel
        Each once, by their names.
    combination : Combination
    """

    name: str
    kind: str
    about: str
    label_mode: str
    classes: tuple[str, ...]
    scale: str
    models: tuple[SegmentModel, ...]
    combination: Combination

    @property
    def targets(self) -> tuple[Target, ...]:
        """The features to compute, each once."""
        return tuple({model.target.name: model.target for model in self.models}.values())

    @property
    def window_seconds(self) -> float:
        """Length of a window of the time line: that of the longest crop of a model."""
        return max(model.seconds for model in self.models)

    def combine(self, scores: Mapping[str, Sequence[Floats]], n_segments: int) -> Floats:
        """Combine scores of segments, by each model's name.

        Returns
        -------
        np.ndarray [shape=(n_segments, n_classes), dtype=float32]
            The columns in the order of `classes`.
        """
        ids = tuple(map(str, range(n_segments)))
        named = {
            model.name: [Scores(ids, model.classes, values) for values in scores[model.name]]
            for model in self.models
        }
        result = self.combination(named)
        column = {name: i for i, name in enumerate(result.classes)}
        return result.values[:, [column[name] for name in self.classes]]


def segments_of(
    clips: Clips, starts: Mapping[int, NDArray[np.float64]], window_seconds: float
) -> Segments:
    """Return every file as a whole, and then the windows of those that have a time line.

    Parameters
    ----------
    clips : Clips
    starts : mapping of int to np.ndarray
        By row, the windows' first seconds.
    window_seconds : float
        Length of a window.
    """
    feature = clips.spec.declaration
    n_window = crop_frames(clips.spec, window_seconds)
    rows = [np.arange(len(clips.length))]
    firsts, lengths = [np.zeros_like(clips.length)], [clips.length]
    for row, seconds in starts.items():
        n_frames = min(n_window, int(clips.length[row]))
        first = np.rint(seconds / feature.seconds_per_frame).astype(np.int64)
        rows.append(np.full(len(first), row))
        firsts.append(np.clip(first, 0, clips.length[row] - n_frames))
        lengths.append(np.full(len(first), n_frames))
    return Segments(*(np.concatenate(each).astype(np.int64) for each in (rows, firsts, lengths)))
