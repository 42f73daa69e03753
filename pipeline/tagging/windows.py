"""Windows of a long file, and the stretches of time in which one tag stays on top. NumPy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A file is long where it takes more windows than this, side by side.
LONG_WINDOWS = 4


@dataclass(frozen=True)
class Stretch:
    """Neighbouring windows with the same top tag.

    Attributes
    ----------
    start, end : float
        In seconds; a stretch ends where the next one begins.
    tag : int or None
        The class; None where no class reaches the least score.
    score : float
        Mean of the class's scores over the windows; of the top scores where there is no tag.
    """

    start: float
    end: float
    tag: int | None
    score: float


def has_timeline(seconds: float, window_seconds: float, *, mode: str) -> bool:
    """Whether a file of this length gets a time line.

    Parameters
    ----------
    seconds, window_seconds : float
        Length of the file and of a window.
    mode : {"auto", "always", "never"}
        ``auto``: if the file is longer than :data:`LONG_WINDOWS` windows.
    """
    return mode == "always" or (mode == "auto" and seconds > LONG_WINDOWS * window_seconds)


def window_starts(seconds: float, window_seconds: float, hop_seconds: float) -> Floats:
    """First second of each window of a file.

    One every `hop_seconds` from the file's begin; the last one ends where the file does. A file
    that is no longer than a window has one, which begins at 0.

    Examples
    --------
    >>> window_starts(5.5, 2.0, 1.0)
    array([0. , 1. , 2. , 3. , 3.5])
    """
    last = max(0.0, seconds - window_seconds)
    # Within a microsecond of the last one, a window would say the same twice.
    n_hops = math.ceil(max(0.0, last - 1e-6) / hop_seconds)
    return np.minimum(np.arange(1 + n_hops) * hop_seconds, last)


def stretches(
    starts: Floats, window_seconds: float, seconds: float, scores: NDArray, *, min_score: float
) -> list[Stretch]:
    """Merge neighbouring windows that agree on the top tag.

    A window speaks for its middle: the border between two windows lies halfway between their
    centres, and the first and the last one reach to the file's ends.

    Parameters
    ----------
    starts : np.ndarray [shape=(n_windows,), dtype=float64]
        As :func:`window_starts` gives them (in seconds).
    window_seconds, seconds : float
        Length of a window and of the file.
    scores : np.ndarray [shape=(n_windows, n_classes)]
    min_score : float
        A window whose top score is below has no tag.

    Returns
    -------
    stretches : list of Stretch
        From 0 to `seconds`, without gaps.

    Examples
    --------
    >>> scores = np.array([[.9, .1], [.8, .3], [.2, .7]])
    >>> for s in stretches(np.array([0, 1, 2]), 2.0, 4.0, scores, min_score=0.5):
    ...     print(s.start, s.end, s.tag, round(s.score, 2))
    0.0 2.5 0 0.85
    2.5 4.0 1 0.7
    """
    top = scores.argmax(axis=1)
    best = scores[np.arange(len(top)), top].astype(np.float64)
    tags = np.where(best >= min_score, top, -1)
    first = np.flatnonzero(np.diff(tags, prepend=-2))
    end = np.append(first[1:], len(tags))
    centres = np.asarray(starts, np.float64) + window_seconds / 2
    borders = np.concatenate([[0.0], (centres[:-1] + centres[1:]) / 2, [seconds]])
    return [
        Stretch(float(borders[a]), float(borders[b]), int(tags[a]) if tags[a] >= 0 else None,
                float(best[a:b].mean()))
        for a, b in zip(first.tolist(), end.tolist(), strict=True)
    ]
