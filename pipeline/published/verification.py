"""Compare a downloaded file with the published one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.published.record import RemoteFile
from pipeline.published.unpack import DAMAGED, open_archive
from pipeline.runtime.errors import PipelineError


def find_fault(path: Path, file: RemoteFile) -> str | None:
    """Say how a file differs from the published one; None if it does not.

    By size and MD5 where they are published; else `path` must be a zip, which has checksums of its
    own.
    """
    found = path.stat().st_size
    if file.size is not None and found != file.size:
        return f"{found} bytes, the published file has {file.size}"
    if file.md5 is not None:
        with open(path, "rb") as data:
            # MD5 is what is published. It finds damage; it is no proof against forgery.
            md5 = hashlib.file_digest(data, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return None if md5 == file.md5 else f"has the MD5 {md5}, the published file {file.md5}"
    try:
        with open_archive([path]) as archive:
            bad = archive.testzip()
    except (PipelineError, *DAMAGED) as error:
        return str(error).removeprefix(f"{path}: ")
    return f"is damaged: {bad} does not match its checksum" if bad else None
