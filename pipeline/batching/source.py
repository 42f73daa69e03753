"""The frames that crops are cut from: in memory if they fit, else mapped from the store.

Mapped ones are kept by the system's page cache as far as they fit. Either way frames stay as they
are stored, and become float32 on the way into a batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.crops import Ints
from pipeline.runtime.choices import Pad
from pipeline.store.checksums import frames_intact, require_intact
from pipeline.store.reader import Store
from pipeline.store.schema import FeatureSpec, as_bytes

PADS = get_args(Pad)


@dataclass(frozen=True, eq=False)
class CropSource:
    """Clips to be cut into crops.

    Attributes
    ----------
    clip_ids : tuple of str
        The clip of each row.
    frames : np.ndarray [shape=(n, width) or (n,), dtype as stored]
        Clip after clip, but not necessarily of these clips alone.
    start, length : np.ndarray [shape=(n_clips,), dtype=int64]
        A clip's first frame in `frames`, and its number of frames.
    n_frames : int
        Usual number of frames per crop, which the size of a batch is meant for.
    scale : float
        Factor that turns a stored value into the feature's units.
    silence : mapping of int to np.ndarray [shape=(width,) or (), dtype=float32], or None
        By row, the frame that pads a clip shorter than the longest crop; None repeats the clip
        instead.
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
        """(n_frames, width), or (n_frames,) for waveforms: the usual crop."""
        return (self.n_frames, *self.frames.shape[1:])


def open_source(
    store: Store, clip_ids: Sequence[str], *, n_frames: int, pad: str, budget: int,
    longest: int | None = None,
) -> CropSource:
    """Prepare some clips of a store for cutting; their bytes are compared with their checksums.

    Parameters
    ----------
    store : Store
        An open store.
    clip_ids : sequence of str
        Clips of the store, in the order of their rows.
    n_frames : int > 0 [scalar]
        Usual number of frames per crop.
    pad : {"silence", "repeat"}
        How to fill up a clip that is shorter: with digital silence as that clip's feature would
        show it (:meth:`features.base.Feature.silent_frame`), or by repeating the clip.
    budget : int >= 0 [scalar]
        Memory for the frames (in bytes); frames that take more are mapped from the file.
    longest : int, optional
        Frames of the longest crop; `n_frames` unless given.

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
        If the bytes of some clips are not those that were written; all are named. If this version
        does not know the store's feature.
    OSError
        With the path, if the system cannot read the file.

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
    frames = store.frames
    in_memory = int(length.sum()) * store.spec.frame_bytes <= budget
    if in_memory:
        frames, start, damaged = _read(store, rows)
    else:
        damaged = [i for i in np.sort(rows).tolist() if not frames_intact(store, i)]
    require_intact(store, rows.tolist(), damaged)
    return make_source(
        store.spec, clip_ids, frames, start, length, n_frames=n_frames, pad=pad,
        in_memory=in_memory, longest=longest,
    )


def make_source(
    spec: FeatureSpec, clip_ids: Sequence[str], frames: NDArray, start: Ints, length: Ints, *,
    n_frames: int, pad: str, in_memory: bool = True, longest: int | None = None,
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
        Usual number of frames per crop.
    pad : {"silence", "repeat"}
        As in :func:`open_source`.
    in_memory : bool
        Whether `frames` were read, or are mapped from a file.
    longest : int, optional
        As in :func:`open_source`.

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
            for i in np.flatnonzero(length < (longest or n_frames)).tolist()
        }
    return CropSource(
        tuple(clip_ids), frames, start, length, n_frames, spec.scale, silence, in_memory
    )


def _read(store: Store, rows: Ints) -> tuple[NDArray, Ints, list[int]]:
    """Read clips in the order of the file.

    Returns their frames, each clip's start in them, and the rows whose checksum is another one.
    """
    start, length, frames = store.start[rows], store.length[rows], store.frames
    kept = np.empty((int(length.sum()), *frames.shape[1:]), frames.dtype)
    at, to, damaged = 0, np.empty_like(start), []
    for i in np.argsort(start).tolist():
        to[i] = at
        clip = kept[at:at + length[i]]
        clip[...] = frames[start[i]:start[i] + length[i]]
        # While the clip is in the processor's cache.
        if zlib.crc32(as_bytes(clip)) != store.crc32[rows[i]]:
            damaged.append(int(rows[i]))
        at += len(clip)
    return kept, to, damaged
