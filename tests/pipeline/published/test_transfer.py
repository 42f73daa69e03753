"""Downloads from a server that drops, refuses, changes and lies."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

from pipeline.published import transfer
from pipeline.runtime.errors import PipelineError

DATA = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)


def compare(data):
    """A check of the whole content."""
    return lambda path: None if path.read_bytes() == data else "differs"


@pytest.fixture
def fetch(site, tmp_path):
    """Download `a.zip`, which should be `data`; the file's path and what was shown."""
    site.files["a.zip"] = DATA

    def call(data=DATA, **options):
        shown = []
        options = {"size": len(data), "find_fault": compare(data), **options}
        transfer.fetch(f"{site.url}/a.zip", tmp_path / "a.zip", show=shown.append, **options)
        return shown

    return call


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def begun(tmp_path, data, validator):
    """What an interrupted download leaves."""
    (tmp_path / "a.zip.part").write_bytes(data)
    (tmp_path / "a.zip.part.validator").write_text(validator)


def test_a_whole_file_arrives_and_nothing_else_is_left(site, fetch, tmp_path):
    shown = fetch()
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert names(tmp_path) == ["a.zip"]
    assert site.asked == [("GET", "a.zip", None)]
    assert shown[-1] == len(DATA)
    assert shown == sorted(shown)


def test_a_verified_file_is_not_downloaded_again(site, fetch, tmp_path):
    (tmp_path / "a.zip").write_bytes(DATA)
    assert fetch() == [len(DATA)]
    assert site.asked == []


def test_a_file_that_is_no_longer_as_published_is_downloaded_again(site, fetch, tmp_path):
    (tmp_path / "a.zip").write_bytes(OTHER)
    fetch()
    assert (tmp_path / "a.zip").read_bytes() == DATA


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_connection_that_drops_several_times_is_resumed_where_it_was(
        site, fetch, tmp_path, chunked, sign):
    site.chunked = chunked
    site.drops = [sign * n for n in (100_000, 60_000, 0, 20_000)]
    fetch()
    assert (tmp_path / "a.zip").read_bytes() == DATA
    begins = [int(r[6:-1]) for _, _, r in site.asked if r]
    assert begins == sorted(begins)
    # A reset may take the last bytes with it, an orderly end does not.
    assert begins[-1] == 180_000 if sign > 0 else 0 < begins[-1] <= 180_000


def test_an_earlier_runs_part_is_resumed(site, fetch, tmp_path):
    site.drops = [100_000] * 1 + [0] * (transfer.ATTEMPTS - 1)
    with pytest.raises(PipelineError, match=r"gave up after 6 attempts.*to resume"):
        fetch()
    assert names(tmp_path) == ["a.zip.part", "a.zip.part.validator"]
    site.asked.clear()
    fetch()
    assert site.asked == [("GET", "a.zip", "bytes=100000-")]
    assert names(tmp_path) == ["a.zip"]


def test_a_complete_part_is_not_asked_for(site, fetch, tmp_path):
    begun(tmp_path, DATA, "x")
    fetch()
    assert site.asked == []
    assert names(tmp_path) == ["a.zip"]


def test_a_server_without_ranges_sends_the_whole_again(site, fetch, tmp_path):
    site.ranges, site.drops = False, [100_000, 50_000]
    shown = fetch()
    assert (tmp_path / "a.zip").read_bytes() == DATA
    assert [r for _, _, r in site.asked] == [None, "bytes=100000-", "bytes=50000-"]
    assert shown != sorted(shown)


def test_a_file_that_changed_in_between_is_not_mixed_with_the_old_one(site, fetch, tmp_path):
    site.drops = [100_000] + [0] * (transfer.ATTEMPTS - 1)
    with pytest.raises(PipelineError):
        fetch()
    site.files["a.zip"] = OTHER
    fetch(OTHER)
    assert (tmp_path / "a.zip").read_bytes() == OTHER
    assert site.asked[-1] == ("GET", "a.zip", "bytes=100000-")


