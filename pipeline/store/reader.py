"""Read a sealed store. docs/store.md describes the format.

A store is one plain HDF5 file per feature. Here it is opened once: its tables are read and its
frames mapped, so that a random crop takes microseconds. No HDF5 handle stays open, but the file
does: a store that is replaced meanwhile stays the one that was opened.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import weakref
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from features.signal.moments import Moments, merge_arrays
from pipeline.runtime.errors import StoreError, UsageError, listed
from pipeline.store.checksums import damaged_rows, frames_intact, repair_advice
from pipeline.store.file_objects import pread_into
from pipeline.store.schema import as_bytes
from pipeline.store.tables import read_tables


def open_store(path: str | Path) -> Store:
    """Open a sealed store.

    Parameters
    ----------
    path : str or Path
        A file that extract or :func:`pipeline.store.from_arrays.write_store` wrote.

    Returns
    -------
    store : Store

    Raises
    ------
    UsageError
        If there is no such file; the message says how to make it.
    StoreError
        If the file is not a store, is damaged, or is of a schema that this version does not read.
    OSError
        With the path, if the system cannot read the file.

    Examples
    --------
    >>> import tempfile
    >>> from features.logmel import LogMel
    >>> from pipeline.store import open_store, write_store
    >>> from pipeline.store.schema import spec_of
    >>> spec = spec_of(LogMel(n_mels=2), trim_db=60.0)
    >>> frames = {"dog.wav": np.full((3, 2), -20, np.float32)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = open_store(write_store(f"{folder}/logmel.h5", spec, frames))
    >>> store.spec.feature, list(store)
    ('logmel', ['dog.wav'])
    """
    return Store(Path(path))


class Store:
    """A sealed store, read-only, and a mapping of clip ids to frames.

    Parameters
    ----------
    path : Path
        The file; :func:`open_store` takes a str too.
    damaged_rows : bool
        Open it even if the rows of some clips cannot be true, or clips are not those that were
        written, to copy what is intact.

    Attributes
    ----------
    spec : FeatureSpec
        The feature, its configuration and its fingerprint.
    contents : Contents
        Clip ids, lengths (in frames), and the bad clips that were left out.
    file : int
        Descriptor of the open file, for ``pread``; it is closed with the store.
    frames : np.ndarray [shape=(n_frames, width) or (n_samples,), dtype=spec.dtype]
        All frames as they are stored, mapped from the file.
    start, length : np.ndarray [shape=(n_clips,), dtype=int64]
        A clip's first frame and number of frames.
    sound : np.ndarray [shape=(n_clips, 2), dtype=int64]
        First frame and one past the last frame that is not leading or trailing silence.
    crc32 : np.ndarray [shape=(n_clips,), dtype=uint32]
        Checksum of a clip's frames as they are stored.
    digests : tuple of str
        SHA-256 of each clip's source file.
    count, mean, m2 : np.ndarray
        Moments of each clip ``[shape=(n_clips,) and (n_clips, n_values)]``, of the scaled values.

    Examples
    --------
    >>> import tempfile
    >>> from features.logmel import LogMel
    >>> from pipeline.store import open_store, write_store
    >>> from pipeline.store.schema import spec_of
    >>> spec = spec_of(LogMel(n_mels=2), trim_db=60.0)
    >>> frames = {"dog.wav": np.full((3, 2), -20, np.float32)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = open_store(write_store(f"{folder}/logmel.h5", spec, frames))
    ...     store.mean_std()[0]
    array([-20., -20.])
    >>> store["dog.wav"].shape, store.crop("dog.wav", first=1, n_frames=2).shape
    ((3, 2), (2, 2))
    """

    def __init__(self, path: Path, *, damaged_rows: bool = False) -> None:
        self.path = path
        self.file = _descriptor(path)
        weakref.finalize(self, os.close, self.file)
        tables = read_tables(self.file, path)
        self.spec, self.contents, self.offsets = tables.spec, tables.contents, tables.offsets
        self.start, self.length, self.sound = tables.start, tables.length, tables.sound
        self.crc32, self.digests, self.count = tables.crc32, tables.digests, tables.count
        self._key, self._end = tables.contents_key, tables.end
        shape = (self.length.sum(), self.spec.width) if self.spec.width else (self.length.sum(),)
        dtype = np.dtype(self.spec.dtype).newbyteorder("<")
        self.frames = (
            np.ndarray(shape, dtype, mmap.mmap(self.file, 0, access=mmap.ACCESS_READ),
                       self.offsets.frames)
            if self.length.any() else np.empty(shape, dtype)
        )
        if not damaged_rows and (fault := self.fault):
            raise StoreError(f"{fault}; {repair_advice(path.parent)}")

    @cached_property
    def fault(self) -> str:
        """What cannot be true of the tables, as is seen without a checksum; empty if nothing."""
        if bad := self._impossible_rows():
            return f"{self.path}: the tables are damaged in the rows of {listed(bad)}"
        if self.contents.key(self.spec) != self._key:
            return f"{self.path}: the clip ids or lengths are not those that were written"
        return ""

    @property
    def bytes_beyond(self) -> int:
        """Bytes of the file after the end that its headers name."""
        return os.fstat(self.file).st_size - self._end

    def _impossible_rows(self) -> list[str]:
        """List the clips whose sound is not within them, or whose digest is no text."""
        first, last = self.sound.T
        bad = (first < 0) | (first > last) | (last > self.length)
        return [
            clip_id
            for clip_id, digest, wrong in zip(
                self.contents.clip_ids, self.digests, bad.tolist(), strict=True)
            if wrong or not (digest.isascii() and digest.isalnum())
        ]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {clip_id: i for i, clip_id in enumerate(self.contents.clip_ids)}

    @property
    def digest(self) -> str:
        """SHA-256 over the clips and their checksums: that of another extraction is another one."""
        return hashlib.sha256(self._key.encode() + self.crc32.tobytes()).hexdigest()

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean of each clip's scaled values [shape=(n_clips, n_values), dtype=float64]."""
        return self._moments_table("moments/mean")

    @cached_property
    def m2(self) -> np.ndarray:
        """Sums of squared deviations from `mean` [shape=(n_clips, n_values), dtype=float64]."""
        return self._moments_table("moments/m2")

    def _moments_table(self, name: str) -> np.ndarray:
        # 50 MB for 25,000 clips of 128 bands: read when asked for, not when opened.
        values = np.empty((len(self), max(1, self.spec.width)), "<f8")
        pread_into(self.file, as_bytes(values), self.offsets.tables[name], self.path)
        return values

    def __len__(self) -> int:
        return len(self.contents.clip_ids)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the clip ids, like a mapping."""
        return iter(self.contents.clip_ids)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._index

    def index_of(self, clip_id: str) -> int:
        """Look up a clip's row in every table.

        Parameters
        ----------
        clip_id : str
            A clip of the store.

        Returns
        -------
        index : int in [0, n_clips) [scalar]

        Raises
        ------
        KeyError
            If the store has no such clip; the message names a few that it has.
        """
        try:
            return self._index[clip_id]
        except KeyError:
            some = ", ".join(self.contents.clip_ids[:3])
            raise KeyError(
                f"{self.path} has no clip {clip_id!r}; it has {len(self)}, such as {some}"
            ) from None

    def holds(self, clip_id: str, digest: str, n_frames: int) -> bool:
        """Tell whether the store has a clip, from the same file and with as many frames.

        Parameters
        ----------
        clip_id : str
            A clip, of the store or not.
        digest : str
            SHA-256 of the clip's source file, as hexadecimal digits.
        n_frames : int
            Number of its frames.

        Returns
        -------
        bool
        """
        i = self._index.get(clip_id)
        return i is not None and self.digests[i] == digest and bool(self.length[i] == n_frames)

    def __getitem__(self, clip_id: str) -> np.ndarray:
        """Read all frames of a clip.

        Parameters
        ----------
        clip_id : str
            A clip of the store.

        Returns
        -------
        frames : np.ndarray [shape=(n_frames, width) or (n_samples,), dtype=float32]
            In the units of ``spec.units``. A copy.

        Raises
        ------
        KeyError
            If the store has no such clip.
        """
        return self.crop(clip_id)

    def crop(self, clip_id: str, first: int = 0, n_frames: int | None = None) -> np.ndarray:
        """Read some of a clip's frames.

        Parameters
        ----------
        clip_id : str
            A clip of the store.
        first : int
            The first frame, counted from 0.
        n_frames : int, optional
            Number of frames; all from `first` on if not given.

        Returns
        -------
        frames : np.ndarray [shape=(n_frames, width) or (n_frames,), dtype=float32]
            In the units of ``spec.units``. A copy.

        Raises
        ------
        KeyError
            If the store has no such clip.
        ValueError
            If the crop does not lie within the clip: nothing is padded here.
        """
        i = self.index_of(clip_id)
        length = int(self.length[i])
        last = length if n_frames is None else first + n_frames
        if not 0 <= first <= last <= length:
            raise ValueError(
                f"frames {first} to {last} of {clip_id!r}; it has {length}, from 0 to {length}"
            )
        stored = self.frames[self.start[i] + first:self.start[i] + last]
        frames = np.array(stored, np.float32)
        if self.spec.scale != 1:
            frames *= np.float32(self.spec.scale)
        return frames

    def moments(self, clip_ids: Iterable[str] | None = None) -> Moments:
        """Merge the moments of some clips without reading any frame.

        Parameters
        ----------
        clip_ids : iterable of str, optional
            The clips; all if not given.

        Returns
        -------
        moments : Moments
            Of the scaled values, in float64 [shape=(n_values,)].

        Raises
        ------
        KeyError
            If the store has no such clip.
        ValueError
            If there are no clips.
        StoreError
            If they are not finite.
        """
        rows = slice(None) if clip_ids is None else [self.index_of(c) for c in clip_ids]
        if not len(self.count[rows]):
            raise ValueError(f"{self.path}: moments over no clips")
        merged = merge_arrays(self.count[rows], self.mean[rows], self.m2[rows])
        if not (np.isfinite(merged.mean).all() and np.isfinite(merged.m2).all()):
            bad = np.flatnonzero(~np.isfinite(self.m2).all(axis=1))
            raise StoreError(
                f"{self.path}: NaN or infinite values in {len(bad)} clips: "
                f"{listed([self.contents.clip_ids[i] for i in bad.tolist()])}. Extract them with "
                "another dtype or other settings"
            )
        return merged

    def mean_std(self, clip_ids: Iterable[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Compute mean and population standard deviation of each value of a frame.

        Parameters
        ----------
        clip_ids : iterable of str, optional
            The clips to compute them over; all if not given.

        Returns
        -------
        mean, std : np.ndarray [shape=(n_values,), dtype=float64]
            Of the scaled values; a waveform has one value.

        Raises
        ------
        KeyError
            If the store has no such clip.
        ValueError
            If there are no clips.
        StoreError
            If they are not finite.
        """
        moments = self.moments(clip_ids)
        return moments.mean, moments.std

    def verify(self) -> Iterator[str]:
        """Check all checksums, and yield a sentence for each mismatch.

        The clips' ids and lengths are checked against the key of the contents, each clip's frames
        and each row of the tables against their own checksums, and the file's size against the one
        that its headers name.

        Yields
        ------
        error : str
            The file, the clip and what is wrong; nothing for a sound store.
        """
        if self.fault:
            yield self.fault
        if self.bytes_beyond:
            yield (f"{self.path}: {self.bytes_beyond} bytes after the store's end, which are none "
                   "of its")
        rows = set(damaged_rows(self))
        for i, clip_id in enumerate(self.contents.clip_ids):
            if not frames_intact(self, i):
                yield f"{self.path}: {clip_id}: the frames do not have their checksum"
            if i in rows:
                yield f"{self.path}: {clip_id}: the row of the tables is damaged"


def _descriptor(path: Path) -> int:
    """Open a file; errors of the system stay what they are: they are no damage."""
    try:
        # A pipe would wait for ever.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such store. Make it with: python -m pipeline.extract"
        ) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UsageError(f"{path}: not a file; name a store, such as stores/mfcc.h5")
    return file
