"""Read a zip that was split into several files, without another copy of it on the disk.

``zip -s`` cuts an archive into NAME.z01, NAME.z02, ... and NAME.zip. The bytes of all members are
in these files, one after the other, but the directory at the end of NAME.zip counts positions from
the beginning of each file. Python's zipfile needs positions from the beginning of the whole. Here
the files appear as one, and the directory at its end is replaced by one with such positions, like
the one that ``zip -s 0`` writes. The format is defined in PKWARE's APPNOTE.TXT (4.3.12 to 4.3.16,
4.5.3).
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

_ENTRY = struct.Struct("<4s4B4HL2L5H2L")      # one member in the directory, before its name
_END = struct.Struct("<4s4H2LH")              # end of the directory
_LOCATOR = struct.Struct("<4sLQL")            # says where the zip64 end of the directory is
_END64 = struct.Struct("<4sQ2H2L4Q")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF         # the value is in a zip64 field
_LARGEST_COMMENT = 0xFFFF


class _Joined(io.RawIOBase):
    """Several files, and some bytes after them, as one file to read."""

    def __init__(self, files: Sequence[io.RawIOBase], lengths: Sequence[int]) -> None:
        self._files: list[io.RawIOBase | io.BytesIO] = list(files)
        self.starts = [sum(lengths[:i]) for i in range(len(lengths))]
        self.length = sum(lengths)
        self._position = 0

    def replace_end(self, position: int, end: bytes) -> None:
        """Let `end` stand for everything from `position` on."""
        kept = sum(start < position for start in self.starts)
        self._files = [*self._files[:kept], io.BytesIO(end)]
        self.starts = [*self.starts[:kept], position]
        self.length = position + len(end)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._position, 2: self.length}[whence]
        if base + offset < 0:
            raise OSError("negative position")  # as every file does; zipfile relies on it
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self.length:
            return 0
        i = bisect_right(self.starts, self._position) - 1
        end = self.starts[i + 1] if i + 1 < len(self.starts) else self.length
        self._files[i].seek(self._position - self.starts[i])
        data = self._files[i].read(min(len(buffer), end - self._position)) or b""
        buffer[:len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def open_split(paths: Sequence[Path]) -> BinaryIO:
    """Open the files of a split zip as one zip.

    Parameters
    ----------
    paths : sequence of Path
        NAME.z01, NAME.z02, ..., NAME.zip.

    Returns
    -------
    BinaryIO
        For ``zipfile.ZipFile``; closing it closes the files.

    Raises
    ------
    zipfile.BadZipFile
        If they are not, or not all, the files of one split zip.
    """
    joined = _Joined([io.FileIO(path) for path in paths], [path.stat().st_size for path in paths])
    try:
        position, end = _whole_directory(joined)
    except (struct.error, IndexError):
        joined.close()
        raise BadZipFile("the directory at its end is cut off or damaged") from None
    except BadZipFile:
        joined.close()
        raise
    joined.replace_end(position, end)
    return io.BufferedReader(joined)


def _whole_directory(joined: _Joined) -> tuple[int, bytes]:
    """Where the directory begins, and a directory with positions in the whole."""
    disk, n_entries, length, first_disk, offset = _read_end(joined)
    _check_complete(joined, disk + 1)
    begin = joined.starts[first_disk] + offset
    if begin + length > joined.length:
        raise BadZipFile("the directory at its end is damaged")
    data, at, entries = _read(joined, begin, length), 0, []
    for _ in range(n_entries):
        entry, at = _whole_entry(data, at, joined.starts)
        entries.append(entry)
    directory = b"".join(entries)
    n, size = len(entries), len(directory)
    end64 = _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, n, n, size, begin)
    locator = _LOCATOR.pack(b"PK\6\7", 0, begin + size, 1)
    end = _END.pack(b"PK\5\6", 0, 0, min(n, _FULL16), min(n, _FULL16), min(size, _FULL32),
                    min(begin, _FULL32), 0)
    return begin, directory + end64 + locator + end


def _read_end(joined: _Joined) -> tuple[int, int, int, int, int]:
    """The end of the directory: its file, entries, length, the file it begins in and where."""
    first = max(0, joined.length - _END.size - _LARGEST_COMMENT)
    tail = _read(joined, first, joined.length - first)
    found = tail.rfind(b"PK\5\6")
    if found < 0:
        raise BadZipFile("no directory at its end")
    _, disk, first_disk, _, n, length, offset, _ = _END.unpack_from(tail, found)
    before = first + found - _LOCATOR.size
    locator = _read(joined, before, _LOCATOR.size) if before >= 0 else b""
    if locator.startswith(b"PK\6\7"):
        _, on_disk, position, n_disks = _LOCATOR.unpack(locator)
        _check_complete(joined, n_disks)
        end64 = _read(joined, joined.starts[on_disk] + position, _END64.size)
        signature, _, _, _, disk, first_disk, _, n, length, offset = _END64.unpack(end64)
        if signature != b"PK\6\6":
            raise BadZipFile("no zip64 directory where it should be")
    return disk, n, length, first_disk, offset


def _check_complete(joined: _Joined, n_files: int) -> None:
    if n_files != len(joined.starts):
        raise BadZipFile(f"it was split into {n_files} files; {len(joined.starts)} are here")


def _whole_entry(data: bytes, at: int, starts: Sequence[int]) -> tuple[bytes, int]:
    """The entry at a position, changed to count in the whole; and where the next one is."""
    fields = list(_ENTRY.unpack_from(data, at))
    if fields[0] != b"PK\1\2":
        raise BadZipFile("the directory at its end is damaged")
    compressed, size, n_name, n_extra, n_comment, disk = fields[10:16]
    offset = fields[18]
    extra_at = at + _ENTRY.size + n_name
    comment_at = extra_at + n_extra
    name, comment = data[extra_at - n_name:extra_at], data[comment_at:comment_at + n_comment]
    wide, others = _split_zip64(data[extra_at:comment_at])
    if size == _FULL32:
        size, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
    if compressed == _FULL32:
        compressed, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
    if offset == _FULL32:
        offset, wide = struct.unpack_from("<Q", wide)[0], wide[8:]
    if disk == _FULL16:
        disk = struct.unpack_from("<L", wide)[0]
    zip64 = struct.pack("<2H3Q", 1, 24, size, compressed, starts[disk] + offset)
    fields[10:16] = [_FULL32, _FULL32, n_name, len(zip64) + len(others), n_comment, 0]
    fields[18] = _FULL32
    return _ENTRY.pack(*fields) + name + zip64 + others + comment, comment_at + n_comment


def _split_zip64(extra: bytes) -> tuple[bytes, bytes]:
    """The zip64 field of a member, and its other fields."""
    wide, others = b"", b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        field, extra = extra[:4 + length], extra[4 + length:]
        if kind == 1:
            wide = field[4:]
        else:
            others += field
    return wide, others


def _read(joined: _Joined, position: int, length: int) -> bytes:
    joined.seek(position)
    parts, left = [], length
    while left and (data := joined.read(left)):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)
