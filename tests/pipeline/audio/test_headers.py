"""Every way in which a file is not the audio that it should be, one by one."""

import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio import containers, headers
from pipeline.audio.file_header import Header
from pipeline.runtime.problems import Problem

SR = 44_100
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, SR).astype(np.float32)
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "esc10" / "audio"

# format, suffix, subtype; all of one second
WHOLE = [
    ("WAV", "wav", "PCM_16"), ("WAVEX", "wav", "PCM_24"), ("WAV", "wav", "FLOAT"),
    ("RF64", "rf64", "PCM_16"), ("W64", "w64", "PCM_16"), ("AIFF", "aiff", "PCM_16"),
    ("AU", "au", "PCM_16"), ("CAF", "caf", "PCM_16"), ("FLAC", "flac", "PCM_16"),
    ("OGG", "ogg", "VORBIS"), ("OGG", "opus", "OPUS"), ("MP3", "mp3", "MPEG_LAYER_III"),
]
# A FLAC file that was cut shows only when it is decoded.
CUTTABLE = [one for one in WHOLE if one[0] != "FLAC"]


def encode(path: Path, format: str, subtype: str, **options) -> bytes:
    sr = 48_000 if subtype == "OPUS" else SR
    soundfile.write(path, NOISE, sr, format=format, subtype=subtype, **options)
    return path.read_bytes()


def wav(
    frames: int = 100, *, sr: int = SR, channels: int = 1, riff: int | None = None,
    data: int | None = None, before: bytes = b"", after: bytes = b"",
) -> bytes:
    """A 16-bit WAV file by hand; `riff` and `data` are the sizes that its chunks declare."""
    audio = bytes(2 * channels * frames)
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, sr, min(2 * channels * sr, 2**32 - 1),
                      2 * channels, 16)
    rest = b"WAVE" + fmt + before + struct.pack(
        "<4sI", b"data", len(audio) if data is None else data) + audio + after
    return struct.pack("<4sI", b"RIFF", len(rest) if riff is None else riff) + rest


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.wav"


def checked(path: Path, data: bytes | None = None) -> Header | tuple[str, str, str]:
    if data is not None:
        path.write_bytes(data)
    found = headers.check(path, "a.wav")
    if isinstance(found, Problem):
        assert found.where == "a.wav"
        return found.reason, found.found, found.advice
    return found


@pytest.mark.parametrize(("format", "suffix", "subtype"), WHOLE)
def test_whole_files(tmp_path, format, suffix, subtype):
    path = tmp_path / f"a.{suffix}"
    encode(path, format, subtype)
    info = soundfile.info(path)
    assert checked(path) == Header(info.format, subtype, info.samplerate, 1, len(NOISE))
    assert len(soundfile.read(path)[0]) == len(NOISE)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize(("format", "suffix", "subtype"), CUTTABLE)
def test_files_that_were_cut(tmp_path, format, suffix, subtype, share):
    path = tmp_path / f"a.{suffix}"
    data = encode(path, format, subtype)
    assert checked(path, data[:int(share * len(data))])[0] == "truncated"


@pytest.mark.parametrize(("format", "suffix", "subtype"), [
    one for one in CUTTABLE if one[0] not in ("MP3", "OGG")])
def test_one_byte_is_missing(tmp_path, format, suffix, subtype):
    path = tmp_path / f"a.{suffix}"
    reason, found, _ = checked(path, encode(path, format, subtype)[:-1])
    assert reason == "truncated"
    assert "bytes of audio" in found


def test_big_endian_wav(path):
    data = encode(path, "WAV", "PCM_16", endian="BIG")
    assert data[:4] == b"RIFX"
    assert checked(path).frames == len(NOISE)
    assert checked(path, data[:-2])[0] == "truncated"


def test_truncation_is_told_in_bytes(path):
    assert checked(path, wav(100)[:-50])[:2] == (
        "truncated", "its header declares 200 bytes of audio, it has 150")


def test_cut_inside_the_header(path):
    for length in (20, 36, 40):
        assert checked(path, wav()[:length])[0] == "truncated"


def test_riff_without_audio_is_no_cut_file(path):
    whole = b"WAVE" + wav()[12:36]
    reason, found, _ = checked(path, struct.pack("<4sI", b"RIFF", len(whole)) + whole)
    assert reason == "not-audio"
    assert "data" in found


