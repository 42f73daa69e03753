"""Batches of crops out of a store: one copy a crop, no decoding, no TensorFlow.

Frames of a clip are contiguous in a store, time first, so a crop is one block of memory. Cutting it
is one copy into the batch, which NumPy does at the speed of memory: a plain loop over a batch is as
fast as ``np.take`` with an index a frame or fancy indexing of an ``as_strided`` view (130, 128 and
125 thousand log-mel crops of 2 s a second on one core), and it alone needs no index or view.

Frames are held in memory when they fit into half of what is available, else mapped from the store:
the system then keeps in its page cache what fits. Either way they stay as they are stored, and
become float32 on the way into the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.crops import Crops, Ints
from pipeline.store.reader import Store

PADS = ("silence", "repeat")


@dataclass(frozen=True, eq=False)
class CropSource:
    """Clips to be cut into crops of one length.

    Attributes
    ----------
    clip_ids : tuple of str
        Row by row.
    frames : np.ndarray [shape=(n, width) or (n,), dtype as stored]
        Clip after clip, but not necessarily of these clips alone.
    start, length : np.ndarray [shape=(n_clips,), dtype=int64]
        A clip's first frame in `frames`, and its number of frames.
    n_frames : int
        Frames a crop.
    scale : float
        What makes a stored value one of the feature's units.
    silence : mapping of int to np.ndarray, or None
        By row, what pads the clips that are shorter than a crop; None repeats them instead.
    in_memory : bool
        Whether `frames` were read, or are mapped from the file.
    """

    clip_ids: tuple[str, ...]
    frames: NDArray
    start: Ints
    length: Ints
    n_frames: int
    scale: float
    silence: Mapping[int, NDArray[np.float32]] | None
    in_memory: bool

    @property
    def n_bytes(self) -> int:
        """Of these clips' frames, as stored."""
        return int(self.length.sum()) * self.frames[:1].nbytes

    @property
    def crop_shape(self) -> tuple[int, ...]:
        """(n_frames, width), or (n_frames,) for waveforms."""
        return (self.n_frames, *self.frames.shape[1:])


def open_source(
    store: Store, clip_ids: Sequence[str], *, n_frames: int, pad: str, budget: int
) -> CropSource:
    """Get some clips of a store ready to be cut.

    Parameters
    ----------
    store : Store
    clip_ids : sequence of str
        Clips of the store, in the order that their rows shall have.
    n_frames : int > 0 [scalar]
        Frames a crop.
    pad : {"silence", "repeat"}
        What makes up for a clip that is shorter: digital silence as that clip's feature would show
        it (:meth:`features.base.Feature.silent_frame`), or the clip itself, over and over.
    budget : int [scalar]
        Bytes that may be read into memory; frames that take more are mapped.

    Raises
    ------
    KeyError
        If the store has no such clip.
    ValueError
        If `pad` is unknown.
    """
    if pad not in PADS:
        raise ValueError(f"pad is {pad!r}; known: {', '.join(PADS)}")
    rows = np.array([store.index_of(clip_id) for clip_id in clip_ids], np.int64)
    start, length = store.start[rows], store.length[rows]
    # A plain array: slicing np.memmap costs microseconds, as much as a crop.
    frames = np.asarray(store.frames)
    in_memory = int(length.sum()) * store.spec.frame_bytes <= budget
    if in_memory:
        frames, start = _read(frames, start, length)
    silence, feature = None, store.spec.declaration
    if pad == "silence":
        silence = {
            i: feature.silent_frame(frames[start[i]:start[i] + length[i]])
            for i in np.flatnonzero(length < n_frames).tolist()
        }
    return CropSource(
        tuple(clip_ids), frames, start, length, n_frames, store.spec.scale, silence, in_memory
    )


def _read(frames: NDArray, start: Ints, length: Ints) -> tuple[NDArray, Ints]:
    """The clips' frames alone, in the order of the file, which disks like; and each one's start."""
    kept = np.empty((int(length.sum()), *frames.shape[1:]), frames.dtype)
    at, to = 0, np.empty_like(start)
    for i in np.argsort(start).tolist():
        to[i] = at
        kept[at:at + length[i]] = frames[start[i]:start[i] + length[i]]
        at += int(length[i])
    return kept, to


def cut(source: CropSource, crops: Crops) -> NDArray[np.float32]:
    """Cut crops out of their clips.

    Returns
    -------
    features : np.ndarray [shape=(n_crops, n_frames, width) or (n_crops, n_frames), dtype=float32]
        In the units of the store. A copy.
    """
    n, frames, scale = source.n_frames, source.frames, source.scale
    result = np.empty((len(crops), *source.crop_shape), np.float32)
    within = (crops.first >= 0) & (crops.first + n <= source.length[crops.row])
    where = np.flatnonzero(within)
    starts = (source.start[crops.row] + crops.first)[where]
    for i, at in zip(where.tolist(), starts.tolist(), strict=True):
        _copy(frames[at:at + n], scale, result[i])
    for i in np.flatnonzero(~within).tolist():
        _cut_padded(source, int(crops.row[i]), int(crops.first[i]), result[i])
    return result


def _copy(stored: NDArray, scale: float, result: NDArray[np.float32]) -> None:
    if scale == 1:
        result[:] = stored
    else:
        np.multiply(stored, np.float32(scale), out=result)


def _cut_padded(source: CropSource, row: int, first: int, result: NDArray[np.float32]) -> None:
    """A crop that reaches over its clip's ends, into `result`."""
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
    """Slices of nearly equal length, none longer than `batch_size`.

    So no batch is a small rest, whose few clips would weigh more than the others and would move
    the averages of batch normalization.
    """
    n_batches = -(-n_crops // batch_size)
    edges = [n_crops * k // n_batches for k in range(n_batches + 1)] if n_batches else [0]
    return [slice(a, b) for a, b in pairwise(edges)]


def batches(
    source: CropSource, crops: Crops, batch_size: int
) -> Iterator[tuple[Ints, NDArray[np.float32]]]:
    """Yield (row of each crop's clip [shape=(b,)], features as :func:`cut` gives them)."""
    for part in batch_slices(len(crops), batch_size):
        yield crops.row[part], cut(source, crops[part])
