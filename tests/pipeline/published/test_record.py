"""What a publisher offers, and records that are not what they should be."""

import json
import re

import pytest

from pipeline.published import record, transfer
from pipeline.published.catalogue import BYTES_PER_HOUR, DATASETS
from pipeline.published.record import RemoteFile, folder_address, list_files
from pipeline.runtime.errors import PipelineError, UsageError

MD5 = "0123456789abcdef0123456789abcdef"
ENTRY = {
    "id": "39922d36-4a0f-4650-9a07-53c703528e62", "key": "FSDKaggle2019.meta.zip", "size": 12,
    "checksum": f"md5:{MD5}",
    # As Zenodo has answered: an address that has no such file.
    "links": {"self": "https://zenodo.org/api/records/1/files/39922d36-4a0f-4650-9a07-53c703528e62"},
}


def test_the_catalogue_is_complete():
    for name, dataset in DATASETS.items():
        assert dataset.licence.startswith("CC BY"), name
        assert (dataset.zenodo is None) != (dataset.archive is None), name
        assert (dataset.archive is None) == (dataset.archive_bytes is None), name
        assert dataset.expected, name
        assert 1e8 < dataset.hours * BYTES_PER_HOUR < 1e11, name


def test_zenodo_is_asked_for_the_record_of_the_data_set(monkeypatch):
    asked = []

    def read(url):
        asked.append(url)
        return json.dumps({"files": [ENTRY]}).encode()

    monkeypatch.setattr(transfer, "read", read)
    assert list_files(DATASETS["fsdkaggle2019"], None) == (RemoteFile(
        "FSDKaggle2019.meta.zip",
        "https://zenodo.org/records/3612637/files/FSDKaggle2019.meta.zip", 12, MD5),)
    assert asked == ["https://zenodo.org/api/records/3612637"]


def test_github_has_one_archive_of_unknown_size(monkeypatch):
    monkeypatch.setattr(transfer, "length_of", lambda url: None)
    for name in ("esc10", "esc50"):
        assert list_files(DATASETS[name], None) == (RemoteFile(
            "master.zip", "https://github.com/karolpiczak/ESC-50/archive/master.zip", None, None),)


def test_a_mirror_has_the_files_and_the_record(site):
    site.publish({"a b.z01": b"1", "a b.zip": b"23"})
    files = list_files(DATASETS["fsdkaggle2018"], site.url + "/")
    assert [(file.name, file.url, file.size) for file in files] == [
        ("a b.z01", f"{site.url}/a%20b.z01", 1), ("a b.zip", f"{site.url}/a%20b.zip", 2)]
    site.files["master.zip"] = b"12345"
    (file,) = list_files(DATASETS["esc50"], site.url)
    assert (file.url, file.size, file.md5) == (f"{site.url}/master.zip", 5, None)


@pytest.mark.parametrize("mirror", ["server/folder", "ftp://server", "file:///etc", "http://", ""])
def test_a_mirror_needs_an_address(mirror):
    with pytest.raises(UsageError, match=r"does not begin with http://.*; needs an address such"):
        list_files(DATASETS["fsdkaggle2019"], mirror)


@pytest.mark.parametrize(("mirror", "fault"), [
    ("http://[::1", "has a bracket too many or too few"),
    ("http://[::1]x/", "has a bracket too many or too few"),
    ("http://a..b/", "'a..b' is not a host's name"),
    (f"http://{'a' * 64}.org", "is not a host's name"),
    ("http://caf\udce9/", "is not a host's name"),
    ("http://:80/", "the name of the host is missing"),
    ("http://127.0.0.1:port/", "the port is 'port', not a number from 1 to 65535"),
    ("http://127.0.0.1:65536/", "the port is '65536'"),
    ("http://127.0.0.1:\u00b2/", "the port is"),
    ("http://::1/", "is missing"),
    ("http://a b/", "there is a space in the host's name 'a b'"),
    ("http://a/b\nc", "has the control character"),
    ("http://me:secret@host/", "a user name and a password in the address are not supported"),
])
def test_what_is_wrong_with_an_address_is_said_before_anything_is_sent(mirror, fault, monkeypatch):
    monkeypatch.setattr(transfer, "read", None)
    with pytest.raises(UsageError, match=re.escape(fault)):
        list_files(DATASETS["fsdkaggle2019"], mirror)


@pytest.mark.parametrize(("mirror", "sent"), [
    ("http://server/kl\u00e4nge 1/", "http://server/kl%C3%A4nge%201"),
    ("http://server/a%20b/100%", "http://server/a%20b/100%25"),
    ("http://server/caf\udce9", "http://server/caf%E9"),
    ("https://kl\u00e4nge.example:8080", "https://xn--klnge-hra.example:8080"),
    ("http://[::1]:80/a", "http://[::1]:80/a"),
    ("http://server?a=b", "http://server?a=b"),
])
def test_an_address_is_encoded_as_servers_expect_it(mirror, sent):
    assert folder_address(mirror) == sent


def test_a_mirrors_folder_may_have_any_name(site):
    site.publish({"a.zip": b"1"})
    site.files["ok/%C3%A9/record.json"] = site.files.pop("record.json")
    (file,) = list_files(DATASETS["fsdkaggle2018"], f"{site.url}/ok/\u00e9")
    assert file.url == f"{site.url}/ok/%C3%A9/a.zip"


@pytest.mark.parametrize("answer", [
    b"<html>sign in to the network</html>", b"", b"[]", b"{}", b'{"files": 1}', b'{"files": []}',
    *(json.dumps({"files": [{**ENTRY, **change}]}).encode() for change in (
        {"key": "../up.zip"}, {"key": "/etc/x"}, {"key": ".hidden"}, {"key": "a\\b.zip"},
        {"key": None}, {"size": "12"}, {"size": -1}, {"size": None}, {"checksum": "md5:12"},
        {"checksum": "sha256:" + "0" * 64}, {"checksum": None})),
    json.dumps({"files": [ENTRY, ENTRY]}).encode(), b"\xff\xfe",
    b"[" * 200_000, json.dumps({"files": [{**ENTRY, "size": 10**400}]}).encode(),
])
def test_what_is_no_record_is_refused(site, answer):
    site.files["record.json"] = answer
    with pytest.raises(PipelineError, match=r"record\.json: (not a Zenodo record|lists no files)"):
        list_files(DATASETS["fsdkaggle2019"], site.url)


def test_no_record_is_an_error(site):
    with pytest.raises(PipelineError, match="HTTP 404"):
        list_files(DATASETS["fsdkaggle2019"], site.url)
    assert record.RECORD == "record.json"