def test_chunks_around_the_audio(path):
    tags = struct.pack("<4sI", b"LIST", 5001) + bytes(5002)  # odd, so padded; beyond the first read
    assert checked(path, wav(100, before=tags)).frames == 100
    assert checked(path, wav(100, after=tags)).frames == 100
    assert checked(path, wav(100, before=tags)[:-2])[0] == "truncated"
    assert checked(path, wav(100) + b"garbage at the end").frames == 100


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
def test_streamed_wav_has_the_length_that_is_there(path, declared):
    assert checked(path, wav(100, riff=declared, data=declared)).frames == 100


def test_recorder_that_did_not_finish(path):
    # libsndfile mends a header that was written before anything else was, and no other.
    assert checked(path, wav(100, riff=8, data=0)).frames == 100
    assert checked(path, wav(100, data=0))[0] == "no-samples"


def test_zeros_after_a_riff_header_end_soon(path):
    assert checked(path, b"RIFF\x00\x10\x00\x00WAVE" + bytes(4_000_000))[0] == "not-audio"


@pytest.mark.parametrize("declared", [0, 0xFFFFFFFF, 0x7F000008])
def test_streamed_aiff(tmp_path, declared):
    path = tmp_path / "a.aiff"
    data = bytearray(encode(path, "AIFF", "PCM_16"))
    at = data.index(b"SSND") + 4
    data[at:at + 4] = struct.pack(">I", declared)
    assert checked(path, data).frames == len(NOISE)


def test_ogg_that_ends_between_pages(tmp_path):
    path = tmp_path / "a.ogg"
    data = encode(path, "OGG", "VORBIS")
    reason, found, _ = checked(path, data[:data.rfind(b"OggS")])
    assert (reason, "not marked as the end" in found) == ("truncated", True)
    reason, found, _ = checked(path, data[:-1])
    assert (reason, "incomplete" in found) == ("truncated", True)
    assert checked(path, data + b"TAG").frames == len(NOISE)


