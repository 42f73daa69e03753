"""Pages in a headless Chromium; a web server as bad as told to be; split zips; made-up runs."""

import hashlib
import io
import json
import shutil
import socket
import struct
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio.file_header import Header
from pipeline.dataset.tables import (
    Clip,
    Dataset,
    Label,
    read_labels,
    write_clips,
    write_dataset,
    write_labels,
)
from pipeline.ensembling.combination import combine_runs, write_combined
from pipeline.published import transfer
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores, save

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


SR = 44100
HISTORY = "epoch,loss,val_loss,lwlrap,val_lwlrap\n1,1.0,2.0,0.1,0.2\n2,0.5,1.5,0.3,0.4\n"


@dataclass
class ScoredData:
    """ROOT/prepared and ROOT/runs.

    Curated clips c000 … in two folds, noisy n000 …, test t000 …, of which the last has no labels.
    `heard` has the true classes of every clip; a third of the noisy clips are labelled wrong.
    """

    root: Path
    classes: tuple[str, ...]
    label_mode: str = "multi"
    n_curated: int = 60
    n_noisy: int = 30
    n_test: int = 20
    heard: dict[str, np.ndarray] = field(default_factory=dict)

    folds = (0, 1)

    def __post_init__(self):
        rng, n = np.random.default_rng(5), len(self.classes)
        labels = []
        for split, prefix, count in (("curated", "c", self.n_curated), ("noisy", "n", self.n_noisy),
                                     ("test", "t", self.n_test)):
            for i in range(count):
                several = self.label_mode == "multi" and i % 5 == 0
                drawn = rng.choice(n - 1, 2 if several else 1, replace=False)  # never the last
                clip, heard = f"{prefix}{i:03}.wav", np.zeros(n, bool)
                heard[drawn] = True
                self.heard[clip] = heard
                if split == "noisy" and i % 3 == 0:
                    drawn = [(drawn[0] + 1) % (n - 1)]
                names = tuple(self.classes[k] for k in sorted(drawn))
                if split == "test" and i == count - 1:
                    names = ()
                usage = ("Private", "Public")[i % 2] if split == "test" else ""
                labels.append(Label(clip, names, split, i % 2 if split == "curated" else None,
                                    usage))
        (self.root / "prepared").mkdir(parents=True)
        (self.root / "audio").mkdir()
        write_dataset(self.root / "prepared",
                      Dataset(self.root, "csv", self.classes, self.label_mode))
        labels.sort(key=lambda label: label.clip_id)
        write_labels(self.root / "prepared", labels)
        header = Header("WAV", "PCM_16", SR, 1, SR // 4)
        write_clips(self.root / "prepared", [
            Clip(label.clip_id, f"audio/{label.clip_id}", header) for label in labels
        ])

    def write_audio(self):
        """A quarter of a second of sound for each clip: a tone per class that is heard."""
        t = np.arange(SR // 4) / SR
        for clip, heard in self.heard.items():
            y = sum(0.2 * np.sin(2 * np.pi * 300 * (k + 1) * t) for k in np.flatnonzero(heard))
            soundfile.write(self.root / "audio" / clip, y, SR, subtype="PCM_16")
        return self

    @property
    def labels(self):
        return {label.clip_id: label for label in read_labels(self.root / "prepared")}

    def add_ensemble(self, *members, method="geometric", weights=(), name="ensemble"):
        """An ensemble of runs."""
        combined = combine_runs(self.root / "runs", members, self.labels, method=method,
                                weights=weights, single=self.label_mode == "single",
                                seconds=dict.fromkeys(self.labels, 0.25), seed=0)
        write_combined(RunFolder(self.root / "runs", name), combined, label_mode=self.label_mode,
                       seed=0)
        return self

    def scores(self, clips, rng, strength):
        """Scores that know the true classes; with one label per clip they add up to 1."""
        clips = tuple(clips)
        z = rng.normal(size=(len(clips), len(self.classes)))
        z += strength * np.array([self.heard[clip] for clip in clips]) - strength / 2
        p = np.exp(z) if self.label_mode == "single" else 1 / (1 + np.exp(-z))
        if self.label_mode == "single":
            p /= p.sum(axis=1, keepdims=True)
        return Scores(clips, self.classes, p.astype(np.float32))

    def of(self, split, fold=None):
        return [c for c, label in self.labels.items()
                if label.split == split and fold in (None, label.fold)]

    def add_run(self, name, *, seed=0, strength=2.0, noisy=True, test=True, **facts):
        """A trained run of two folds."""
        rng, folder = np.random.default_rng(seed), self.root / "runs" / name
        for k in self.folds:
            save(folder / f"folds/{k}/oof.npz", self.scores(self.of("curated", k), rng, strength))
            (folder / f"folds/{k}/history.csv").write_text(HISTORY)
            for split, wanted in (("test", test), ("noisy", noisy)):
                if wanted:
                    save(folder / f"{split}/{k}.npz", self.scores(self.of(split), rng, strength))
        self.write_facts(name, kind="train", folds=list(self.folds), **facts)
        return self

    def write_facts(self, name, **facts):
        content = {"classes": self.classes, "label_mode": self.label_mode, **facts}
        (self.root / "runs" / name / "run.json").write_text(json.dumps(content))


@pytest.fixture(scope="session")
def scored_data(tmp_path_factory):
    """Make a :class:`ScoredData`."""
    def make(classes=("Bark", "Meow", "Rain", "Thunder", "Zither"), **options):
        return ScoredData(tmp_path_factory.mktemp("scored") / "data", tuple(classes), **options)

    return make
