"""Choose crops of clips: random ones to train on, evenly spaced ones to score with.

A crop is a clip and a first frame. If the clip is shorter than the crop, the first frame is
negative: the clip then lies within the crop instead of the crop within the clip, and
:mod:`pipeline.batching.batches` fills the rest.
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
        The clip of each crop, as its index in the caller's list of clips.
    first : np.ndarray [shape=(n_crops,), dtype=int64]
        First frame of each crop, counted from the clip's; negative for a clip that is too short.

    Examples
    --------
    >>> crops = Crops(row=np.array([0, 0, 1]), first=np.array([0, 10, -3]))
    >>> len(crops), crops[1:].first
    (3, array([10, -3]))
    """

    row: Ints
    first: Ints

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, part: slice) -> Crops:
        """Select some of the crops.

        Parameters
        ----------
        part : slice
            Of the crops, in their order.

        Returns
        -------
        Crops
            A view.
        """
        return Crops(self.row[part], self.first[part])


def crop_frames(spec: FeatureSpec, seconds: float) -> int:
    """Compute the number of frames of a crop: as many as a clip of that length has.

    Parameters
    ----------
    spec : FeatureSpec
        Of the store that is cut.
    seconds : float > 0 [scalar]
        Length of the crop (in seconds); of less than one sample it counts as one.

    Returns
    -------
    n_frames : int > 0 [scalar]

    Raises
    ------
    StoreError
        If this version knows no such kind of feature, or not these settings.

    Examples
    --------
    >>> from features.mfcc import Mfcc
    >>> from pipeline.store.schema import spec_of
    >>> crop_frames(spec_of(Mfcc(sr=44100, hop_length=512), trim_db=60.0), 2.0)
    173
    """
    feature = spec.declaration
    return feature.n_frames(max(1, round(seconds * feature.sr)))


def random_crops(lengths: Ints, rows: Ints, n_frames: int, rng: np.random.Generator) -> Crops:
    """Draw one crop per row, with its first frame uniform over all possible ones.

    Parameters
    ----------
    lengths : np.ndarray [shape=(n_clips,), dtype=int64]
        Frames of every clip.
    rows : np.ndarray [shape=(n_crops,), dtype=int64]
        The clips to cut, as indices into `lengths`; their order stays.
    n_frames : int > 0 [scalar]
        Frames per crop.
    rng : np.random.Generator
        The same state gives the same crops.

    Returns
    -------
    crops : Crops
        Of ``len(rows)`` crops. A clip that is shorter than a crop lies anywhere within its own.

    Examples
    --------
    >>> lengths, rows = np.array([100, 5]), np.array([0, 0, 1])
    >>> crops = random_crops(lengths, rows, 10, np.random.default_rng(0))
    >>> bool((crops.first[:2] >= 0).all() and (crops.first[:2] <= 90).all())
    True
    >>> bool(-5 <= crops.first[2] <= 0)
    True
    """
    spare = lengths[rows] - n_frames
    return Crops(rows, rng.integers(np.minimum(spare, 0), np.maximum(spare, 0), endpoint=True))


def covering_crops(lengths: Ints, rows: Ints, n_frames: int) -> Crops:
    """Cover each row's clip by the fewest evenly spaced crops that hold all of its frames.

    A clip's first crop begins where the clip does, the last one ends where it ends. A clip that is
    no longer than a crop lies in the middle of its only one.

    Parameters
    ----------
    lengths : np.ndarray [shape=(n_clips,), dtype=int64]
        Frames of every clip.
    rows : np.ndarray [shape=(n_rows,), dtype=int64]
        The clips to cut, as indices into `lengths`; their order stays.
    n_frames : int > 0 [scalar]
        Frames per crop.

    Returns
    -------
    crops : Crops
        At least one per row, clip after clip.

    Examples
    --------
    >>> crops = covering_crops(np.array([25, 4]), np.array([0, 1]), 10)
    >>> crops.row, crops.first
    (array([0, 0, 0, 1]), array([ 0,  7, 15, -3]))
    """
    counts = np.maximum(1, -(-lengths[rows] // n_frames))
    row = np.repeat(rows, counts)
    spare = lengths[row] - n_frames
    gaps = np.repeat(counts - 1, counts)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Crops(row, np.where(spare > 0, nth * spare // np.maximum(gaps, 1), spare // 2))


def mean_by_clip(values: NDArray, crops: Crops) -> NDArray[np.float32]:
    """Compute the mean over the crops of each clip.

    Parameters
    ----------
    values : np.ndarray [shape=(n_crops, n) or (n_crops,)]
        Such as scores.
    crops : Crops
        Each clip's crops one after the other, as covering crops are.

    Returns
    -------
    means : np.ndarray [shape=(n_clips, n) or (n_clips,), dtype=float32]
        In the order of the clips.

    Examples
    --------
    >>> crops = covering_crops(np.array([25, 4]), np.array([0, 1]), 10)
    >>> mean_by_clip(np.array([1, 2, 6, 5]), crops)
    array([3., 5.], dtype=float32)
    """
    starts = np.flatnonzero(np.diff(crops.row, prepend=-1))
    counts = np.diff(starts, append=len(crops))
    sums = np.add.reduceat(values.astype(np.float64), starts, axis=0)
    return (sums / counts.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32)
