"""Choose crops of clips: random ones to train on, evenly spaced ones to score with.

A crop is a clip, a first frame and a number of frames. If the clip is shorter than the crop, the
first frame is negative: the clip then lies within the crop instead of the crop within the clip, and
:mod:`pipeline.batching.batches` fills the rest.

Both kinds can be kept to where a clip's sound is. Many published clips are padded with digital
silence, and a crop of nothing that is labelled as something teaches nothing. On ESC-10, 4.8 % of
the random crops of 2 s lie at the clip's floor throughout; of those within the bounds of the sound
none does, so that pauses inside these bounds need no rule of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.store.schema import FeatureSpec

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of any length.

    Attributes
    ----------
    row : np.ndarray [shape=(n_crops,), dtype=int64]
        The clip of each crop, as its index in the caller's list of clips.
    first : np.ndarray [shape=(n_crops,), dtype=int64]
        First frame of each crop, counted from the clip's; negative for a clip that is too short.
    n_frames : np.ndarray [shape=(n_crops,), dtype=int64]
        Frames of each crop.

    Examples
    --------
    >>> crops = Crops(np.array([0, 0, 1]), np.array([0, 10, -3]), np.array([9, 9, 9]))
    >>> len(crops), crops[1:].first
    (3, array([10, -3]))
    """

    row: Ints
    first: Ints
    n_frames: Ints

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, part: slice | Ints) -> Crops:
        """Select some of the crops.

        Parameters
        ----------
        part : slice or np.ndarray of int
            Of the crops.

        Returns
        -------
        Crops
            In the order of `part`.
        """
        return Crops(self.row[part], self.first[part], self.n_frames[part])


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


def random_crops(
    lengths: Ints, rows: Ints, n_frames: int | Ints, rng: np.random.Generator,
    sound: Ints | None = None,
) -> Crops:
    """Draw one crop per row, with its first frame uniform over all possible ones.

    Parameters
    ----------
    lengths : np.ndarray [shape=(n_clips,), dtype=int64]
        Frames of every clip.
    rows : np.ndarray [shape=(n_crops,), dtype=int64]
        The clips to cut, as indices into `lengths`; their order stays.
    n_frames : int > 0 [scalar] or np.ndarray [shape=(n_crops,), dtype=int64]
        Frames per crop.
    rng : np.random.Generator
        The same state gives the same crops.
    sound : np.ndarray [shape=(n_clips, 2), dtype=int64], optional
        First frame of the clip's sound and one past its last. A crop then lies within the sound,
        or holds all of it if it is shorter. Without it a crop may lie anywhere in the clip.

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
    >>> sound = np.array([[30, 41], [0, 5]])
    >>> crops = random_crops(lengths, rows, 10, np.random.default_rng(0), sound)
    >>> bool(30 <= crops.first[0] <= 31)
    True
    """
    n_frames = np.broadcast_to(np.asarray(n_frames, np.int64), rows.shape)
    spare = lengths[rows] - n_frames
    begin, end = _regions(lengths, rows, sound)
    least, most = np.minimum(begin, end - n_frames), np.maximum(begin, end - n_frames)
    # As much of the crop as possible lies in the clip.
    low, high = np.minimum(spare, 0), np.maximum(spare, 0)
    first = rng.integers(np.clip(least, low, high), np.clip(most, low, high), endpoint=True)
    return Crops(rows, first, n_frames)


def covering_crops(
    lengths: Ints, rows: Ints, n_frames: int | Ints, *, overlap: float = 0.0,
    sound: Ints | None = None,
) -> Crops:
    """Cover each row's clip by the fewest evenly spaced crops that hold all of its frames.

    A clip's first crop begins where the clip does, the last one ends where it ends. A clip that is
    no longer than a crop lies in the middle of its only one.

    Parameters
    ----------
    lengths : np.ndarray [shape=(n_clips,), dtype=int64]
        Frames of every clip.
    rows : np.ndarray [shape=(n_rows,), dtype=int64]
        The clips to cut, as indices into `lengths`; their order stays.
    n_frames : int > 0 [scalar] or np.ndarray [shape=(n_rows,), dtype=int64]
        Frames per crop.
    overlap : float in [0, 1) [scalar]
        Least share of a crop that the next one has too.
    sound : np.ndarray [shape=(n_clips, 2), dtype=int64], optional
        First frame of the clip's sound and one past its last. Only these frames are covered; a
        sound that is shorter than a crop lies in its middle, as far as the clip allows.

    Returns
    -------
    crops : Crops
        At least one per row, clip after clip.

    Examples
    --------
    >>> crops = covering_crops(np.array([25, 4]), np.array([0, 1]), 10)
    >>> crops.row, crops.first
    (array([0, 0, 0, 1]), array([ 0,  7, 15, -3]))
    >>> covering_crops(np.array([25]), np.array([0]), 10, overlap=0.5).first
    array([ 0,  5, 10, 15])
    >>> covering_crops(np.array([25]), np.array([0]), 10, sound=np.array([[4, 20]])).first
    array([ 4, 10])
    """
    n_frames = np.broadcast_to(np.asarray(n_frames, np.int64), rows.shape)
    begin, end = _regions(lengths, rows, sound)
    spare = end - begin - n_frames
    counts = 1 + np.maximum(0, -(-spare // hop_frames(n_frames, overlap)))
    row, n, spare, begin = (np.repeat(x, counts) for x in (rows, n_frames, spare, begin))
    gaps = np.repeat(counts - 1, counts)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = begin + np.where(spare > 0, nth * spare // np.maximum(gaps, 1), spare // 2)
    rest = lengths[row] - n
    return Crops(row, np.clip(first, np.minimum(rest, 0), np.maximum(rest, 0)), n)


def hop_frames(n_frames: Ints, overlap: float) -> Ints:
    """Compute the most frames from one covering crop to the next.

    Parameters
    ----------
    n_frames : np.ndarray [shape=(n,), dtype=int64]
        Frames per crop.
    overlap : float in [0, 1) [scalar]
        As in :func:`covering_crops`.

    Returns
    -------
    hops : np.ndarray [shape=(n,), dtype=int64]
        At least 1.

    Examples
    --------
    >>> hop_frames(np.array([10, 1]), 0.25)
    array([8, 1])
    """
    return np.maximum(1, np.rint(n_frames * (1 - overlap)).astype(np.int64))


def _regions(lengths: Ints, rows: Ints, sound: Ints | None) -> tuple[Ints, Ints]:
    """First frame and one past the last of what crops are to hold, per row."""
    if sound is None:
        return np.zeros(len(rows), np.int64), lengths[rows]
    begin, end = sound[rows, 0], sound[rows, 1]
    is_some = begin < end
    return np.where(is_some, begin, 0), np.where(is_some, end, lengths[rows])


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
