"""Everything wrong with the input, collected before a stage gives up, in a terminal and a CSV.

Reason codes are part of the interface: scripts filter problems.csv by them.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

REASONS = {
    "missing": "a table names a file that is not there",
    "outside": "a name that leaves the data folder, or is absolute",
    "not-a-file": "a folder, a pipe or a device",
    "unreadable": "the operating system does not let us read it",
    "empty": "a file of 0 bytes",
    "not-audio": "no format that libsndfile reads",
    "wrong-format": "audio of another format than the name says",
    "truncated": "the file ends before its header says",
    "no-samples": "a valid header, and no audio behind it",
    "no-length": "a header that does not say how many samples there are",
    "bad-rate": "a sampling rate outside 1 kHz to 768 kHz",
    "bad-channels": "more channels than 64",
    "non-finite": "NaN or infinity among the samples",
    "too-loud": "samples more than 60 dB over full scale",
    "decode-error": "libsndfile fails in the middle",
    "changed": "not the file that prepare saw",
    "duplicate": "one name twice",
    "unknown-label": "a label that is no class of the task",
    "no-label": "a training clip without a label",
    "bad-row": "a row that does not fit its table",
    "bad-fold": "a fold that is not a whole number from 0",
    "known-bad": "left out because the data set's organisers named it",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    where : str
        The clip's id, or ``file.csv:row`` (1 is the header).
    reason : str
        A key of :data:`REASONS`.
    found : str
        What was found, and what is needed where that is not plain.
    advice : str
        What to do about it.
    """

    where: str
    reason: str
    found: str
    advice: str

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"reason is {self.reason!r}; known: {', '.join(REASONS)}")


class Defect(Exception):
    """Something that cannot be used: a reason code, what was found, what to do about it."""

    def __init__(self, reason: str, found: str, advice: str) -> None:
        super().__init__(found)
        self.reason, self.found, self.advice = reason, found, advice

    def at(self, where: str) -> Problem:
        """The problem that it is at a place (a clip's id, or ``file.csv:row``)."""
        return Problem(where, self.reason, self.found, self.advice)


def write_csv(path: Path, problems: Sequence[Problem]) -> None:
    """Write problems.csv, whole or not at all; no problems leave a header alone."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f.name for f in fields(Problem)])
        writer.writerows(astuple(p) for p in problems)
    os.replace(partial, path)


def read_csv(path: Path) -> list[Problem]:
    """The problems in a file of :func:`write_csv`; none if there is none, or it is another's."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [Problem(*row) for row in list(csv.reader(file))[1:]]
    except (OSError, TypeError, ValueError):
        return []


def of_clips(problems: Iterable[Problem]) -> list[Problem]:
    """Those that are a clip's, and not a row's of a table."""
    return [p for p in problems if not re.search(r"\.csv:\d+$", p.where)]


def show(problems: Iterable[Problem], csv_path: Path | None = None, most: int = 50) -> None:
    """Print the problems to stderr, a line each; past `most` the CSV has the rest."""
    problems = list(problems)
    for p in problems[:most]:
        print(f"  {p.where}: {p.reason}: {p.found}. {p.advice}", file=sys.stderr)
    if len(problems) > most:
        counts = Counter(p.reason for p in problems)
        sums = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
        rest = f"all are in {csv_path}" if csv_path else f"{len(problems) - most} more"
        print(f"  … {len(problems)} problems ({sums}); {rest}", file=sys.stderr)