@pytest.mark.parametrize(("validators", "resumed"), [
    ({"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, True),
    ({"ETag": 'W/"weak"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, True),
    ({"ETag": 'W/"weak"'}, False),
    ({}, False),
])
def test_only_what_identifies_the_file_lets_it_be_resumed(site, fetch, validators, resumed):
    site.validators, site.drops = validators, [100_000]
    fetch()
    assert site.asked[1] == ("GET", "a.zip", "bytes=100000-" if resumed else None)


def test_a_part_longer_than_the_file_is_not_kept(site, fetch, tmp_path):
    begun(tmp_path, OTHER + b"more", "x")
    fetch()
    assert site.asked == [("GET", "a.zip", None)]
    begun(tmp_path, OTHER + b"more", "y")
    (tmp_path / "a.zip").unlink()
    site.validators = {"ETag": "y"}
    fetch(size=None)
    assert [r for _, _, r in site.asked[1:]] == ["bytes=300004-", None]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_wrong_file_is_deleted_and_the_next_run_starts_over(site, fetch, tmp_path):
    site.files["a.zip"] = OTHER
    with pytest.raises(PipelineError, match=r"a\.zip: differs\. It was deleted"):
        fetch()
    assert names(tmp_path) == []
    site.files["a.zip"] = DATA
    fetch()
    assert names(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("chunked", [False, True])
def test_another_length_than_published_is_an_error(site, fetch, tmp_path, chunked):
    site.chunked = chunked
    with pytest.raises(PipelineError, match=r"300000 bytes|longer than the 299999 bytes"):
        fetch(DATA[:-1])
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_a_busy_server_is_asked_again(site, fetch, tmp_path, status):
    site.answers = [(status, {}), (status, {"Retry-After": "0"})]
    fetch()
    assert len(site.asked) == 3


@pytest.mark.parametrize(("status", "words"), [
    (401, "password"), (403, "refuses"), (404, "not there"), (410, "Gone")])
def test_a_refusal_is_final(site, fetch, status, words):
    site.answers = [(status, {})]
    with pytest.raises(PipelineError, match=rf"a\.zip: HTTP {status}.*{words}") as caught:
        fetch()
    assert caught.value.exit_code == 1
    assert len(site.asked) == 1


def test_attempts_are_bounded(site, fetch):
    site.answers = [(503, {})] * 100
    with pytest.raises(PipelineError, match=r"HTTP 503.*gave up after 6 attempts"):
        fetch()
    assert len(site.asked) == transfer.ATTEMPTS


def test_an_attempt_that_brought_much_starts_a_new_count(site, fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "ENOUGH", 20_000)
    site.drops = [20_000] * 14
    fetch()
    assert len(site.asked) == 15


def test_pauses_grow_and_follow_the_servers_wish(site, fetch, monkeypatch):
    pauses = []
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(time, "sleep", pauses.append)
    site.answers = [(503, {}), (429, {"Retry-After": "7"}), (503, {}), (503, {})]
    fetch()
    assert pauses == [1, 7, 4, 8]
    site.answers = [(429, {"Retry-After": "3600"})]
    with pytest.raises(PipelineError, match="asks to wait for 3600 s"):
        transfer.read(f"{site.url}/a.zip")


def test_no_server_is_an_error_after_some_attempts(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PipelineError, match=r"[Rr]efused; gave up after 6 attempts"):
        transfer.read(f"http://127.0.0.1:{port}/a")


def test_a_silent_server_is_given_up(monkeypatch):
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 0.05)
    with (socket.create_server(("127.0.0.1", 0)) as silent,
          pytest.raises(PipelineError, match="timed out; gave up")):
        transfer.read(f"http://127.0.0.1:{silent.getsockname()[1]}/a")


def test_a_redirect_keeps_the_range(site, fetch, tmp_path):
    site.files["b.zip"] = DATA
    site.answers, site.drops = [(302, {"Location": "/b.zip"}), (200, {}),
                                (302, {"Location": f"{site.url}/b.zip"})], [100_000]
    fetch()
    assert site.asked == [("GET", "a.zip", None), ("GET", "b.zip", None),
                          ("GET", "a.zip", "bytes=100000-"), ("GET", "b.zip", "bytes=100000-")]
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_redirect_out_of_encryption_is_refused(site, monkeypatch):
    site.files["a"] = b"1"
    opener = urllib.request.build_opener()
    monkeypatch.setattr(urllib.request, "urlopen",
                        lambda request, timeout: opener.open(f"{site.url}/a"))
    with pytest.raises(PipelineError, match=r"redirects to http:.*not encrypted"):
        transfer.read("https://data.example/a")


def test_the_environments_proxy_is_used(site, monkeypatch):
    site.files["http://data.example/a"] = b"by way of the proxy"
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr("urllib.request._opener", None)  # where urllib keeps an earlier environment
    assert transfer.read("http://data.example/a") == b"by way of the proxy"


def test_a_full_disk_names_the_file_and_the_download_is_resumed(site, fetch, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)],
                             capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    options = {"size": len(DATA), "find_fault": compare(DATA), "show": lambda n: None}
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            transfer.fetch(f"{site.url}/a.zip", disk / "a.zip", **options)
        assert caught.value.filename == str(disk / "a.zip.part")
        assert len(site.asked) == 1, "the server is not to blame"
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        transfer.fetch(f"{site.url}/a.zip", disk / "a.zip", **options)
        assert site.asked[-1][2] is not None
        assert (disk / "a.zip").read_bytes() == DATA
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_killed_download_is_resumed(site, fetch, tmp_path):
    site.seconds_per_chunk = 0.05
    code = (
        "import sys; from pathlib import Path; from pipeline.published import transfer\n"
        "transfer.fetch(sys.argv[1], Path(sys.argv[2]), size=300_000, find_fault=lambda p: None,\n"
        "               show=lambda n: None)"
    )
    root = transfer.__file__.rpartition("/pipeline/")[0]
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"{site.url}/a.zip", str(tmp_path / "a.zip")],
        env={**os.environ, "PYTHONPATH": root})
    part, deadline = tmp_path / "a.zip.part", time.monotonic() + 30
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a.zip").exists()
    here = part.stat().st_size
    assert 0 < here < len(DATA)
    site.seconds_per_chunk = 0.0
    fetch()
    assert site.asked[-1] == ("GET", "a.zip", f"bytes={here}-")
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_name_that_is_not_found_is_asked_for_less_often(monkeypatch, capsys):
    asked = []

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(PipelineError) as caught:
        transfer.read("http://data.example/a")
    assert str(caught.value) == (
        "http://data.example/a: no connection to data.example (name not found); is there a "
        "network? Gave up after 3 attempts. Run the same command to try again")
    assert asked == ["data.example"] * transfer.NAME_ATTEMPTS


def test_an_empty_file_is_a_file(site, fetch, tmp_path):
    site.files["a.zip"] = b""
    fetch(b"")
    assert (tmp_path / "a.zip").read_bytes() == b""
    assert names(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("location", ["http://[::1", "http://a..b/", "http://a:port/"])
def test_a_redirect_to_no_address_is_an_error_at_once(site, fetch, location):
    site.answers = [(302, {"Location": location})]
    with pytest.raises(PipelineError, match=r"a\.zip: leads to something that is not an address"):
        fetch()
    assert len(site.asked) == 1


def test_headers_that_are_no_numbers_are_ignored(site, fetch, tmp_path):
    site.answers = [(503, {"Retry-After": "\u00b2"}), (503, {"Retry-After": "9" * 5000})]
    fetch()
    assert (tmp_path / "a.zip").read_bytes() == DATA
