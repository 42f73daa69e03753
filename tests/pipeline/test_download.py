"""Downloading as a command: from a server on this machine to a folder that prepare reads."""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import soundfile

from pipeline.published import installation, transfer

NAME = "FSDKaggle2019"
SPLITS = ("train_curated", "train_noisy", "test")


def packed(files, *, top=""):
    """A zip of files, given as bytes by their paths."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(top + name, data)
    return buffer.getvalue()


def wav(y, sr=44100):
    buffer = io.BytesIO()
    soundfile.write(buffer, y, sr, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != installation.MARKER}


@pytest.fixture(scope="module")
def clips(tone):
    """The audio of a small FSDKaggle2019, and its tables, by split."""
    result = {}
    for i, split in enumerate(SPLITS):
        names = [f"{i}{k:07x}.wav" for k in range(8)]
        audio = {name: wav(tone(0.2, seed=8 * i + k)) for k, name in enumerate(names)}
        usage = ",usage" if split == "test" else ""
        rows = [f'{name},"{("Bark", "Bark,Meow", "Meow")[k % 3]}"' + (",Public" if usage else "")
                for k, name in enumerate(names)]
        result[split] = audio, "\n".join([f"fname,labels{usage}", *rows, ""]).encode()
    return result


@pytest.fixture(scope="module")
def published(clips, split):
    """FSDKaggle2019 as it is on Zenodo: zips of a folder each, that of the noisy clips split."""
    files = {}
    for part, (audio, _) in clips.items():
        data = packed(audio, top=f"{NAME}.audio_{part}/")
        if part != "train_noisy":
            files[f"{NAME}.audio_{part}.zip"] = data
            continue
        *first, last = split(data, [9_000, 30_000], wide=True, end64=True)
        files |= {f"{NAME}.audio_{part}.z{i:02d}": piece for i, piece in enumerate(first, 1)}
        files[f"{NAME}.audio_{part}.zip"] = last
    tables = {f"{part}_post_competition.csv": table for part, (_, table) in clips.items()}
    files[f"{NAME}.meta.zip"] = packed(
        {**tables, "vocabulary.csv": b"0,Bark,/m/1\n1,Meow,/m/2\n"}, top=f"{NAME}.meta/")
    files[f"{NAME}.doc.zip"] = packed({"LICENSE-DATASET": b"CC BY"}, top=f"{NAME}.doc/")
    return files


@pytest.fixture(scope="module")
def esc50(tone):
    """ESC-50 as GitHub packs it: two folds of two classes, one of them in ESC-10."""
    rows, files = [], {}
    for fold in (1, 2):
        for target, category in ((0, "dog"), (1, "rooster")):
            name = f"{fold}-100-A-{target}.wav"
            rows.append(f"{name},{fold},{target},{category},{target == 0},100,A")
            files[f"audio/{name}"] = wav(tone(0.1, seed=fold * 10 + target))
    header = "filename,fold,target,category,esc10,src_file,take"
    files["meta/esc50.csv"] = "\n".join([header, *rows, ""]).encode()
    files["LICENSE"] = b"attributions"
    return packed(files, top="ESC-50-master/"), files


@pytest.fixture
def download(call_stage, site, tmp_path):
    """Download into tmp_path / "out" from the site; how it ended."""
    def call(name="fsdkaggle2019", *flags):
        return call_stage("download", name, "--mirror", site.url, "--out", tmp_path / "out", *flags)

    return call


# The whole way


def test_a_downloaded_data_set_can_be_prepared(
        site, published, clips, download, call_stage, tmp_path):
    site.publish(published)
    ended = download()
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^  licence: CC BY 4\.0", ended.out, re.MULTILINE)
    assert f"from: {site.url} (size and MD5 are published)" in ended.out
    assert ended.out.splitlines()[-1] == (
        f"download: {tmp_path}/out: 29 files, verified and unpacked. "
        f"Next: python -m pipeline.prepare --data {tmp_path}/out")
    found = tree(tmp_path / "out")
    for part, (audio, table) in clips.items():
        assert {name: found[f"{NAME}.audio_{part}/{name}"] for name in audio} == audio
        assert found[f"{NAME}.meta/{part}_post_competition.csv"] == table
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    prepared = call_stage("prepare", "--data", tmp_path / "out", "--out", tmp_path / "prepared",
                          "--folds", 2)
    assert (prepared.code, prepared.err) == (0, "")
    assert "fsdkaggle2019, 2 classes, 24 clips" in prepared.out


def test_a_second_run_does_nothing_and_asks_nobody(site, published, download):
    site.publish(published)
    download()
    site.asked.clear()
    ended = download()
    assert (ended.code, ended.err) == (0, "")
    assert "already holds FSDKaggle2019, nothing to do" in ended.out
    assert site.asked == []


def test_kept_archives_are_unpacked_again_without_a_download(site, published, download, tmp_path):
    site.publish(published)
    ended = download("fsdkaggle2019", "--keep-archives")
    assert f"the archives are in {tmp_path}/out.download" in ended.out
    kept = tree(tmp_path / "out.download")
    assert {name: kept[name] for name in published} == published
    before = tree(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    site.asked.clear()
    assert download().code == 0
    assert [name for _, name, _ in site.asked] == ["record.json"]
    assert tree(tmp_path / "out") == before
    assert not (tmp_path / "out.download").exists()


def test_dry_run_downloads_no_archive(site, published, download, tmp_path):
    site.publish(published)
    ended = download("fsdkaggle2019", "--dry-run")
    assert ended.code == 0
    assert [name for _, name, _ in site.asked] == ["record.json"]
    total = sum(map(len, published.values())) / 1e3
    assert re.search(rf"^  download: 7 files, {total:.3g} kB$", ended.out, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "n_clips"), [("esc50", 4), ("esc10", 2)])
def test_esc_is_unpacked_without_the_branchs_folder(site, esc50, download, tmp_path, name, n_clips):
    archive, files = esc50
    site.files["master.zip"] = archive
    ended = download(name)
    assert (ended.code, ended.err) == (0, "")
    assert "no checksum is published" in ended.out
    found = tree(tmp_path / "out")
    table = files["meta/esc50.csv"].decode().splitlines()
    if name == "esc10":
        table = [table[0], *(row for row in table[1:] if ",True," in row)]
        files = {n: data for n, data in files.items() if not n.endswith("-1.wav")}
    assert found == {**files, "meta/esc50.csv": "\n".join([*table, ""]).encode()}
    assert sum(n.startswith("audio/") for n in found) == len(table) - 1 == n_clips


def test_a_table_with_a_short_row_is_not_as_published(site, esc50, download, tmp_path):
    files = dict(esc50[1])
    files["meta/esc50.csv"] += b"x.wav,1\n"
    site.files["master.zip"] = packed(files, top="ESC-50-master/")
    ended = download("esc10")
    assert ended.code == 1
    assert "meta/esc50.csv:6: 2 cells; the header has 7" in ended.err
    assert not (tmp_path / "out").exists()


def test_an_empty_archive_is_not_an_intact_zip(site, download, tmp_path):
    site.files["master.zip"] = b""
    ended = download("esc10")
    assert ended.code == 1
    assert "master.zip: not an intact zip: File is not a zip file. It was deleted" in ended.err


def test_an_archive_of_unknown_length_is_downloaded(site, esc50, download, tmp_path):
    site.files["master.zip"], site.chunked = esc50[0], True
    ended = download("esc50")
    assert (ended.code, ended.err) == (0, "")
    assert "download: master.zip, about 600 MB" in ended.out
    assert (tmp_path / "out/LICENSE").exists()


# What goes wrong


def test_a_wrong_checksum_stops_with_both_values(site, published, download, tmp_path):
    site.publish(published)
    bad = f"{NAME}.audio_test.zip"
    site.files[bad] = site.files[bad][:-1] + b"!"
    ended = download()
    assert ended.code == 1
    assert re.search(r"has the MD5 [0-9a-f]{32}, the published file [0-9a-f]{32}\. It was deleted",
                     ended.err)
    assert not (tmp_path / "out").exists()
    names = {path.name for path in (tmp_path / "out.download").iterdir()}
    assert names & {bad, bad + ".part"} == set()
    site.files[bad] = published[bad]
    site.asked.clear()
    assert download().code == 0
    # What was verified before is not downloaded again.
    assert f"{NAME}.audio_train_curated.zip" in names
    assert f"{NAME}.audio_train_curated.zip" not in [name for _, name, _ in site.asked]


def test_a_truncated_archive_without_a_published_checksum_is_not_kept(
        site, esc50, download, tmp_path):
    site.files["master.zip"] = esc50[0][:-100]
    ended = download("esc50")
    assert ended.code == 1
    assert "not an intact zip" in ended.err
    assert list((tmp_path / "out.download").iterdir()) == []


def test_a_hostile_archive_leaves_nothing(site, esc50, download, tmp_path):
    site.files["master.zip"] = packed({"../../up": b"1", "LICENSE": b""}, top="ESC-50-master/")
    ended = download("esc50")
    assert ended.code == 1
    assert "'ESC-50-master/../../up' is not a path inside the folder" in ended.err
    assert not tree(tmp_path)


def test_an_archive_that_lacks_what_is_expected_is_an_error(site, published, download, tmp_path):
    site.publish({name: data for name, data in published.items() if "test" not in name})
    ended = download()
    assert ended.code == 1
    assert f"the archives lack {NAME}.audio_test" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_missing_part_of_a_split_archive_is_an_error(site, published, download):
    site.publish({name: data for name, data in published.items() if not name.endswith(".z02")})
    ended = download()
    assert ended.code == 1
    assert "it was split into 3 files; 2 are here" in ended.err


@pytest.mark.parametrize("free", [100_000, 10])
def test_too_little_space_is_said_before_the_first_byte(
        site, published, download, tmp_path, monkeypatch, free):
    site.publish(published)
    usage = types.SimpleNamespace(free=free)
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: usage)
    ended = download()
    assert ended.code == 1
    assert re.search(r"needs about \S+ kB \(\S+ kB to download, about \S+ kB unpacked\); "
                     r"\S+ k?B are free", ended.err)
    assert [name for _, name, _ in site.asked] == ["record.json"]
    assert list(tmp_path.iterdir()) == []


def test_space_that_is_short_after_the_download_is_said_before_unpacking(
        site, published, download, tmp_path, monkeypatch):
    site.publish(published)
    monkeypatch.setattr(installation, "check_space", lambda plan: None)
    monkeypatch.setattr(installation, "_free", lambda path: 1000)
    ended = download()
    assert ended.code == 1
    assert "unpacked it takes" in ended.err
    assert "nothing is downloaded twice" in ended.err
    assert list((tmp_path / "out.download/unpacked").iterdir()) == []


def test_other_folders_are_not_touched(site, published, esc50, download, tmp_path):
    site.publish(published)
    site.files["master.zip"] = esc50[0]
    (tmp_path / "out").mkdir()
    assert download().code == 0  # an empty folder is no obstacle
    before = tree(tmp_path / "out")
    ended = download("esc50")
    assert (ended.code, tree(tmp_path / "out")) == (2, before)
    assert "is another data set. Remove it, or choose another folder" in ended.err
    (tmp_path / "out/download.json").unlink()
    ended = download()
    assert (ended.code, tree(tmp_path / "out")) == (2, before)
    assert "was not made by this command" in ended.err
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").write_text("a file")
    assert download().code == 2


@pytest.mark.parametrize("out", [".", "link", "a/b/c"])
def test_any_place_for_the_folder_will_do(site, esc50, call_stage, tmp_path, monkeypatch, out):
    site.files["master.zip"] = esc50[0]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "link").symlink_to(tmp_path / "target")
    (tmp_path / "target").mkdir()
    monkeypatch.chdir(tmp_path / ("target" if out == "." else "empty"))
    ended = call_stage("download", "esc50", "--mirror", site.url, "--out", out)
    assert (ended.code, ended.err) == (0, "")
    place = tmp_path / ("empty/a/b/c" if out == "a/b/c" else "target")
    assert tree(place)["LICENSE"] == b"attributions"


def test_a_mount_point_is_refused_before_the_download(site, download, tmp_path, monkeypatch):
    monkeypatch.setattr(installation.os.path, "ismount", lambda path: path == tmp_path / "out")
    ended = download()
    assert ended.code == 2
    assert f"give a folder in it, such as --out {tmp_path}/out/fsdkaggle2019" in ended.err
    assert site.asked == []


def test_two_at_once_do_not_mix(site, published, download, tmp_path):
    site.publish(published)
    with installation.locked(tmp_path / "out.download"):
        ended = download()
    assert ended.code == 1
    assert "is in use by process" in ended.err


@pytest.mark.parametrize(("flags", "words"), [
    (["nonsense"], "invalid choice"), ([], "required"), (["esc50", "--source", "web"], "source")])
def test_usage_errors(run_stage, flags, words):
    ended = run_stage("download", *flags)
    assert ended.code == 2
    assert words in ended.err


def test_no_server_is_said_at_every_attempt(call_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 0.0)
    ended = call_stage("download", "esc10", "--mirror", "http://127.0.0.1:1",
                       "--out", tmp_path / "out")
    assert ended.code == 1
    *attempts, last = ended.err.splitlines()
    assert len(attempts) == transfer.ATTEMPTS - 1
    assert all(re.fullmatch(r"  master\.zip: .*refused; trying again in 0 s", a) for a in attempts)
    assert re.fullmatch(r"download: .*refused; gave up after 6 attempts.*", last)
    assert list(tmp_path.iterdir()) == []


# Kaggle


def test_kaggles_form_can_be_prepared(clips, call_stage, tmp_path, monkeypatch):
    def answer(competition, folder):
        assert competition == "freesound-audio-tagging-2019"
        files = folder / "competitions" / competition
        for part in ("train_curated", "train_noisy"):
            (files / part).mkdir(parents=True)
            for name, data in clips[part][0].items():
                (files / part / name).write_bytes(data)
            (files / f"{part}.csv").write_bytes(clips[part][1])
        (files / "test").mkdir()
        for name, data in clips["test"][0].items():
            (files / "test" / name).write_bytes(data)
        rows = "".join(f"{name},0,0\n" for name in clips["test"][0])
        (files / "sample_submission.csv").write_text("fname,Bark,Meow\n" + rows)
        return files

    monkeypatch.setattr(installation.kaggle, "download_competition", answer)
    monkeypatch.setattr(installation, "_free", lambda path: 10**12)
    out = tmp_path / "out"
    ended = call_stage("download", "fsdkaggle2019", "--source", "kaggle", "--out", out)
    assert (ended.code, ended.err) == (0, "")
    assert "from: Kaggle, competition freesound-audio-tagging-2019" in ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    prepared = call_stage("prepare", "--data", out, "--out", tmp_path / "prepared", "--folds", 2)
    assert (prepared.code, prepared.err) == (0, "")


@pytest.mark.parametrize(("flags", "words"), [
    (["esc50"], "esc50 is not from a competition on Kaggle, which has fsdkaggle2019, fsd"),
    (["fsdkaggle2019", "--mirror", "http://x"], "--mirror needs --source publisher"),
])
def test_what_kaggle_does_not_have_is_a_usage_error(call_stage, tmp_path, flags, words):
    ended = call_stage("download", *flags, "--source", "kaggle", "--out", tmp_path / "out")
    assert ended.code == 2
    assert words in ended.err


# Interruptions


def start(stage_command, site, tmp_path):
    return subprocess.Popen(
        stage_command("download", "fsdkaggle2019", "--mirror", site.url, "--out", "out"),
        cwd=tmp_path, env=stage_command.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_download_is_resumed(
        site, published, download, stage_command, tmp_path, signum, code):
    site.publish(published)
    site.seconds_per_chunk = 0.1
    process = start(stage_command, site, tmp_path)
    parts = tmp_path / "out.download"
    wait_for(lambda: any(p.stat().st_size for p in parts.glob("*.part")), process)
    process.send_signal(signum)
    _, err = process.communicate()
    assert process.returncode == code
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    (part,) = parts.glob("*.part")
    here = part.stat().st_size
    site.seconds_per_chunk = 0.0
    site.asked.clear()
    ended = download()
    assert ended.code == 0
    assert re.search(r"^  download: 7 files, \S+ kB, \S+ kB of them here$", ended.out, re.MULTILINE)
    assert site.asked[1] == ("GET", part.name.removesuffix(".part"), f"bytes={here}-")
    assert not parts.exists()


KILLED_WHILE_UNPACKING = """
import os, signal, sys
from pathlib import Path
from pipeline import download
from pipeline.published import installation

