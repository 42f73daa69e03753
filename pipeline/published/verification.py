"""Compare a downloaded file with the published one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.published.record import RemoteFile
from pipeline.published.unpack import DAMAGED, open_archive
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.progress import ByteProgress

_CHUNK = 1 << 20


def find_fault(path: Path, file: RemoteFile) -> str | None:
    """Say how a file differs from the published one; None if it does not.

    By size and MD5 where they are published; else `path` must be a zip, which has checksums of its
    own.
    """
    found = path.stat().st_size
    if file.size is not None and found != file.size:
        return f"has {found} bytes, the published file has {file.size}"
    if file.md5 is not None:
        # MD5 is what is published. It finds damage; it is no proof against forgery.
        digest = hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as data, ByteProgress(f"verifying {file.name}", found) as progress:
            while chunk := data.read(_CHUNK):
                digest.update(chunk)
                progress.add(len(chunk))
        md5 = digest.hexdigest()
        return None if md5 == file.md5 else f"has the MD5 {md5}, the published file {file.md5}"
    try:
        with open_archive([path]) as archive:
            bad = archive.testzip()
    except (PipelineError, *DAMAGED) as error:
        return str(error).removeprefix(f"{path}: ")
    return f"is damaged: {bad} does not match its checksum" if bad else None
