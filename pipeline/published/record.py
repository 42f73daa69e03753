"""The files that a publisher, or a mirror, offers of a data set."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.published import transfer
from pipeline.published.catalogue import PublishedDataset
from pipeline.runtime.errors import PipelineError, UsageError
from pipeline.runtime.json_text import parse_json

ZENODO = "https://zenodo.org"
RECORD = "record.json"  # the name of Zenodo's record in a mirror

_LARGEST = 1 << 50  # bytes of a file; a record that says more is not one


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
    base = None if mirror is None else folder_address(mirror)
    if dataset.archive:
        name = dataset.archive.rpartition("/")[2]
        url = f"{base}/{name}" if base else dataset.archive
        return (RemoteFile(name, url, transfer.length_of(url), None),)
    url = f"{base}/{RECORD}" if base else f"{ZENODO}/api/records/{dataset.zenodo}"
    # Not the links in the record, which have led to descriptions of files instead of files.
    folder = base or f"{ZENODO}/records/{dataset.zenodo}/files"
    try:
        files = tuple(_file(entry, folder) for entry in parse_json(transfer.read(url))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{url}: not a Zenodo record with names, sizes and MD5 of files ({error!r})"
        ) from None
    if not files or len({file.name for file in files}) < len(files):
        raise PipelineError(f"{url}: lists no files, or one name twice")
    return files


def folder_address(mirror: str) -> str:
    """Check the address of a mirror, and encode what cannot be sent as it is.

    Examples
    --------
    >>> folder_address("http://server/klänge 1/")
    'http://server/kl%C3%A4nge%201'

    Raises
    ------
    UsageError
        If it is not an address of HTTP; says what is wrong with it.
    """
    def wrong(fault: str) -> UsageError:
        return UsageError(f"--mirror {mirror!r}: {fault}; needs an address such as "
                          "http://server/folder or https://server:8080/folder")

    if not re.match(r"https?://[^/]", mirror):
        raise wrong("does not begin with http:// or https:// and the name of a host")
    if found := re.search(r"[\x00-\x1f\x7f]", mirror):
        raise wrong(f"has the control character {found[0]!r}")
    scheme, _, rest = mirror.partition("://")
    place, *path = re.split(r"(?=[/?#])", rest, maxsplit=1)
    if "@" in place:
        raise wrong("a user name and a password in the address are not supported")
    if re.search(r"\s", place):
        raise wrong(f"there is a space in the host's name {place!r}")
    try:
        host = urlsplit(f"{scheme}://{place}").hostname or ""
        after = place.rpartition("]")[2]
        if "]" in place and after[:1] not in ("", ":"):
            raise ValueError
    except ValueError:
        raise wrong(f"{place!r} has a bracket too many or too few") from None
    try:
        name = host.encode("idna").decode()
    except UnicodeError:  # of any host that cannot be looked up, http.client raises it too
        name = ""
    if not name:
        raise wrong(f"{host!r} is not a host's name, whose parts between dots have 1 to 63 "
                    "characters" if host else "the name of the host is missing")
    port = after.partition(":")[2]
    if port and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 1 << 16):
        raise wrong(f"the port is {port!r}, not a number from 1 to 65535")
    sent = quote(os.fsencode("".join(path)), safe="/?%:@!$&'()*+,;=~")
    sent = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", sent)
    return (f"{scheme}://{f'[{name}]' if ':' in name else name}{f':{port}' if port else ''}"
            f"{sent.rstrip('/')}")


def _file(entry: dict[str, Any], folder: str) -> RemoteFile:
    name, size, checksum = entry["key"], entry["size"], entry["checksum"]
    if not re.fullmatch(r"\w[\w.\- ]*", name):
        raise ValueError(f"{name!r} is not a plain file name")
    if not isinstance(size, int) or not 0 <= size < _LARGEST:
        raise ValueError(f"the size of {name} is {size!r}")
    if not (found := re.fullmatch(r"md5:([0-9a-f]{32})", checksum)):
        raise ValueError(f"the checksum of {name} is {checksum!r}")
    return RemoteFile(name, f"{folder}/{quote(name)}", size, found[1])
