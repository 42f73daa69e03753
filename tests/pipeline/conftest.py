"""Pages in a headless Chromium; a web server that behaves as badly as it is told to; split zips."""

import hashlib
import io
import json
import shutil
import socket
import struct
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.published import transfer

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open a file at a width (in pixels) and a colour scheme; console errors fail the test."""
    contexts, errors = [], []

    def open_(path, *, width=1280, scheme="light", **options):
        # Nothing may be fetched: the page is one file.
        context = browser.new_context(viewport={"width": width, "height": 900},
                                      color_scheme=scheme, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning")
                and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("http:", "https:"))
                and errors.append(f"fetches {request.url}"))
        page.on("dialog", lambda dialog: errors.append(dialog.message) or dialog.dismiss())
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def axe_violations():
    """What axe finds on a page that is serious or critical: rule and elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright",
                              reason="axe-playwright-python is not installed").Axe()

    def run(page):
        found = axe.run(page).response["violations"]
        return [(each["id"], [node["html"][:200] for node in each["nodes"][:3]])
                for each in found if each["impact"] in ("serious", "critical")]

    return run


class Site:
    """Files by name, and how they are served.

    Attributes
    ----------
    files : dict of str to bytes
    ranges, chunked : bool
        Whether ranges are honoured; whether the length is kept back.
    validators : dict of str to str
        Headers of every answer; without an ETag of one's own the MD5 is it, as on Zenodo.
    answers : list of (int, dict)
        Status and headers of the next answers, before files are served.
    drops : list of int
        After how many bytes the next answers with a file break off; negative: with a reset.
    asked : list of (str, str, str or None)
        Method, name and range of every request.
    """

    def __init__(self):
        self.files, self.ranges, self.chunked = {}, True, False
        self.validators, self.answers, self.drops, self.asked = None, [], [], []
        self.seconds_per_chunk = 0.0
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                site.answer(self)

            do_HEAD = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # a client that was killed
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler):
        name = handler.path.lstrip("/")
        asked = handler.headers.get("Range")
        self.asked.append((handler.command, name, asked))
        handler.close_connection = True
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        data = self.files.get(name)
        if status == 200 and data is None:
            status = 404
        if status != 200:
            handler.send_response(status)
            for header in headers.items():
                handler.send_header(*header)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        validators = self.validators
        if validators is None:
            validators = {"ETag": f'"md5:{hashlib.md5(data).hexdigest()}"'}
        begin = 0
        if asked and self.ranges and handler.headers.get("If-Range") in validators.values():
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            status = 206 if begin < len(data) else 416
        handler.send_response(status)
        for header in validators.items():
            handler.send_header(*header)
        if status == 416:
            data = b""
        elif status == 206:
            handler.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        body = data[begin:]
        if self.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        drop = self.drops.pop(0) if self.drops else None
        self._send(handler, body if drop is None else body[:abs(drop)], ended=drop is None)
        if drop is not None and drop < 0:
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _send(self, handler, body, *, ended):
        step = 20_000
        for i in range(0, len(body), step):
            piece = body[i:i + step]
            if self.chunked:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            handler.wfile.write(piece)
            if self.seconds_per_chunk:
                time.sleep(self.seconds_per_chunk)
        if self.chunked and ended:
            handler.wfile.write(b"0\r\n\r\n")

    def publish(self, files):
        """Serve files, with Zenodo's record of them."""
        self.files.update(files)
        entries = [
            {"key": name, "size": len(data), "checksum": f"md5:{hashlib.md5(data).hexdigest()}"}
            for name, data in files.items()
        ]
        self.files["record.json"] = json.dumps({"id": 1, "files": entries}).encode()


@pytest.fixture
def site(monkeypatch):
    """A server of a test's own; attempts to reach it follow one another at once."""
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 0.0)
    result = Site()
    yield result
    result.server.shutdown()
    result.server.server_close()


ENTRY = struct.Struct("<4s4B4HL2L5H2L")


@pytest.fixture(scope="session")
def split():
    """Cut a zip into pieces, as `zip -s` does."""
    return _split


def _split(data, cuts, *, wide=False, end64=False):
    """Cut a zip as PKWARE's APPNOTE.TXT says: positions count from the piece that they are in.

    `wide` writes every size and position into zip64 fields, `end64` the end of the directory.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members, directory = archive.infolist(), archive.start_dir
    starts = [0, *cuts]

    def place(position):
        disk = max(i for i, start in enumerate(starts) if start <= position)
        return disk, position - starts[disk]

    entries, at = b"", directory
    for member in members:
        fields = list(ENTRY.unpack_from(data, at))
        n_name, n_extra, n_comment = fields[12:15]
        assert (n_extra, n_comment) == (0, 0)
        name = data[at + ENTRY.size:at + ENTRY.size + n_name]
        at += ENTRY.size + n_name
        disk, offset = place(member.header_offset)
        extra = b"\x55\x54\5\0\1abcd"  # another field, as `zip` writes times
        if wide:
            extra += struct.pack("<2H3QL", 1, 28, fields[11], fields[10], offset, disk)
            fields[10:12], fields[15], fields[18] = [0xFFFFFFFF] * 2, 0xFFFF, 0xFFFFFFFF
        else:
            fields[15], fields[18] = disk, offset
        fields[13] = len(extra)
        entries += ENTRY.pack(*fields) + name + extra
    disk, offset = place(directory)
    last, n = len(starts) - 1, len(members)
    tail = b""
    if end64:
        at64 = place(directory + len(entries))
        tail = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, last, disk, n, n, len(entries),
                           offset)
        tail += struct.pack("<4sLQL", b"PK\6\7", at64[0], at64[1], last + 1)
        n, disk_, size, where = 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    else:
        disk_, size, where = disk, len(entries), offset
    tail += struct.pack("<4s4H2LH", b"PK\5\6", last, disk_, n, n, size, where, 2) + b"hi"
    body = data[:directory] + entries + tail
    return [body[a:b] for a, b in zip(starts, [*cuts, len(body)], strict=True)]
