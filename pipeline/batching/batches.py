"""Batches of crops from a store: one copy per crop, no decoding, no TensorFlow.

Frames of a clip are contiguous in a store, time first, so a crop is one block of memory. Cutting it
is one copy into the batch, at the speed of memory: a plain loop over a batch is as fast as
``np.take`` with an index per frame or fancy indexing of an ``as_strided`` view (130, 128 and 125
thousand log-mel crops of 2 s per second on one core), and needs neither index nor view.

Frames are held in memory if they fit into the budget that :func:`open_source` is given, otherwise
mapped from the store: the system's page cache then keeps what fits. Either way they stay as they
are stored, and become float32 on the way into the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.crops import Crops, Ints
from pipeline.runtime.choices import Pad
from pipeline.store.reader import Store
from pipeline.store.schema import FeatureSpec

PADS = get_args(Pad)


@dataclass(frozen=True, eq=False)
class CropSource:
    """Clips to be cut into crops of one length.

    Attributes
    ----------
    clip_ids : tuple of str
        The clip of each row.
    frames : np.ndarray [shape=(n, width) or (n,), dtype as stored]
        Clip after clip, but not necessarily of these clips alone.
    start, length : np.ndarray [shape=(n_clips,), dtype=int64]
        A clip's first frame in `frames`, and its number of frames.
    n_frames : int
        Frames per crop.
    scale : float
        Factor that turns a stored value into the feature's units.
    silence : mapping of int to np.ndarray [shape=(width,) or (), dtype=float32], or None
        By row, the frame that pads a clip shorter than a crop; None repeats the clip instead.
    in_memory : bool
        Whether `frames` were read, or are mapped from the file.

    Examples
    --------
    >>> frames = np.arange(10, dtype=np.float32).reshape(5, 2)
    >>> source = CropSource(("dog.wav",), frames, start=np.array([0]), length=np.array([5]),
    ...                     n_frames=3, scale=1.0, silence=None, in_memory=True)
    >>> source.crop_shape, source.n_bytes
    ((3, 2), 40)
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
        """Size of these clips' frames as stored (in bytes)."""
        return int(self.length.sum()) * self.frames[:1].nbytes

    @property
    def crop_shape(self) -> tuple[int, ...]:
        """(n_frames, width), or (n_frames,) for waveforms."""
        return (self.n_frames, *self.frames.shape[1:])


