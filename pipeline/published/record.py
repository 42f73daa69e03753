"""The files that a publisher, or a mirror, offers of a data set."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pipeline.published import transfer
from pipeline.published.catalogue import PublishedDataset
from pipeline.runtime.errors import PipelineError, UsageError

ZENODO = "https://zenodo.org"
RECORD = "record.json"  # the name of Zenodo's record in a mirror


@dataclass(frozen=True)
class RemoteFile:
    """A file to download.

    Attributes
    ----------
    name : str
    url : str
    size : int or None
        In bytes; None if it is not known beforehand.
    md5 : str or None
        In hexadecimal digits; None if none is published.
    """

    name: str
    url: str
    size: int | None
    md5: str | None


def list_files(dataset: PublishedDataset, mirror: str | None) -> tuple[RemoteFile, ...]:
    """Ask the publisher for the files of a data set.

    Parameters
    ----------
    dataset : PublishedDataset
    mirror : str or None
        Address of a folder that has the publisher's files, under their own names, and Zenodo's
        record of them as ``record.json``.

    Raises
    ------
    PipelineError
        If it does not answer, or not with a list of files.
    UsageError
        If `mirror` is not an address.
    """
    if mirror is not None and not re.match(r"https?://[^/]", mirror):
        raise UsageError(f"--mirror {mirror}: needs an address that begins with http:// or https://")
    base = mirror.rstrip("/") if mirror else None
    if dataset.archive:
        name = dataset.archive.rpartition("/")[2]
        url = f"{base}/{name}" if base else dataset.archive
        return (RemoteFile(name, url, transfer.length_of(url), None),)
    url = f"{base}/{RECORD}" if base else f"{ZENODO}/api/records/{dataset.zenodo}"
    # Not the links in the record, which have led to descriptions of files instead of files.
    folder = base or f"{ZENODO}/records/{dataset.zenodo}/files"
    try:
        files = tuple(_file(entry, folder) for entry in json.loads(transfer.read(url))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{url}: not a Zenodo record with names, sizes and MD5 of files ({error!r})"
        ) from None
    if not files or len({file.name for file in files}) < len(files):
        raise PipelineError(f"{url}: lists no files, or one name twice")
    return files


def _file(entry: dict[str, Any], folder: str) -> RemoteFile:
    name, size, checksum = entry["key"], entry["size"], entry["checksum"]
    if not re.fullmatch(r"\w[\w.\- ]*", name):
        raise ValueError(f"{name!r} is not a plain file name")
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"the size of {name} is {size!r}")
    if not (found := re.fullmatch(r"md5:([0-9a-f]{32})", checksum)):
        raise ValueError(f"the checksum of {name} is {checksum!r}")
    return RemoteFile(name, f"{folder}/{quote(name)}", size, found[1])
