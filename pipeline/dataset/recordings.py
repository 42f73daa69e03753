"""Find the audio files in a folder and in the folders inside it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.audio.suffixes import is_audio_name
from pipeline.runtime.errors import listed
from pipeline.runtime.problems import Problem
from pipeline.runtime.text import CONTROL, readable


@dataclass(frozen=True)
class Recordings:
    """The audio files in a folder.

    Attributes
    ----------
    paths : list of str
        Relative to the folder, with POSIX separators, sorted. These are the clips' ids.
    folders : list of str
        Every folder inside, with audio or without, likewise.
    problems : list of Problem
        Files whose names no table can hold, and folders that cannot be read.
    notes : list of str
        What was left out, for the user.
    """

    paths: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_recordings(root: Path, *, skip: Path | None = None) -> Recordings:
    """Find the audio files in a folder, by their suffixes in any case; none is opened.

    Hidden files and folders are left out. A link to a file is followed, because the user made it
    (to DVC's cache, for example). A link to a folder is not: it might lead back to a folder above
    it, or out of the data.

    Parameters
    ----------
    root : Path
        A folder.
    skip : Path, optional
        A folder in it that is not entered, because what is in it is not the user's.
    """
    own = skip.stat() if skip and skip.is_dir() else None
    found, other, links = Recordings(), Counter[str](), list[str]()
    folders = [""]
    while folders:
        inside = folders.pop()
        try:
            with os.scandir(os.path.join(root, inside)) as entries:
                for entry in entries:
                    path = f"{inside}/{entry.name}" if inside else entry.name
                    hidden = entry.name.startswith(".")
                    if not is_folder(entry):
                        _add_file(path, found, other, hidden=hidden)
                    elif own and os.path.samestat(entry.stat(), own):
                        continue
                    elif entry.is_symlink() and not hidden:
                        links.append(f"{shown(path)} -> {shown(os.readlink(entry.path))}")
                    elif not hidden:
                        found.folders.append(path)
                        folders.append(path)
        except OSError as error:
            if not inside:
                raise
            found.problems.append(Problem(shown(inside), "unreadable", str(error.strerror),
                                          "Check its permissions"))
    found.paths.sort()
    found.folders.sort()
    found.problems.sort(key=lambda problem: problem.where)
    if n := sum(other.values()):
        kinds = listed([f"{count} {kind}" for kind, count in sorted(other.items())])
        are = "file that is not audio is" if n == 1 else "files that are not audio are"
        found.notes.append(f"{n} {are} left out: {kinds}")
    if links:
        found.notes.append(f"linked folders are left out: {listed(sorted(links))}; "
                           "give such a folder itself, or link its files")
    return found


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: reported as a clip if it has the name of one


def _add_file(path: str, found: Recordings, other: Counter[str], *, hidden: bool) -> None:
    name = os.path.basename(path)
    if hidden or not is_audio_name(name):
        suffix = os.path.splitext(name)[1].lower()
        other["hidden" if hidden else shown(suffix) or "without a suffix"] += 1
    elif why := _unusable(path):
        found.problems.append(Problem(shown(path), "bad-name", why, "Rename it"))
    else:
        # A pipe or a broken link of such a name too: it is reported when it is examined.
        found.paths.append(path)


def _unusable(path: str) -> str:
    """Why a table, which is UTF-8 and has / between folders, cannot hold a path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if CONTROL.search(path):
        return "its name has a control character"
    return "its name has a backslash" if "\\" in path else ""


def shown(name: str) -> str:
    """Return a name as text that any terminal and table takes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}" if match[0] < "\x9f"
                       else readable(match[0]), text)
