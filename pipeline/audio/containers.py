"""Detect truncated audio files and files that are not audio, from their first and last bytes.

Sources: the RIFF and RF64 specifications (EBU Tech 3306), Sony's Wave64, Apple's AIFF and CAF,
Sun's AU header, and RFC 3533 for Ogg.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

HEAD = 4096  # bytes; enough for the headers of nearly every file

# A header written before the length was known has 0, -1 or a huge number there (SoX writes
# 0x7FFFF000, ffmpeg 0xFFFFFFFF); no clip is that long.
_UNKNOWN = 0x7F00_0000
# A real file has a handful of chunks before its audio; zeros would read as millions.
_MOST_CHUNKS = 1000
_MOST_PAGE = 27 + 255 + 255 * 255  # bytes of the longest Ogg page


@dataclass(frozen=True)
class _Chunks:
    """Layout of a container's chunks, and the name of the one with the audio."""

    start: int
    header: struct.Struct
    audio: bytes
    aligned: int = 1
    counts_header: bool = False


_RIFF = _Chunks(12, struct.Struct("<4sI"), b"data", aligned=2)
_CONTAINERS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"RIFX": _Chunks(12, struct.Struct(">4sI"), b"data", aligned=2),
    b"FORM": _Chunks(12, struct.Struct(">4sI"), b"SSND", aligned=2),
    b"caff": _Chunks(8, struct.Struct(">4sq"), b"data"),
    b"riff": _Chunks(40, struct.Struct("<16sQ"),
                     bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"), 8, counts_header=True),
}

# Files that are often found in place of audio: first bytes (in lower case), name, advice.
_OTHERS = (
    (b"version https://git-lfs", "a Git LFS pointer", "Run git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer", "Run git annex get"),
    (b"<!doctype html", "an HTML page", "Was the download refused? Get the file again"),
    (b"<html", "an HTML page", "Was the download refused? Get the file again"),
    (b"<?xml", "an XML document", "Was the download refused? Get the file again"),
    (b"{", "JSON", "Was the download refused? Get the file again"),
    (b"[", "JSON", "Was the download refused? Get the file again"),
    (b"pk\x03\x04", "a zip archive", "Unpack it"),
    (b"\x1f\x8b", "a gzip archive", "Unpack it"),
    (b"\x1ae\xdf\xa3", "Matroska or WebM", "Convert it to WAV or FLAC with ffmpeg"),
    (b"0&\xb2u\x8ef\xcf\x11", "Windows Media audio", "Convert it to WAV with ffmpeg"),
)


def missing(file: int, head: bytes, size: int) -> str:
    """Describe what a container declares and the file lacks; empty if nothing is missing.

    Parameters
    ----------
    file : int
        The open file's descriptor.
    head : bytes
        Its first :data:`HEAD` bytes.
    size : int
        Its size (in bytes).

    Returns
    -------
    str
        Empty too if the container declares no length, or its length cannot be read from the header
        (FLAC, MPEG).
    """
    magic = head[:4]
    if magic == b"OggS":
        return _missing_ogg(os.pread(file, _MOST_PAGE, max(0, size - _MOST_PAGE)))
    if magic == b".snd" and len(head) >= 12:
        start, declared = struct.unpack(">II", head[4:12])
        return _compare(declared, size - start)
    if chunks := _CONTAINERS.get(magic):
        return _missing_chunks(chunks, file, head, size)
    return ""


def guess_format(head: bytes) -> tuple[str, str]:
    """Guess what a file is that is not audio; returns a description and an advice."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for begins, name, advice in _OTHERS:
        if text.startswith(begins):
            return f"it looks like {name}", advice
    if head[4:8] == b"ftyp":
        return "it looks like MPEG-4 (AAC)", "Convert it to WAV or FLAC with ffmpeg"
    if not head.strip(b"\0"):
        return "it begins with zeros only", "Was the download interrupted? Get the file again"
    if not any(byte < 32 and byte not in b"\t\r\n\f" for byte in head):
        return "it looks like text", "Is it the right file? Get it again"
    return "", "Get the file again, or convert it to WAV or FLAC"


def _missing_chunks(chunks: _Chunks, file: int, head: bytes, size: int) -> str:
    step, offset = chunks.header.size, chunks.start
    for _ in range(_MOST_CHUNKS):
        if offset + step > size:
            break
        raw = head[offset:offset + step]
        if len(raw) < step and len(raw := os.pread(file, step, offset)) < step:
            break
        kind, length = chunks.header.unpack(raw)
        offset += step
        if chunks.counts_header:
            length -= step
        if kind == chunks.audio:
            if head[:4] == b"RF64" and length == 0xFFFFFFFF and head[12:16] == b"ds64":
                (length,) = struct.unpack("<Q", head[28:36])
            return _compare(length, size - offset)
        if length < 0:
            return ""  # not a length; libsndfile reports it
        offset += length + -length % chunks.aligned
    if head[:4] in (b"RIFF", b"RIFX", b"FORM") and len(head) >= 8:
        (declared,) = struct.unpack("<I" if head[:4] == b"RIFF" else ">I", head[4:8])
        if size - 8 < declared < _UNKNOWN:
            return f"it ends after {size:,} bytes, before its audio begins"
    return ""


def _compare(declared: int, found: int) -> str:
    if found < declared < _UNKNOWN:
        return f"its header declares {declared:,} bytes of audio, it has {max(0, found):,}"
    return ""


def _missing_ogg(tail: bytes) -> str:
    """Check that the last page is complete and marked as the last (RFC 3533, section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")):]
    if len(page) < 27:
        return "its last Ogg page is incomplete"
    segments = page[26]
    if len(page) < 27 + segments + sum(page[27:27 + segments]):
        return "its last Ogg page is incomplete"
    return "" if page[5] & 4 else "its last Ogg page is not marked as the end of the stream"
