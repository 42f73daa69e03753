"""Download a file over HTTP: resume where it stopped, retry, verify.

The standard library's urllib does all that is needed here and honours ``http_proxy``,
``https_proxy``, ``no_proxy``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``: no HTTP library is needed.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import atomic_write, naming

T = TypeVar("T")

ATTEMPTS = 6              # failures in a row; one that brought ENOUGH bytes starts a new count
NAME_ATTEMPTS = 3         # where no byte came and the server's name is not found: no network
ENOUGH = 1_000_000
BACKOFF_SECONDS = 1.0     # before the second attempt; doubles with each
LONGEST_WAIT_SECONDS = 120.0
TIMEOUT_SECONDS = 30.0    # without a byte
RETRIED = {408, 425, 429, 500, 502, 503, 504}
ADVICE = {
    401: "The server wants a password.",
    403: "The server refuses. Behind a proxy, set https_proxy; else try later, or give a --mirror.",
    404: "The file is not there. Check the address of the --mirror, or download it by hand.",
}
_CHUNK = 1 << 18


class _InterruptedError(Exception):
    """An attempt that is worth repeating, perhaps after `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0.0, *, is_name: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.is_name = wait, is_name


def read(url: str) -> bytes:
    """Download a small file.

    Raises
    ------
    PipelineError
        If the server has no such file, or does not answer after several attempts.
    """
    def attempt() -> bytes:
        with _open(url) as response:
            return _received(response.read)

    return _persist(url, attempt)


def length_of(url: str) -> int | None:
    """Size of a file in bytes; None if the server does not say."""
    def attempt() -> int | None:
        with _open(url, method="HEAD") as response:
            return _content_length(response)

    return _persist(url, attempt)


def fetch(
    url: str, path: Path, *, size: int | None, find_fault: Callable[[Path], str | None],
    show: Callable[[int], None],
) -> None:
    """Download a file; what an earlier call left unfinished is resumed.

    The bytes go to ``PATH.part``; ``PATH.part.validator`` has the ETag or the date of the file that
    they belong to. If the server has another file by now, it is downloaded from the start. Only a
    file that passed all checks gets the name `path`.

    Parameters
    ----------
    url : str
    path : Path
        A file of that name without a fault is left as it is.
    size : int or None
        In bytes, as published.
    find_fault : callable
        Returns what is wrong with a finished file, None if nothing is.
    show : callable
        Called with the number of bytes that are there.

    Raises
    ------
    PipelineError
        If the server has no such file, fails ``ATTEMPTS`` times in a row, or delivers another file
        than was published. A wrong file is deleted.
    OSError
        If the file cannot be written.
    """
    if path.exists() and find_fault(path) is None:
        show(path.stat().st_size)
        return
    part = _part(path)
    _persist(url, lambda: _continue(url, part, size, show), lambda: _length(part))
    fault = find_fault(part)
    if fault is None:
        os.replace(part, path)
    else:
        part.unlink()
    _validator(part).unlink(missing_ok=True)
    if fault:
        raise PipelineError(
            f"{url}: {fault}. It was deleted; run the same command again to download it once more"
        )


def length_here(path: Path) -> int:
    """Bytes of a file that are here already, finished or not."""
    return _length(path) or _length(_part(path))


def _continue(url: str, part: Path, size: int | None, show: Callable[[int], None]) -> None:
    """Download what is missing of a file in one request."""
    start = _length(part)
    if start == size and part.exists():  # an empty file needs a request to come into being
        return
    validator = _validator(part).read_text() if _validator(part).exists() else ""
    if not validator or (size is not None and start > size):
        start = 0
    headers = {"Range": f"bytes={start}-", "If-Range": validator} if start else {}
    with _open(url, headers) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            start = 0  # another file than before, or a server that knows no ranges
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink()
            raise _InterruptedError("the server sent another range than was asked for")
        rest = _content_length(response)
        total = None if rest is None else start + rest
        if size is not None and total is not None and total != size:
            raise PipelineError(
                f"{url}: the server offers {total} bytes, the published file has {size}")
        with naming(part), open(part, "ab" if start else "wb") as file:
            if not start:
                etag = response.headers.get("ETag", "")
                strong = "" if etag.startswith("W/") else etag
                with atomic_write(_validator(part)) as partial:
                    partial.write_text(strong or response.headers.get("Last-Modified", ""))
            while chunk := _received(lambda: response.read1(_CHUNK)):
                file.write(chunk)
                start += len(chunk)
                if size is not None and start > size:
                    raise PipelineError(f"{url}: longer than the {size} bytes that are published")
                show(start)
    if total is not None and start < total:
        raise _InterruptedError(f"the connection was closed after {start} of {total} bytes")


def _open(
    url: str, headers: dict[str, str] | None = None, method: str = "GET",
) -> http.client.HTTPResponse:
    request = urllib.request.Request(
        url, headers={"User-Agent": "audio-tagging-pipeline", **(headers or {})}, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        answer = f"HTTP {error.code} {error.reason}"
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in request.headers:
            return _open(url, method=method)  # it is shorter than what is here: another file
        if error.code in RETRIED:
            raise _InterruptedError(answer, _number(error.headers, "Retry-After") or 0) from None
        raise PipelineError(f"{url}: {answer}. {ADVICE.get(error.code, '')}".rstrip()) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise PipelineError(
                f"{url}: {error.reason}. Behind a proxy with a certificate of its own, name "
                "that in SSL_CERT_FILE"
            ) from None
        if isinstance(error.reason, socket.gaierror):
            unknown = error.reason.errno == socket.EAI_NONAME
            raise _InterruptedError(
                f"no connection to {request.host} "
                f"({'name not found' if unknown else error.reason.strerror})", is_name=True
            ) from None
        raise _InterruptedError(str(error.reason)) from None
    except (ValueError, http.client.InvalidURL) as error:
        # The address itself was checked; it may redirect to another, or the proxy's is wrong.
        raise PipelineError(f"{url}: leads to something that is not an address: {error}") from None
    except (http.client.HTTPException, OSError) as error:
        raise _InterruptedError(_describe(error)) from None
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise PipelineError(f"{url}: redirects to {response.url}, which is not encrypted")
    return response


def _received(receive: Callable[[], bytes]) -> bytes:
    try:
        return receive()
    except (http.client.HTTPException, OSError) as error:
        raise _InterruptedError(_describe(error)) from None


def _persist(url: str, attempt: Callable[[], T], reached: Callable[[], int] = lambda: 0) -> T:
    """Repeat an attempt that is interrupted, with growing pauses."""
    failures = 0
    while True:
        before = reached()
        try:
            return attempt()
        except _InterruptedError as error:
            failures = 1 if reached() - before >= ENOUGH else failures + 1
            attempts = NAME_ATTEMPTS if error.is_name and not reached() else ATTEMPTS
            if failures >= attempts or error.wait > LONGEST_WAIT_SECONDS:
                later = f" It asks to wait for {error.wait:.0f} s." if error.wait else ""
                ended = "; is there a network? Gave up" if error.is_name else "; gave up"
                again = ("What is here is kept: run the same command to resume" if reached()
                         else "Run the same command to try again")
                raise PipelineError(f"{url}: {error}{ended} after {failures} attempts.{later} "
                                    f"{again}") from None
            pause = max(error.wait, BACKOFF_SECONDS * 2 ** (failures - 1))
            tqdm.write(f"  {url.rpartition('/')[2]}: {error}; trying again in {pause:.0f} s",
                       file=sys.stderr)
            time.sleep(pause)


def _content_length(response: http.client.HTTPResponse) -> int | None:
    return _number(response.headers, "Content-Length")


def _number(headers: Message, name: str) -> int | None:
    """The value of a header; None if it is missing or not a whole number."""
    value = headers.get(name, "")
    return int(value) if re.fullmatch("[0-9]{1,15}", value) else None


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _validator(part: Path) -> Path:
    return part.with_name(part.name + ".validator")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
