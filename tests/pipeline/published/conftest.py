"""A web server on this machine that behaves as badly as it is told to."""

import hashlib
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.published import transfer


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