def test_mpeg_is_counted(tmp_path):
    path = tmp_path / "a.mp3"
    data = encode(path, "MP3", "MPEG_LAYER_III")
    assert b"Xing" in data[:200] or b"Info" in data[:200]
    reason, found, _ = checked(path, data[:len(data) // 2])
    assert reason == "truncated"
    assert "44,100 samples" in found
    # Without its first frame, which declares the length, a file is as long as it is.
    bare = data[data.index(data[:2], 4):]
    path.write_bytes(bare)
    assert checked(path).frames == len(soundfile.read(path)[0])


def test_flac_of_unknown_length(tmp_path):
    path = tmp_path / "a.flac"
    data = bytearray(encode(path, "FLAC", "PCM_16"))
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = bytes(4)
    assert checked(path, data)[0] == "no-length"


def test_missing_file(path):
    assert checked(path)[0] == "missing"
    assert checked(path / "below")[0] == "missing"
    assert checked(path.with_name("x" * 300))[0] == "missing"


def test_a_file_is_no_folder(path):
    path.write_bytes(b"x")
    assert checked(path / "a.wav")[0] == "missing"


def test_folder(path):
    path.mkdir()
    assert checked(path)[:2] == ("not-a-file", "it is a folder")


def test_pipe_is_not_opened(path):
    os.mkfifo(path)
    assert checked(path)[:2] == ("not-a-file", "it is a pipe")


def test_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.wav")
        assert checked(Path("a.wav"))[:2] == ("not-a-file", "it is a socket")


def test_device():
    assert checked(Path("/dev/null"))[:2] == ("not-a-file", "it is a device")


def test_empty(path):
    assert checked(path, b"")[0] == "empty"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(path):
    path.write_bytes(wav())
    path.chmod(0)
    assert checked(path)[0] == "unreadable"


def test_unreadable_as_the_system_says_it(path, monkeypatch):
    path.write_bytes(wav())

    def refuse(*args):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    assert checked(path)[:2] == ("unreadable", "Permission denied")


def test_disk_error(path, monkeypatch):
    path.write_bytes(wav())

    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    assert checked(path)[:2] == ("unreadable", "Input/output error")


def test_link_that_goes_round(path):
    path.symlink_to(path)
    assert checked(path)[0] == "unreadable"


@pytest.mark.parametrize(("data", "like", "advice"), [
    (b"<!DOCTYPE html>\n<html><body>403</body></html>", "an HTML page", "download refused"),
    (b"\n  <HTML>", "an HTML page", "download refused"),
    (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML document", "download refused"),
    (b'{"error": "rate limit"}', "JSON", "download refused"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS", "git lfs pull"),
    (b"/annex/objects/SHA256E-s1--0.wav", "git-annex", "git annex get"),
    (b"PK\x03\x04" + bytes(50), "a zip archive", "Unpack"),
    (b"\x1f\x8b\x08" + bytes(50), "a gzip archive", "Unpack"),
    (b"\0\0\0\x20ftypM4A " + bytes(50), "MPEG-4", "ffmpeg"),
    (b"\x1a\x45\xdf\xa3" + bytes(50), "WebM", "ffmpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(50), "Windows Media", "ffmpeg"),
    (bytes(5000), "zeros only", "interrupted"),
    (b"just a note to myself\n", "text", "right file"),
    (b"\x91\x02\x88" * 999, "", "convert"),
])
def test_what_is_no_audio(path, data, like, advice):
    reason, found, advised = checked(path, data)
    assert reason == "not-audio"
    assert found.startswith("Format not recognised")
    assert like in found
    assert advice in advised


def test_not_audio_has_libsndfiles_words(path):
    assert checked(path, wav(channels=0))[:2] == ("not-audio", "Channel count is zero")


def test_raw_file(tmp_path):
    path = tmp_path / "a.RAW"
    assert checked(path, wav())[:2] == ("not-audio", "a raw file has no header")


@pytest.mark.parametrize(("format", "suffix", "subtype"), [
    ("MP3", "wav", "MPEG_LAYER_III"), ("FLAC", "wav", "PCM_16"), ("WAV", "mp3", "PCM_16"),
    ("WAV", "FLAC", "PCM_16"), ("OGG", "mp3", "VORBIS"), ("W64", "wav", "PCM_16"),
])
def test_wrong_format(tmp_path, format, suffix, subtype):
    encode(tmp_path / "whole", format, subtype)
    path = (tmp_path / "whole").rename(tmp_path / f"a.{suffix}")
    reason, found, advice = checked(path)
    assert (reason, found) == ("wrong-format", f"it holds {format} audio")
    assert "Rename" in advice


@pytest.mark.parametrize("suffix", ["au", "snd", "gsm", "vox"])
def test_headerless_files_are_not_guessed_at(tmp_path, suffix):
    reason, found, _ = checked(tmp_path / f"a.{suffix}", b"\x91\x02\x88" * 999)
    assert (reason, "guess" in found) == ("not-audio", True)


def test_a_suffix_that_promises_nothing(tmp_path):
    assert checked(tmp_path / "a.sound", wav()).format == "WAV"


def test_no_samples(path):
    assert checked(path, wav(0))[0] == "no-samples"


@pytest.mark.parametrize(("sr", "good"), [(999, False), (1_000, True), (768_000, True),
                                          (768_001, False)])
def test_rates(path, sr, good):
    found = checked(path, wav(sr=sr))
    assert isinstance(found, Header) if good else found[0] == "bad-rate"


@pytest.mark.parametrize(("channels", "good"), [(64, True), (65, False)])
def test_channels(path, channels, good):
    found = checked(path, wav(channels=channels))
    assert found == Header("WAV", "PCM_16", SR, 64, 100) if good else found[0] == "bad-channels"


def test_every_byte_can_be_the_last(tmp_path):
    """However short a file is cut, it is never taken for a whole one, and nothing is raised."""
    for format, suffix, subtype in (("WAV", "wav", "PCM_16"), ("RF64", "rf64", "PCM_16"),
                                    ("W64", "w64", "PCM_16"), ("AIFF", "aiff", "PCM_16"),
                                    ("AU", "au", "PCM_16")):
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, NOISE[:20], SR, format=format, subtype=subtype)
        data = path.read_bytes()
        assert isinstance(checked(path), Header)
        for length in range(len(data)):
            reason = checked(path, data[:length])[0]
            assert reason in ("empty", "truncated", "not-audio", "no-samples")


def test_missing_of_nothing(path):
    path.write_bytes(b"OggS")
    with open(path, "rb") as file:
        assert containers.missing(file.fileno(), b"OggS", 4)
        assert containers.missing(file.fileno(), b"", 0) == ""


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings are not here")
def test_real_recordings_pass():
    found = [headers.check(path, path.name) for path in sorted(REAL.iterdir())]
    assert len(found) == 240
    assert all(isinstance(header, Header) for header in found)


# A data set's files, and the memory of what was found in them
