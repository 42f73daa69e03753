"""Batches of crops from a store: one copy per crop, no decoding, no TensorFlow.

Frames of a clip are contiguous in a store, time first, so a crop is one block of memory. Cutting it
is one copy into the batch, at the speed of memory: a plain loop over a batch is as fast as
``np.take`` with an index per frame or fancy indexing of an ``as_strided`` view (130, 128 and 125
thousand log-mel crops of 2 s per second on one core), and needs neither index nor view.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.crops import Crops, Ints
from pipeline.batching.source import CropSource


def cut(source: CropSource, crops: Crops) -> NDArray[np.float32]:
    """Cut crops out of their clips.

    Parameters
    ----------
    source : CropSource
        The clips.
    crops : Crops
        Their rows are those of `source`; all of one length.

    Returns
    -------
    features : np.ndarray [shape=(n_crops, n_frames, width) or (n_crops, n_frames), dtype=float32]
        In the units of the store. A copy.

    Raises
    ------
    ValueError
        If there are no crops, or their lengths differ.

    Examples
    --------
    >>> frames = np.arange(10, dtype=np.float32).reshape(5, 2)
    >>> source = CropSource(("dog.wav",), frames, start=np.array([0]), length=np.array([5]),
    ...                     n_frames=3, scale=1.0, silence=None, in_memory=True)
    >>> cut(source, Crops(row=np.array([0]), first=np.array([1]), n_frames=np.array([3])))[0]
    array([[2., 3.],
           [4., 5.],
           [6., 7.]], dtype=float32)
    """
    n, frames, scale = _one_length(crops), source.frames, source.scale
    result = np.empty((len(crops), n, *frames.shape[1:]), np.float32)
    within = (crops.first >= 0) & (crops.first + n <= source.length[crops.row])
    where = np.flatnonzero(within)
    starts = (source.start[crops.row] + crops.first)[where]
    for i, at in zip(where.tolist(), starts.tolist(), strict=True):
        _copy(frames[at:at + n], scale, result[i])
    for i in np.flatnonzero(~within).tolist():
        _cut_padded(source, int(crops.row[i]), int(crops.first[i]), result[i])
    return result


def _one_length(crops: Crops) -> int:
    lengths = set(crops.n_frames.tolist())
    if len(lengths) != 1:
        raise ValueError(f"crops of {len(lengths)} lengths; a batch needs one")
    return lengths.pop()


def _copy(stored: NDArray, scale: float, result: NDArray[np.float32]) -> None:
    if scale == 1:
        result[:] = stored
    else:
        np.multiply(stored, np.float32(scale), out=result)


def _cut_padded(source: CropSource, row: int, first: int, result: NDArray[np.float32]) -> None:
    """Write a crop that extends beyond its clip's ends into `result`."""
    start, length = int(source.start[row]), int(source.length[row])
    clip = source.frames[start:start + length]
    if source.silence is not None:
        result[:-first] = result[length - first:] = source.silence[row]
        _copy(clip, source.scale, result[-first:length - first])
        return
    at, done = first % length, 0
    while done < len(result):
        piece = clip[at:at + len(result) - done]
        _copy(piece, source.scale, result[done:done + len(piece)])
        at, done = 0, done + len(piece)


def batch_slices(n_crops: int, batch_size: int) -> list[slice]:
    """Divide crops into batches of nearly equal length, none longer than `batch_size`.

    No batch is a small remainder, whose few clips would weigh more than the others and would
    distort the averages of batch normalization.

    Parameters
    ----------
    n_crops : int >= 0 [scalar]
        Number of crops.
    batch_size : int > 0 [scalar]
        Maximum number of crops per batch.

    Returns
    -------
    slices : list of slice
        As few as possible; none for no crops.

    Examples
    --------
    >>> batch_slices(9, 4)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 9, None)]
    """
    n_batches = -(-n_crops // batch_size)
    edges = [n_crops * k // n_batches for k in range(n_batches + 1)] if n_batches else [0]
    return [slice(a, b) for a, b in pairwise(edges)]


def equal_length_parts(crops: Crops, batch_size: int, n_frames: int) -> list[Ints]:
    """Divide crops into batches of one length each.

    Crops of one length are divided as :func:`batch_slices` does, in their order. A batch of crops
    that are longer than `n_frames` has fewer of them, so that it takes no more memory.

    Parameters
    ----------
    crops : Crops
        Of any lengths.
    batch_size : int > 0 [scalar]
        Maximum number of crops per batch.
    n_frames : int > 0 [scalar]
        The length that `batch_size` is meant for.

    Returns
    -------
    parts : list of np.ndarray of int
        Indices of the crops of each batch, each crop once; short crops first.

    Examples
    --------
    >>> crops = Crops(np.arange(4), np.zeros(4, int), np.array([5, 9, 5, 5]))
    >>> equal_length_parts(crops, batch_size=2, n_frames=5)
    [array([0]), array([2, 3]), array([1])]
    """
    parts = []
    for length in np.unique(crops.n_frames).tolist():
        where = np.flatnonzero(crops.n_frames == length)
        size = max(1, batch_size * n_frames // max(length, n_frames))
        parts += [where[part] for part in batch_slices(len(where), size)]
    return parts


def batches(
    source: CropSource, crops: Crops, batch_size: int
) -> Iterator[tuple[Ints, NDArray[np.float32]]]:
    """Cut crops batch by batch; in the order that they have, if they are of one length.

    Parameters
    ----------
    source : CropSource
        The clips.
    crops : Crops
        Their rows are those of `source`.
    batch_size : int > 0 [scalar]
        Maximum number of crops per batch; see :func:`equal_length_parts`.

    Yields
    ------
    where : np.ndarray [shape=(b,), dtype=int64]
        Indices of these crops.
    features : np.ndarray [shape=(b, n_frames, width) or (b, n_frames), dtype=float32]
        As :func:`cut` returns them.

    Examples
    --------
    >>> frames = np.arange(10, dtype=np.float32).reshape(5, 2)
    >>> source = CropSource(("dog.wav",), frames, start=np.array([0]), length=np.array([5]),
    ...                     n_frames=3, scale=1.0, silence=None, in_memory=True)
    >>> crops = Crops(np.array([0, 0, 0]), np.array([0, 1, 2]), np.array([3, 3, 3]))
    >>> [features.shape for where, features in batches(source, crops, batch_size=2)]
    [(1, 3, 2), (2, 3, 2)]
    """
    for part in equal_length_parts(crops, batch_size, source.n_frames):
        yield part, cut(source, crops[part])
