"""Is a file what a data set's table promises: there, audio, whole? Headers only, nothing decoded.

libsndfile accepts a file that was cut short: of WAV, AIFF and the like it returns the samples that
are left, of Ogg the pages that are left. So what the container declares is compared with the bytes
that are there. A FLAC file that was cut shows only when it is decoded. MPEG audio is decoded here,
because its headers only estimate a length.
"""

from __future__ import annotations

import csv
import errno
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.audio import containers
from pipeline.audio import decode as audio
from pipeline.audio.decode import Header
from pipeline.dataset.csv_rows import Defect
from pipeline.runtime.problems import Problem

if TYPE_CHECKING:
    # Every worker imports this module, and has no table to read.
    from pipeline.dataset.listing import Listed

# What libsndfile calls the formats that a suffix may stand for; other suffixes promise nothing.
_FORMATS = {
    ".wav": ("WAV", "WAVEX", "RF64"), ".w64": ("W64",), ".rf64": ("RF64",),
    ".aif": ("AIFF",), ".aiff": ("AIFF",), ".aifc": ("AIFF",), ".au": ("AU",), ".caf": ("CAF",),
    ".flac": ("FLAC",), ".ogg": ("OGG",), ".oga": ("OGG",), ".opus": ("OGG",), ".mp3": ("MP3",),
}
_AGAIN, _PERMISSIONS = "Get the file again", "Check its permissions, and the disk"
_MPEG_FRAME = 1152  # samples
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's answer where a header has no length is 2^63 - 1
_CACHE_COLUMNS = ["path", "size", "mtime_ns", "format", "subtype", "sr", "channels", "frames"]
_SHOW_PROGRESS = 2000  # files; fewer take less than a second from a local disk

_State = tuple[int, int]  # size (in bytes), time of modification (in ns)


def check(path: Path, where: str) -> Header | Problem:
    """What libsndfile makes of a file, or the first thing that is wrong with it.

    Parameters
    ----------
    path : Path
    where : str
        The clip's id, for the problem.
    """
    try:
        return _examine(os.fspath(path), _stat(os.fspath(path)).st_size)
    except Defect as defect:
        return defect.at(where)


def scan(
    root: Path, clips: Sequence[Listed], cache: Path | None = None
) -> dict[str, Header | Problem]:
    """Check the files of a data set.

    Parameters
    ----------
    root : Path
        The data folder. Names that leave it were refused with the table; a link in it is the
        user's own doing (DVC's cache may be one), and is followed.
    clips : sequence of Listed
    cache : Path, optional
        A CSV of what was found before. A file of the same size and time of modification is not
        opened again. It is read if it is there, and written with what is found.

    Returns
    -------
    dict of str to Header or Problem
        By clip id.
    """
    known = _read_cache(cache) if cache else {}
    found: dict[str, Header | Problem] = {}
    good: dict[str, tuple[_State, Header]] = {}
    to_examine: list[tuple[str, str, _State]] = []
    listings: dict[str, dict[str, str] | None] = {}
    for clip in clips:
        path = os.path.join(root, clip.path)
        try:
            status = _stat(path)
        except Defect as defect:
            if defect.reason == "missing":
                defect = _missing(root, clip, listings)
            found[clip.clip_id] = defect.at(clip.clip_id)
            continue
        state = status.st_size, status.st_mtime_ns
        if (before := known.get(path)) and before[0] == state:
            found[clip.clip_id] = before[1]
            good[path] = before
        else:
            to_examine.append((clip.clip_id, path, state))
    try:
        for clip_id, path, state in _with_progress(to_examine):
            try:
                header = _examine(path, state[0])
            except Defect as defect:
                found[clip_id] = defect.at(clip_id)
                continue
            found[clip_id] = header
            good[path] = state, header
    finally:
        # A stopped scan of a slow disk goes on where it was.
        if cache and good != known:
            _write_cache(cache, good)
    return found