def open_source(
    store: Store, clip_ids: Sequence[str], *, n_frames: int, pad: str, budget: int
) -> CropSource:
    """Prepare some clips of a store for cutting.

    Parameters
    ----------
    store : Store
        An open store.
    clip_ids : sequence of str
        Clips of the store, in the order of their rows.
    n_frames : int > 0 [scalar]
        Frames per crop.
    pad : {"silence", "repeat"}
        How to fill up a clip that is shorter: with digital silence as that clip's feature would
        show it (:meth:`features.base.Feature.silent_frame`), or by repeating the clip.
    budget : int >= 0 [scalar]
        Memory for the frames (in bytes); frames that take more are mapped from the file.

    Returns
    -------
    source : CropSource

    Raises
    ------
    KeyError
        If the store has no such clip.
    ValueError
        If `pad` is unknown.
    StoreError
        If this version does not know the store's feature.

    Examples
    --------
    >>> import tempfile
    >>> from features.logmel import LogMel
    >>> from pipeline.store import open_store, write_store
    >>> from pipeline.store.schema import spec_of
    >>> frames = {"dog.wav": np.full((2, 4), -20, np.float32)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_store(f"{folder}/logmel.h5", spec_of(LogMel(n_mels=4), 60.0), frames)
    ...     source = open_source(
    ...         open_store(path), ["dog.wav"], n_frames=3, pad="silence", budget=1 << 20
    ...     )
    >>> source.in_memory, source.silence[0]
    (True, array([-100., -100., -100., -100.], dtype=float32))
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
    return make_source(
        store.spec, clip_ids, frames, start, length, n_frames=n_frames, pad=pad,
        in_memory=in_memory,
    )


def make_source(
    spec: FeatureSpec, clip_ids: Sequence[str], frames: NDArray, start: Ints, length: Ints, *,
    n_frames: int, pad: str, in_memory: bool = True,
) -> CropSource:
    """Prepare clips for cutting whose frames are at hand, in a store or not.

    Parameters
    ----------
    spec : FeatureSpec
        Of the frames.
    clip_ids : sequence of str
        The clip of each row.
    frames : np.ndarray [shape=(n, width) or (n,), dtype=spec.dtype]
        Clip after clip, as a store has them.
    start, length : np.ndarray [shape=(n_clips,), dtype=int64]
        A clip's first frame in `frames`, and its number of frames, at least 1.
    n_frames : int > 0 [scalar]
        Frames per crop.
    pad : {"silence", "repeat"}
        As in :func:`open_source`.
    in_memory : bool
        Whether `frames` were read, or are mapped from a file.

    Returns
    -------
    source : CropSource

    Raises
    ------
    StoreError
        If this version does not know the feature.

    Examples
    --------
    >>> from features.logmel import LogMel
    >>> from pipeline.store.schema import spec_of
    >>> frames = np.full((2, 4), -20, np.float32)
    >>> source = make_source(spec_of(LogMel(n_mels=4), 60.0), ["dog.wav"], frames, np.array([0]),
    ...                      np.array([2]), n_frames=3, pad="silence")
    >>> source.crop_shape, source.silence[0]
    ((3, 4), array([-100., -100., -100., -100.], dtype=float32))
    """
    silence, feature = None, spec.declaration
    if pad == "silence":
        silence = {
            i: feature.silent_frame(frames[start[i]:start[i] + length[i]])
            for i in np.flatnonzero(length < n_frames).tolist()
        }
    return CropSource(
        tuple(clip_ids), frames, start, length, n_frames, spec.scale, silence, in_memory
    )


def _read(frames: NDArray, start: Ints, length: Ints) -> tuple[NDArray, Ints]:
    """Read the clips' frames in the order of the file, and return them and each clip's start."""
    kept = np.empty((int(length.sum()), *frames.shape[1:]), frames.dtype)
    at, to = 0, np.empty_like(start)
    for i in np.argsort(start).tolist():
        to[i] = at
        kept[at:at + length[i]] = frames[start[i]:start[i] + length[i]]
        at += int(length[i])
    return kept, to


def cut(source: CropSource, crops: Crops) -> NDArray[np.float32]:
    """Cut crops out of their clips.

    Parameters
    ----------
    source : CropSource
        The clips.
    crops : Crops
        Their rows are those of `source`.

    Returns
    -------
    features : np.ndarray [shape=(n_crops, n_frames, width) or (n_crops, n_frames), dtype=float32]
        In the units of the store. A copy.

    Examples
    --------
    >>> frames = np.arange(10, dtype=np.float32).reshape(5, 2)
    >>> source = CropSource(("dog.wav",), frames, start=np.array([0]), length=np.array([5]),
    ...                     n_frames=3, scale=1.0, silence=None, in_memory=True)
    >>> cut(source, Crops(row=np.array([0]), first=np.array([1])))[0]
    array([[2., 3.],
           [4., 5.],
           [6., 7.]], dtype=float32)
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


def batches(
    source: CropSource, crops: Crops, batch_size: int
) -> Iterator[tuple[Ints, NDArray[np.float32]]]:
    """Cut crops batch by batch, in the order that they have.

    Parameters
    ----------
    source : CropSource
        The clips.
    crops : Crops
        Their rows are those of `source`.
    batch_size : int > 0 [scalar]
        Maximum number of crops per batch; see :func:`batch_slices`.

    Yields
    ------
    row : np.ndarray [shape=(b,), dtype=int64]
        The clip of each crop.
    features : np.ndarray [shape=(b, n_frames, width) or (b, n_frames), dtype=float32]
        As :func:`cut` returns them.

    Examples
    --------
    >>> frames = np.arange(10, dtype=np.float32).reshape(5, 2)
    >>> source = CropSource(("dog.wav",), frames, start=np.array([0]), length=np.array([5]),
    ...                     n_frames=3, scale=1.0, silence=None, in_memory=True)
    >>> crops = Crops(row=np.array([0, 0, 0]), first=np.array([0, 1, 2]))
    >>> [features.shape for row, features in batches(source, crops, batch_size=2)]
    [(1, 3, 2), (2, 3, 2)]
    """
    for part in batch_slices(len(crops), batch_size):
        yield crops.row[part], cut(source, crops[part])
