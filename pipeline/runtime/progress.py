"""Show a run's progress on stderr: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_EVERY_SECONDS = 5.0


class ClipProgress:
    """Progress of an extraction: clips, hours of audio, speed, time left, bad clips.

    Parameters
    ----------
    clips : int
        Number of clips to extract.
    seconds : float
        Duration of their audio, by which the time left is estimated.
    """

    def __init__(self, clips: int, seconds: float) -> None:
        self._clips, self._seconds = clips, seconds
        self._done = self._bad = 0
        self._audio = 0.0
        self._began = self._said = time.monotonic()
        self._bar = tqdm(
            total=seconds, disable=not sys.stderr.isatty(), dynamic_ncols=True, leave=False,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
        )

    def __enter__(self) -> ClipProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def update(self, clips: int, seconds: float, bad: int) -> None:
        """Add clips that are done, the seconds of audio in them, and how many of them are bad."""
        self._done += clips
        self._bad += bad
        self._audio += seconds
        if not self._bar.disable:
            self._bar.set_description_str(self._state(), refresh=False)
            self._bar.update(seconds)
        elif time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            left = (self._said - self._began) * (self._seconds / max(self._audio, 1e-9) - 1)
            print(f"  {self._state()}, {max(0.0, left):.0f} s left", file=sys.stderr, flush=True)

    def _state(self) -> str:
        speed = self._audio / max(time.monotonic() - self._began, 1e-9)
        bad = f", {self._bad} bad" if self._bad else ""
        return (
            f"{self._done}/{self._clips} clips, {hours(self._audio)} of {hours(self._seconds)}, "
            f"{speed:.0f} x real time{bad}"
        )


class ByteProgress:
    """Progress of a download, or of unpacking: bytes, speed, time left.

    Parameters
    ----------
    what : str
        What is downloaded or unpacked.
    total : int or None
        Its size in bytes, if known.
    """

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total = what, total
        self._reached = 0
        self._first: int | None = None
        self._began = self._said = time.monotonic()
        self._bar = tqdm(
            total=total, desc=what, disable=not sys.stderr.isatty(), dynamic_ncols=True,
            leave=False, unit="B", unit_scale=True,
        )

    def __enter__(self) -> ByteProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def add(self, n_bytes: int) -> None:
        """Show that so many more bytes are there."""
        self.reach(self._reached + n_bytes)

    def reach(self, n_bytes: int) -> None:
        """Show that so many bytes are there; fewer than before if it starts again."""
        if self._first is None or n_bytes < self._first:
            self._first, self._bar.initial = n_bytes, n_bytes
        self._reached = n_bytes
        if not self._bar.disable:
            self._bar.update(n_bytes - self._bar.n)
        elif time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            speed = (n_bytes - self._first) / (self._said - self._began)
            of = f" of {size(self._total)}" if self._total else ""
            left = (f", {hours((self._total - n_bytes) / speed)} left"
                    if self._total and speed else "")
            print(f"  {self._what}: {size(n_bytes)}{of}, {size(speed)}/s{left}",
                  file=sys.stderr, flush=True)


def hours(seconds: float) -> str:
    """Format a duration: ``10.5 h``, ``3.2 min``, ``41 s``."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def size(n_bytes: float) -> str:
    """Format a number of bytes: ``1.23 GB`` (powers of 1,000)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes:.0f} B"
