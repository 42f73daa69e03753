"""Find the audio files that a command line names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.audio import decode, headers
from pipeline.audio.suffixes import is_audio_name
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip, Problem
from pipeline.runtime.text import readable


@dataclass(frozen=True)
class AudioFile:
    """A file to tag.

    Attributes
    ----------
    path : Path
        As it was named, or the named folder and the way from there.
    seconds : float
        Length that its header tells, to plan by; 0 if the header cannot be read.
    """

    path: Path
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The path as text; it may hold anything that the system allows in names."""
        return os.fspath(self.path)


@dataclass
class Found:
    """What was found under the paths of a command line.

    Attributes
    ----------
    files : list of AudioFile
        Each once, in the order of the paths; those of a folder sorted by name.
    problems : list of Problem
        Folders that cannot be read or hold no audio.
    n_skipped : int
        Files in folders that are not audio by their names.
    """

    files: list[AudioFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    n_skipped: int = 0


def find_audio(paths: Iterable[Path]) -> Found:
    """Find the audio files that are named, and those in named folders and their subfolders.

    In folders, files count by their suffix (:mod:`pipeline.audio.suffixes`), hidden ones not at
    all; a file that is named itself is always tried. Links are followed, each folder once. Whether
    a file can be decoded is found out later.

    Raises
    ------
    UsageError
        If there is no file at all; says what was found instead.
    """
    found, paths = Found(), list(paths)
    for path in dict.fromkeys(paths):
        if os.path.isdir(path):
            _search(path, found)
        else:
            found.files.append(_measured(path))
    found.files = list({file.path: file for file in found.files}.values())
    if not found.files:
        lines = [f"{p.where}: {p.found}. {p.advice}" for p in found.problems]
        raise UsageError("\n".join(["no audio to tag", *lines]))
    return found


def _search(folder: Path, found: Found) -> None:
    visited, n_before = set[tuple[int, int]](), len(found.files)

    def report(error: OSError) -> None:
        found.problems.append(Problem(readable(str(error.filename)), "unreadable",
                                      str(error.strerror), "Check the folder's permissions"))

    n_problems = len(found.problems)
    for root, folders, names in os.walk(folder, followlinks=True, onerror=report):
        state = os.stat(root)
        if (state.st_dev, state.st_ino) in visited:
            folders.clear()  # a link back to where the search came from
            continue
        visited.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = sorted(name for name in names if not name.startswith("."))
        audio = [name for name in visible if is_audio_name(name)]
        found.n_skipped += len(visible) - len(audio)
        found.files += [_measured(Path(root, name)) for name in audio]
    if len(found.files) == n_before and len(found.problems) == n_problems:
        found.problems.append(Problem(
            readable(os.fspath(folder)), "missing", "a folder without audio files",
            "Audio is told by its suffix, such as .wav, .flac, .ogg or .mp3; name a file of "
            "another one itself",
        ))


def _measured(path: Path) -> AudioFile:
    """The file with its length; what is wrong with a bad one, the worker tells."""
    try:
        headers.file_state(os.fspath(path))  # opening a pipe would block
        header = decode.read_header(path)
        known = 0 < header.frames < 1 << 62  # else its header has no length
        return AudioFile(path, header.frames / header.sr if known else 0.0)
    except (BadClip, decode.DecodeError, ZeroDivisionError):
        return AudioFile(path)
