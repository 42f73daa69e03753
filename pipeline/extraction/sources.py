"""What the source files were when they were last read: size, time of modification, digest.

As git and DVC do it: size and time decide whether to look again, the digest decides whether the
file changed. The table is a side file of a run's circumstances; no stage depends on it.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

NAME = "sources.csv"


@dataclass(frozen=True, slots=True)
class Source:
    """A source file's state, and its SHA-256 then."""

    clip_id: str
    size: int
    mtime_ns: int
    digest: str


def read_sources(folder: Path) -> dict[str, Source]:
    """The remembered states by clip id; none if the table is not there or cannot be used."""
    try:
        with open(folder / NAME, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows, None)
            sources = (
                Source(sys.intern(row[0]), int(row[1]), int(row[2]), sys.intern(row[3]))
                for row in rows
            )
            return {source.clip_id: source for source in sources}
    except (OSError, ValueError, IndexError):
        # Only a memory of what was read: without it every file is read once more.
        return {}


def write_sources(folder: Path, sources: Iterable[Source]) -> None:
    """Remember the states, whole or not at all."""
    partial = folder / (NAME + ".partial")
    with open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Source)])
        writer.writerows(
            (s.clip_id, s.size, s.mtime_ns, s.digest)
            for s in sorted(sources, key=lambda s: s.clip_id)
        )
    os.replace(partial, folder / NAME)