def add(progress, n):
    written.append(n)
    if len(written) == 12:
        os.kill(os.getpid(), signal.SIGKILL)

def unpack(*arguments, original=installation._unpack):
    installation.ByteProgress.add = add
    original(*arguments)

written = []
installation._unpack = unpack
download.run(download.Settings(
    "fsdkaggle2019", Path(sys.argv[2]), "publisher", sys.argv[1], keep_archives=False))
"""


def test_a_run_killed_while_it_unpacks_leaves_no_folder_that_looks_whole(
        site, published, download, stage_command, tmp_path):
    site.publish(published)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_UNPACKING, site.url, str(tmp_path / "out")],
        env=stage_command.environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert 0 < len(tree(tmp_path / "out.download/unpacked")) < 29
    site.asked.clear()
    assert download().code == 0
    assert [name for _, name, _ in site.asked] == ["record.json"]
    assert len(tree(tmp_path / "out")) == 29


def test_the_marker_names_what_was_downloaded(site, published, download, tmp_path):
    site.publish(published)
    download()
    marker = json.loads((tmp_path / "out/download.json").read_text())
    assert marker["dataset"] == "fsdkaggle2019"
    assert set(marker["files"]) == set(published)
    assert all(len(file["md5"]) == 32 for file in marker["files"].values())
