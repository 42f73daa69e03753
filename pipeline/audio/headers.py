"""Check by their headers that files exist, are audio and are complete.

libsndfile accepts truncated files: it returns the samples of a WAV or AIFF file, or the pages of an
Ogg file, that are left. So the length that the container declares is compared with the file's size.
A truncated FLAC file is only detected when it is decoded. MPEG audio is decoded here, because its
headers only estimate a length.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pipeline.audio import containers
from pipeline.audio import decode as audio
from pipeline.audio.file_header import Header
from pipeline.runtime.problems import BadClip, Problem

# libsndfile's names of the formats that a suffix stands for; others may hold any format.
_FORMATS = {
    ".wav": ("WAV", "WAVEX", "RF64"), ".w64": ("W64",), ".rf64": ("RF64",),
    ".aif": ("AIFF",), ".aiff": ("AIFF",), ".aifc": ("AIFF",), ".au": ("AU",), ".caf": ("CAF",),
    ".flac": ("FLAC",), ".ogg": ("OGG",), ".oga": ("OGG",), ".opus": ("OGG",), ".mp3": ("MP3",),
}
GET_AGAIN, _PERMISSIONS = "Get the file again", "Check its permissions, and the disk"
_MPEG_FRAME = 1152  # samples
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's answer where a header has no length is 2^63 - 1


def check(path: Path, where: str) -> Header | Problem:
    """Read a file's header with libsndfile, or return the first thing that is wrong with the file.

    Parameters
    ----------
    path : Path
    where : str
        The clip's id, for the problem.
    """
    try:
        return examine(os.fspath(path), file_state(os.fspath(path)).st_size)
    except BadClip as bad:
        return bad.at(where)


def file_state(path: str) -> os.stat_result:
    """Return the state of a regular file; raises BadClip if there is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise BadClip("missing", "no such file", GET_AGAIN) from None
        raise BadClip("unreadable", str(error.strerror), _PERMISSIONS) from None
    if not stat.S_ISREG(status.st_mode):
        # Before it is opened: a pipe would block.
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
        raise BadClip("not-a-file", f"it is {kind}", "Replace it by the audio file")
    return status


def examine(path: str, size: int) -> Header:
    """Read the header of a regular file; raises BadClip if it is not a complete audio file."""
    if not size:
        raise BadClip("empty", "it has 0 bytes", GET_AGAIN)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".raw":
        raise BadClip("not-audio", "a raw file has no header", "Convert it to WAV or FLAC")
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            head = os.pread(file, containers.HEAD, 0)
            missing = containers.missing(file, head, size)
        finally:
            os.close(file)
    except OSError as error:
        raise BadClip("unreadable", str(error.strerror), _PERMISSIONS) from None
    try:
        header = audio.read_header(Path(path))
    except audio.DecodeError as error:
        if missing:
            raise BadClip("truncated", missing, GET_AGAIN) from None
        guess, advice = "", "Get the file again, or convert it to WAV or FLAC"
        if "not recognised" in str(error):
            guess, advice = containers.guess_format(head)
        raise BadClip("not-audio", f"{error}; {guess}" if guess else str(error), advice) from None
    if header.format == "RAW":
        # libsndfile goes by the suffix alone (.au, .gsm, .vox), whatever the bytes are.
        raise BadClip("not-audio", "it has no header, so libsndfile can only guess its format",
                     "Convert it to WAV or FLAC")
    if header.format not in _FORMATS.get(suffix, (header.format,)):
        raise BadClip("wrong-format", f"it holds {header.format} audio",
                     "Rename the file, also in the table, or convert it")
    if header.format == "MP3":
        header, missing = _counted(path, header, head)
    if missing:
        raise BadClip("truncated", missing, GET_AGAIN)
    _check_numbers(header)
    return header


def _counted(path: str, header: Header, head: bytes) -> tuple[Header, str]:
    """Return an MPEG file's header with its true length, and a description of what is missing."""
    try:
        frames = audio.count_frames(Path(path))
    except audio.DecodeError as error:
        raise BadClip("decode-error", str(error), GET_AGAIN) from None
    missing = ""
    # Only a Xing (or Info) frame declares a length; without one the header is a guess.
    if (b"Xing" in head or b"Info" in head) and frames < header.frames - _MPEG_FRAME:
        missing = f"its header declares {header.frames:,} samples, it has {frames:,}"
    return Header(header.format, header.subtype, header.sr, header.channels, frames), missing


def _check_numbers(header: Header) -> None:
    if header.frames >= _UNKNOWN_FRAMES:
        raise BadClip("no-length", "its header does not say how long it is",
                     "Encode it again into a file, not a pipe")
    if header.frames < 1:
        raise BadClip("no-samples", "its header declares no audio",
                     "Was the recording interrupted? Get the file again, or remove its row")
    if not audio.MIN_SR <= header.sr <= audio.MAX_SR:
        raise BadClip("bad-rate", f"{header.sr} Hz; needs {audio.MIN_SR} to {audio.MAX_SR} Hz",
                     "Is its header damaged? If not, resample it")
    if header.channels > audio.MAX_CHANNELS:
        raise BadClip("bad-channels",
                     f"{header.channels} channels; needs at most {audio.MAX_CHANNELS}",
                     "Is its header damaged? If not, mix it down")
