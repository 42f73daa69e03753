"""Which pieces of which clips: random ones to train on, evenly spaced ones to score with.

A crop is a clip and its first frame. Of a clip that is shorter than the crop, the first frame lies
before the clip's own (it is negative), so that one rule does for both: the crop lies within the
clip, or the clip within the crop. :mod:`pipeline.batching.batches` fills the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.store.schema import FeatureSpec

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of one length.

    Attributes
    ----------
    row : np.ndarray [shape=(n_crops,), dtype=int64]
        The clip, by its row in the tables of whoever cuts.
    first : np.ndarray [shape=(n_crops,), dtype=int64]
        The crop's first frame, counted from the clip's; negative for a clip that is too short.
    """

    row: Ints
    first: Ints

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, part: slice) -> Crops:
        return Crops(self.row[part], self.first[part])


def crop_frames(spec: FeatureSpec, seconds: float) -> int:
    """Frames of a crop: as many as a clip of `seconds` has, at least one."""
    feature = spec.declaration
    return feature.n_frames(max(1, round(seconds * feature.sr)))


def random_crops(lengths: Ints, rows: Ints, n_frames: int, rng: np.random.Generator) -> Crops:
    """One crop of each row, at a place drawn evenly from all that there are.

    Parameters
    ----------
    lengths : np.ndarray [shape=(n_clips,), dtype=int64]
        Frames of every clip.
    rows : np.ndarray [shape=(n_crops,), dtype=int64]
        The clips to cut; their order stays.
    n_frames : int > 0 [scalar]
        Frames a crop.
    rng : np.random.Generator
    """
    spare = lengths[rows] - n_frames
    return Crops(rows, rng.integers(np.minimum(spare, 0), np.maximum(spare, 0), endpoint=True))


def covering_crops(lengths: Ints, rows: Ints, n_frames: int) -> Crops:
    """The fewest evenly spaced crops that hold every frame of each row, clip after clip.

    The first one begins where the clip does, the last one ends where it ends. A clip that is no
    longer than a crop lies in the middle of its only one. Parameters as in :func:`random_crops`.
    """
    counts = np.maximum(1, -(-lengths[rows] // n_frames))
    row = np.repeat(rows, counts)
    spare = lengths[row] - n_frames
    gaps = np.repeat(counts - 1, counts)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Crops(row, np.where(spare > 0, nth * spare // np.maximum(gaps, 1), spare // 2))
