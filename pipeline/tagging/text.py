"""Tags of files as text for people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.runtime.text import readable
from pipeline.tagging.tag_files import FileTags
from pipeline.tagging.tagger import Floats, Tagger
from pipeline.tagging.windows import stretches

_BAR = 8  # characters
_EIGHTHS = " ▏▎▍▌▋▊▉█"

# Stretches of a time line that are printed; --json has every window.
_MOST_STRETCHES = 60


def head(tagger: Tagger) -> str:
    """Say which model tags, and what its scores are."""
    return (f"{readable(tagger.name)}: {tagger.kind}, {tagger.about}\n"
            f"{len(tagger.classes)} tags; {tagger.scale}")


def top_classes(scores: Floats, *, top: int, min_score: float) -> list[int]:
    """Return the classes with the highest scores, in that order; equal ones in their own."""
    order = np.argsort(-scores, kind="stable")[:top]
    return [int(k) for k in order if scores[k] >= min_score]


def table(
    tagger: Tagger, tags: FileTags, *, top: int, min_score: float, encoding: str
) -> Iterator[str]:
    """Format one file: its top tags, and its time line if it has one.

    Parameters
    ----------
    tagger : Tagger
    tags : FileTags
    top : int
        Number of tags.
    min_score : float
        Tags below are not shown.
    encoding : str
        Of the terminal; without block characters bars are made of ``#``.

    Yields
    ------
    line : str
    """
    def bar(score: float) -> str:
        return score_bar(score, encoding)

    yield f"{readable(tags.file.name)}  {tags.seconds:.1f} s"
    shown = top_classes(tags.scores, top=top, min_score=min_score)
    for k in shown:
        yield f"  {tags.scores[k]:5.2f} {bar(tags.scores[k])} {readable(tagger.classes[k])}"
    if not shown:
        best = int(tags.scores.argmax())
        yield (f"  no tag of {min_score:g} or more; the highest is "
               f"{readable(tagger.classes[best])} {tags.scores[best]:.2f}")
    if tags.timeline is None:
        return
    line = tags.timeline
    found = stretches(line.starts, tagger.window_seconds, tags.seconds, line.scores,
                      min_score=min_score)
    width = len(f"{tags.seconds:.1f}")
    yield f"  top tag over time, {len(line.starts)} windows of {tagger.window_seconds:g} s:"
    for each in found[:_MOST_STRETCHES]:
        name = "-" if each.tag is None else readable(tagger.classes[each.tag])
        score = " " * (5 + 1 + _BAR) if each.tag is None else f"{each.score:5.2f} {bar(each.score)}"
        yield f"  {each.start:{width}.1f}-{each.end:{width}.1f} s  {score} {name}"
    if (rest := len(found) - _MOST_STRETCHES) > 0:
        yield f"  … {rest} more until {tags.seconds:.1f} s; --json has them all"


def score_bar(score: float, encoding: str = "utf-8") -> str:
    """A bar of 8 characters for a score from 0 to 1.

    Examples
    --------
    >>> score_bar(0.55), score_bar(0.55, "ascii")
    ('████▍   ', '####    ')
    """
    share = min(1.0, max(0.0, float(score)))
    eighths = round(share * _BAR * 8)
    full, rest = divmod(eighths, 8)
    text = "█" * full + (_EIGHTHS[rest] if rest else "")
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "#" * round(share * _BAR)
    return text.ljust(_BAR)
