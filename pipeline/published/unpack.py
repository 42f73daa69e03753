"""Unpack a zip that may be damaged or hostile.

Nothing is written outside the folder, no link is made, and no more is written than the archive
declares, which is bounded.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from pipeline.published.split_zip import open_split
from pipeline.runtime.errors import PipelineError, listed
from pipeline.runtime.files import naming

# Recordings as PCM deflate to a half at best, text to a tenth. Bombs reach a thousand and more.
LARGEST_RATIO = 20
_SLACK = 1_000_000  # what small archives of mostly empty files may have beyond that
_CHUNK = 1 << 20
# What zipfile raises for bytes that it does not understand.
DAMAGED = (BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
           UnicodeDecodeError)


@contextmanager
def open_archive(paths: Sequence[Path]) -> Iterator[ZipFile]:
    """Open a zip, given as its one file or as the files that it was split into, and check it.

    Raises
    ------
    PipelineError
        If it is not a zip, or a hostile one; lists everything that is wrong with its members.
    """
    length = sum(path.stat().st_size for path in paths)
    with ExitStack() as stack:
        try:
            file = paths[0] if len(paths) == 1 else stack.enter_context(open_split(paths))
            archive = stack.enter_context(ZipFile(file))
        except DAMAGED as error:
            raise PipelineError(f"{paths[-1]}: not an intact zip: {error}") from None
        if faults := find_faults(archive.infolist(), length):
            raise PipelineError(
                f"{paths[-1]}: unsafe to unpack, nothing was written: {listed(faults)}")
        yield archive


def find_faults(members: Sequence[ZipInfo], length: int) -> list[str]:
    """Say what makes an archive unsafe to unpack, by its directory.

    Parameters
    ----------
    members : sequence of ZipInfo
    length : int
        Size of the archive in bytes.
    """
    faults, seen, folders = [], set[str](), set[str]()
    for member in members:
        path = member.filename.rstrip("/")
        faults += [f"{member.orig_filename!r} {fault}" for fault in _member_faults(member)]
        if path in seen:
            faults.append(f"{path!r} is there twice")
        seen.add(path)
        folders.update(path[:i] for i, letter in enumerate(path) if letter == "/")
    faults += [f"{member.filename!r} is a file and a folder" for member in members
               if member.filename in folders]
    packed, unpacked = (sum(getattr(member, name) for member in members)
                        for name in ("compress_size", "file_size"))
    if packed > length:
        faults.append(f"its members take {packed} bytes of an archive of {length}: they overlap")
    if unpacked > LARGEST_RATIO * length + _SLACK:
        faults.append(f"{length} bytes would unpack to {unpacked}, more than {LARGEST_RATIO} times "
                      "as much: a bomb")
    return faults


def _member_faults(member: ZipInfo) -> list[str]:
    name, mode = member.orig_filename, member.external_attr >> 16
    faults = []
    if (
        re.search(r"[\\\x00-\x1f\x7f]", name) or re.match(r"[A-Za-z]:", name)
        or {"", ".", ".."} & set(name.removesuffix("/").split("/"))
    ):
        faults.append("is not a path inside the folder")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        faults.append("is a link or a device" if not stat.S_ISLNK(mode) else "is a symbolic link")
    if member.header_offset < 0:
        faults.append("begins before the archive")
    if member.flag_bits & 0b100_0001:
        faults.append("is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        faults.append(f"is compressed by method {member.compress_type}; needs stored or deflated")
    return faults


def unpack(
    archive: ZipFile, folder: Path, targets: Mapping[str, str], show: Callable[[int], None],
) -> None:
    """Write members of a checked archive into a folder.

    Parameters
    ----------
    archive : ZipFile
        From :func:`open_archive`.
    folder : Path
    targets : mapping of str to str
        The names of the members to write, and their paths in `folder`.
    show : callable
        Called with the number of bytes of each write.

    Raises
    ------
    PipelineError
        If a member does not have the declared size or checksum.
    OSError
        If a file cannot be written or exists.
    """
    for member in archive.infolist():
        if member.filename not in targets:
            continue
        path = folder / targets[member.filename]
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path), open(path, "xb") as file, _intact(archive, member):
            with archive.open(member) as data:
                while chunk := data.read(_CHUNK):
                    file.write(chunk)
                    show(len(chunk))
            # zipfile stops at the declared size, and does not complain if there is less.
            if file.tell() != member.file_size:
                raise BadZipFile(f"{file.tell()} bytes; it declares {member.file_size}")


@contextmanager
def _intact(archive: ZipFile, member: ZipInfo) -> Iterator[None]:
    """Name the member in errors that zipfile raises for damaged or lying archives."""
    try:
        yield
    except DAMAGED as error:
        raise PipelineError(
            f"{archive.filename or 'the archive'}: {member.filename} is damaged: {error}") from None


def members(archive: ZipFile) -> list[str]:
    """The names of the files in an archive."""
    return [name for name in archive.namelist() if not name.endswith("/")]
