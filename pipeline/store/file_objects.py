"""What HDF5 gets in place of a file, so that it never writes to a disk and reads headers alone.

After a failed write HDF5 reports a page of text or crashes, and on damaged bytes some of its loops
never end. So it lays a store out in memory, and what it reads is looked at first.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.runtime.errors import StoreError
from pipeline.runtime.files import naming

# HDF5 reads a header in one piece; those of a store have some kilobytes.
_LARGEST_HEADER = 1 << 24

# A heap of texts: signature, version, size; then objects, each with index, references and size.
_HEAP, _HEAP_HEADER, _OBJECT_HEADER = b"GCOL", 16, 16


class _FileObject:
    """Position of a file object, as h5py's driver uses it."""

    size = 0

    def __init__(self) -> None:
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset`, counted from the beginning or from the end."""
        self._at = offset + (self.size if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        """Tell the position."""
        return self._at

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""


class SparseImage(_FileObject):
    """A file that is laid out in memory: what was written, and its size.

    Attributes
    ----------
    pieces : list of (int, bytes)
        Offset and bytes of each write, in their order; all between is unwritten.
    size : int
        In bytes, with what is unwritten.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[tuple[int, bytes]] = []

    def write(self, data: memoryview) -> int:
        """Take bytes."""
        self.pieces.append((self._at, bytes(data)))
        self._at += len(data)
        self.size = max(self.size, self._at)
        return len(data)

    def readinto(self, buffer: memoryview) -> int:
        """Give back what was written; zeros where nothing was."""
        first, last = self._at, self._at + len(buffer)
        buffer[:] = bytes(len(buffer))
        for offset, data in self.pieces:
            start, end = max(first, offset), min(last, offset + len(data))
            if start < end:
                buffer[start - first:end - first] = data[start - offset:end - offset]
        self._at = last
        return len(buffer)

    def truncate(self, size: int) -> int:
        """Set the size."""
        self.size = size
        return size


class HeaderReader(_FileObject):
    """The headers of a file, read-only.

    It never raises because HDF5 calls it: bytes that cannot be read, and those that HDF5 would hang
    on, are zeros, which it refuses.

    Parameters
    ----------
    file : int
        Descriptor.

    Attributes
    ----------
    error : OSError or None
        Why bytes could not be read.
    """

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file
        self.size = os.fstat(file).st_size
        self.error: OSError | None = None

    def readinto(self, buffer: memoryview) -> int:
        """Read the bytes of a header."""
        n = 0
        try:
            if len(buffer) <= _LARGEST_HEADER:
                n = _pread(self._file, buffer, self._at)
        except OSError as error:
            self.error = error
        self._at += len(buffer)
        if n < len(buffer) or not _ends(buffer):
            buffer[:] = bytes(len(buffer))
        return len(buffer)


def _ends(header: memoryview) -> bool:
    """Tell whether a heap's objects lead to its end; HDF5 does not ask."""
    if bytes(header[:4]) != _HEAP:
        return True
    end = min(len(header), int.from_bytes(header[8:16], "little"))
    at = _HEAP_HEADER
    while at + _OBJECT_HEADER <= end:
        index, n = (int.from_bytes(header[at + i:at + j], "little") for i, j in ((0, 2), (8, 16)))
        # What is free counts its own header.
        step = _OBJECT_HEADER + -(-n // 8) * 8 if index else n
        if step < _OBJECT_HEADER:
            return False
        at += step
    return True


def pread_into(file: int, buffer: memoryview, offset: int, path: Path) -> None:
    """Fill a buffer with a file's bytes.

    Raises
    ------
    StoreError
        If the file ends before.
    OSError
        With the path, if the system cannot read it.
    """
    with naming(path):
        n = _pread(file, buffer, offset)
    if n < len(buffer):
        raise StoreError(f"{path}: damaged: the file ends before its tables or frames do")


def _pread(file: int, buffer: memoryview, offset: int) -> int:
    """Read as many bytes as there are: a single ``pread`` may stop short of them."""
    n = 0
    while n < len(buffer) and (more := os.preadv(file, [buffer[n:]], offset + n)):
        n += more
    return n
