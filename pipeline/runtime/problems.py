"""Collect everything wrong with the input and list it on the terminal and in problems.csv.

Reason codes are part of the interface: scripts filter problems.csv by them.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pipeline.runtime.rows import read_table, write_rows
from pipeline.runtime.text import readable

# Characters of a problem's name, or of what was found, on the terminal.
_MOST_SHOWN = 500

REASONS = {
    "missing": "a table names a file that is not there",
    "outside": "a name that is absolute or leaves the data folder",
    "bad-name": "a file name that is not UTF-8, or that no table can hold",
    "not-a-file": "a folder, a pipe or a device",
    "unreadable": "the operating system refuses to read the file",
    "empty": "a file of 0 bytes",
    "not-audio": "not a format that libsndfile reads",
    "wrong-format": "audio of another format than the suffix says",
    "truncated": "the file is shorter than its header says",
    "no-samples": "a valid header without audio",
    "no-length": "a header without the number of samples",
    "bad-rate": "a sampling rate outside 1 kHz to 768 kHz",
    "bad-channels": "more than 64 channels",
    "non-finite": "NaN or infinity among the samples",
    "too-loud": "samples more than 60 dB over full scale",
    "out-of-range": "a feature with values that are NaN or infinite in its dtype",
    "decode-error": "libsndfile fails while decoding",
    "crash": "decoding it crashes, or takes more memory than there is",
    "changed": "the file has changed since prepare",
    "duplicate": "a name that appears twice",
    "unknown-label": "a label that is not a class of the data set",
    "no-label": "a training clip without a label",
    "bad-row": "a row that does not fit its table",
    "bad-fold": "a fold that is not a whole number from 0",
    "known-bad": "listed as bad by the data set's organisers",
}


@dataclass(frozen=True)
class Problem:
    """A clip, or a row of a table, that cannot be used, and why.

    Attributes
    ----------
    where : str
        The clip's id, or ``file.csv:row`` (1 is the header).
    reason : str
        A key of :data:`REASONS`.
    found : str
        What was found, and what is needed unless that is obvious.
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


class BadClip(Exception):
    """A clip, or a row of a table, that cannot be used.

    Parameters
    ----------
    reason, found, advice : str
        As in :class:`Problem`.
    """

    def __init__(self, reason: str, found: str, advice: str) -> None:
        super().__init__(reason, found, advice)
        self.reason, self.found, self.advice = reason, found, advice

    def __str__(self) -> str:
        return self.found

    def at(self, where: str) -> Problem:
        """Return the problem of the clip `where`, or of the row ``file.csv:row``."""
        return Problem(where, self.reason, self.found, self.advice)


COLUMNS = tuple(f.name for f in fields(Problem))


def write_csv(path: Path, problems: Iterable[Problem]) -> None:
    """Write problems.csv atomically; without problems it holds a header only."""
    write_rows(path, COLUMNS, (astuple(p) for p in problems))


def read_csv(path: Path) -> list[Problem]:
    """Read a file that :func:`write_csv` wrote; no file means no problems.

    Raises
    ------
    UsageError
        If the file is damaged: read as an empty one, it would lose the accepted failures.
    """
    if not os.path.lexists(path):
        return []
    return read_table(
        path, COLUMNS, lambda cells: Problem(*cells),
        advice="The file is damaged: delete it and rerun the stage that wrote it",
    )


def of_clips(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems of clips, leaving out those of a table's rows."""
    return [p for p in problems if not re.search(r"\.(csv|jsonl):\d+$", p.where)]


def print_problems(
    problems: Iterable[Problem], csv_path: Path | None = None, most: int = 50
) -> None:
    """Print the problems to stderr, one line each; the CSV has those after the first `most`."""
    problems = list(problems)
    for p in problems[:most]:
        print(f"  {_shown(p.where)}: {p.reason}: {_shown(p.found)}. {_shown(p.advice)}",
              file=sys.stderr)
    if len(problems) > most:
        counts = Counter(p.reason for p in problems)
        sums = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
        rest = f"all are in {csv_path}" if csv_path else f"{len(problems) - most} more"
        print(f"  … {len(problems)} problems ({sums}); {rest}", file=sys.stderr)


def _shown(text: str) -> str:
    """What fits a line; the CSV has all of it."""
    return readable(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…", keep="\n")