def _stat(path: str) -> os.stat_result:
    """The state of a regular file."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise Defect("missing", "there is no such file", _AGAIN) from None
        raise Defect("unreadable", str(error.strerror), _PERMISSIONS) from None
    if not stat.S_ISREG(status.st_mode):
        # Nothing is opened: a pipe would wait for ever.
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
        raise Defect("not-a-file", f"it is {kind}", "Put the audio file in its place")
    return status


def _missing(root: Path, clip: Listed, listings: dict[str, dict[str, str] | None]) -> Defect:
    """What is missing, with a guess; `listings` remembers the names in each folder."""
    folder, name = os.path.split(clip.path)
    if folder not in listings:
        try:
            names = sorted(os.listdir(os.path.join(root, folder)))
        except OSError:
            names = None
        # A name in another case, or with another suffix, is what is usually meant.
        listings[folder] = None if names is None else {
            key: n for n in names for key in (os.path.splitext(n)[0].casefold(), n.casefold())}
    near = listings[folder]
    if near is None:
        return Defect("missing", f"there is no folder {folder}", "Unpack or copy the audio there")
    for key in (name.casefold(), os.path.splitext(name)[0].casefold()):
        if near.get(key, name) != name:
            return Defect("missing", f"there is no file {clip.path}",
                          f"Is it {near[key]}? Then write that into the table")
    return Defect("missing", f"there is no file {clip.path}", _AGAIN)


def _examine(path: str, size: int) -> Header:
    """The header of a regular file, or Defect."""
    if not size:
        raise Defect("empty", "it has 0 bytes", _AGAIN)
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".raw":
        raise Defect("not-audio", "a raw file has no header", "Convert it to WAV or FLAC")
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            head = os.pread(file, containers.HEAD, 0)
            missing = containers.missing(file, head, size)
        finally:
            os.close(file)
    except OSError as error:
        raise Defect("unreadable", str(error.strerror), _PERMISSIONS) from None
    try:
        header = audio.read_header(Path(path))
    except audio.DecodeError as error:
        if missing:
            raise Defect("truncated", missing, _AGAIN) from None
        like, advice = "", "Get the file again, or convert it to WAV or FLAC"
        if "not recognised" in str(error):
            like, advice = containers.describe(head)
        raise Defect("not-audio", f"{error}; {like}" if like else str(error), advice) from None
    if header.format == "RAW":
        # By suffix alone (.au, .gsm, .vox), whatever the bytes are.
        raise Defect("not-audio", "libsndfile would have to guess at a file without a header",
                     "Convert it to WAV or FLAC")
    if header.format not in _FORMATS.get(suffix, (header.format,)):
        raise Defect("wrong-format", f"it holds {header.format} audio",
                     "Rename it, in the table too, or convert it")
    if header.format == "MP3":
        header, missing = _counted(path, header, head)
    if missing:
        raise Defect("truncated", missing, _AGAIN)
    _check_numbers(header)
    return header


def _counted(path: str, header: Header, head: bytes) -> tuple[Header, str]:
    """An MPEG file's header with its true length, and what is missing of the declared one."""
    try:
        frames = audio.count_frames(Path(path))
    except audio.DecodeError as error:
        raise Defect("decode-error", str(error), _AGAIN) from None
    missing = ""
    # Only a Xing (or Info) frame declares a length; without one the header is a guess.
    if (b"Xing" in head or b"Info" in head) and frames < header.frames - _MPEG_FRAME:
        missing = f"its header declares {header.frames:,} samples, {frames:,} are there"
    return Header(header.format, header.subtype, header.sr, header.channels, frames), missing


def _check_numbers(header: Header) -> None:
    if header.frames >= _UNKNOWN_FRAMES:
        raise Defect("no-length", "its header does not say how long it is",
                     "Encode it anew, to a file and not to a pipe")
    if header.frames < 1:
        raise Defect("no-samples", "its header declares no audio",
                     "Was the recording broken off? Get the file again, or drop it")
    if not audio.MIN_SR <= header.sr <= audio.MAX_SR:
        raise Defect("bad-rate", f"{header.sr} Hz; needs {audio.MIN_SR} to {audio.MAX_SR} Hz",
                     "Is its header damaged? Resample it otherwise")
    if header.channels > audio.MAX_CHANNELS:
        raise Defect("bad-channels",
                     f"{header.channels} channels; needs at most {audio.MAX_CHANNELS}",
                     "Is its header damaged? Mix it down otherwise")


def _with_progress(files: list[tuple[str, str, _State]]) -> Iterable[tuple[str, str, _State]]:
    if len(files) <= _SHOW_PROGRESS or not sys.stderr.isatty():
        return files
    from tqdm import tqdm

    return tqdm(files, desc="headers", unit="file", leave=False, dynamic_ncols=True)


def _read_cache(path: Path) -> dict[str, tuple[_State, Header]]:
    """What was found before; nothing if the file is not there or cannot be used."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        if header != _CACHE_COLUMNS:
            return {}
        return {
            name: ((int(size), int(mtime)),
                   Header(format, subtype, int(sr), int(channels), int(frames)))
            for name, size, mtime, format, subtype, sr, channels, frames in rows
        }
    except (OSError, ValueError, csv.Error):
        # Only a memory of what was read: without it every file is opened once more.
        return {}


def _write_cache(path: Path, good: dict[str, tuple[_State, Header]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_CACHE_COLUMNS)
        writer.writerows((name, *state, h.format, h.subtype, h.sr, h.channels, h.frames)
                         for name, (state, h) in good.items())
    os.replace(partial, path)
