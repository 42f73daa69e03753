"""Check the audio headers of a whole data set, and cache the results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

from pipeline.audio.file_header import Header
from pipeline.audio.headers import GET_AGAIN, examine, file_state
from pipeline.dataset import tables
from pipeline.dataset.clip_rows import ListedClip
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip, Problem
from pipeline.runtime.rows import read_table, write_rows

_CACHE_COLUMNS = ("path", "size", "mtime_ns", *tables.HEADER_COLUMNS)
_SHOW_PROGRESS = 2000  # files; fewer take less than a second from a local disk

_State = tuple[int, int]  # size (in bytes), time of modification (in ns)


def scan(
    root: Path, clips: Sequence[ListedClip], cache: Path | None = None
) -> dict[str, Header | Problem]:
    """Check the files of a data set.

    Parameters
    ----------
    root : Path
        The data folder. Names that leave it were refused before; links in it are followed, because
        the user made them (to DVC's cache, for example).
    clips : sequence of ListedClip
    cache : Path, optional
        A CSV of earlier results, read and updated. A file of the same size and time of
        modification is not opened again.

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
            status = file_state(path)
        except BadClip as bad:
            if bad.reason == "missing":
                bad = _missing(root, clip, listings)
            found[clip.clip_id] = bad.at(clip.clip_id)
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
                header = examine(path, state[0])
            except BadClip as bad:
                found[clip_id] = bad.at(clip_id)
                continue
            found[clip_id] = header
            good[path] = state, header
    finally:
        # A stopped scan of a slow disk resumes where it was.
        if cache and good != known:
            _write_cache(cache, good)
    return found


def _missing(root: Path, clip: ListedClip, listings: dict[str, dict[str, str] | None]) -> BadClip:
    """Describe a missing file, with a guess; `listings` caches the names in each folder."""
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
        return BadClip("missing", f"there is no folder {folder}", "Unpack the audio into it")
    for key in (name.casefold(), os.path.splitext(name)[0].casefold()):
        if near.get(key, name) != name:
            return BadClip("missing", f"there is no file {clip.path}",
                          f"Did you mean {near[key]}? If so, correct the table")
    return BadClip("missing", f"there is no file {clip.path}", GET_AGAIN)


def _with_progress(files: list[tuple[str, str, _State]]) -> Iterable[tuple[str, str, _State]]:
    if len(files) <= _SHOW_PROGRESS or not sys.stderr.isatty():
        return files
    from tqdm import tqdm

    return tqdm(files, desc="headers", unit="file", leave=False, dynamic_ncols=True)


def _read_cache(path: Path) -> dict[str, tuple[_State, Header]]:
    """Read what was found before; nothing if the file is not there or damaged."""
    try:
        return dict(read_table(path, _CACHE_COLUMNS, _entry, advice=""))
    except UsageError:
        # Only a cache: without it every file is opened once more.
        return {}


def _entry(cells: list[str]) -> tuple[str, tuple[_State, Header]]:
    name, size, mtime_ns = cells[:3]
    return name, ((int(size), int(mtime_ns)), tables.header_of(cells))


def _write_cache(path: Path, good: dict[str, tuple[_State, Header]]) -> None:
    write_rows(path, _CACHE_COLUMNS,
               ((name, *state, *astuple(header)) for name, (state, header) in good.items()))
