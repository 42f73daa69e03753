"""Flag the clips that deserve a look: silent, clipped, very short, duplicated and the like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Bounds beyond which a clip is flagged. They are generous: a flag asks for a look, no more.
SILENT_DB = -60.0
CLIPPED = 0.001
SILENCE = 0.8
SHORT_SECONDS = 0.3
# A format is unusual if at least this share of the clips has another, common one.
COMMON = 0.9


@dataclass(frozen=True)
class Flag:
    """What a flag means, and how much it counts.

    Attributes
    ----------
    name : str
    meaning : str
        A sentence fragment that says when a clip gets it.
    weight : int
        Clips are sorted by the sum of their flags' weights.
    """

    name: str
    meaning: str
    weight: int


FLAGS = {flag.name: flag for flag in (
    Flag("duplicate with other labels",
         "the same audio as another clip of training with other labels", 4),
    Flag("in training and test", "the same audio is in a training and a test clip", 4),
    Flag("silent", f"RMS level below {SILENT_DB:g} dBFS", 4),
    Flag("not extracted", "in labels.csv, but not in every store", 3),
    Flag("duplicate", "the same audio as another clip of the same set, with the same labels", 2),
    Flag("clipped", f"over {CLIPPED:.1%} of the samples are in flat peaks at full scale", 2),
    Flag("mostly silence", f"over {SILENCE:.0%} of the clip is leading or trailing silence", 1),
    Flag("very short", f"under {SHORT_SECONDS:g} s", 1),
    Flag("unusual format",
         f"sampling rate, channels or format differ from those of {COMMON:.0%} of the clips", 1),
)}


def flag_clips(clips: pd.DataFrame, groups: Iterable[tuple[str, ...]]) -> dict[str, list[str]]:
    """Flag clips, the most suspicious first.

    Parameters
    ----------
    clips : pandas.DataFrame
        As :func:`.clip_table.clip_table` makes it.
    groups : iterable of tuple of str
        Of :func:`.duplicates.duplicate_groups`.

    Returns
    -------
    flags : dict of str to list of str
        Names of :data:`FLAGS` by clip id, the heaviest first; clips without flags are not in it.
    """
    found: dict[str, set[str]] = {clip_id: set() for clip_id in clips.index}
    rules = {
        "silent": clips["rms_db"] < SILENT_DB,
        "not extracted": ~clips["extracted"],
        "clipped": clips["clipped"] > CLIPPED,
        "mostly silence": (clips["silence"] > SILENCE) & (clips["rms_db"] >= SILENT_DB),
        "very short": clips["seconds"] < SHORT_SECONDS,
        "unusual format": _unusual(clips),
    }
    for name, rows in rules.items():
        for clip_id in clips.index[rows]:
            found[clip_id].add(name)
    for group in groups:
        _flag_group(clips, [clip_id for clip_id in group if clip_id in found], found)
    order = list(FLAGS)
    flagged = {clip_id: sorted(names, key=order.index) for clip_id, names in found.items() if names}
    return dict(sorted(
        flagged.items(), key=lambda item: (-sum(FLAGS[name].weight for name in item[1]), item[0]),
    ))


def _flag_group(clips: pd.DataFrame, group: list[str], found: dict[str, set[str]]) -> None:
    if len(group) < 2:
        return
    members = clips.loc[group]
    labels = dict(zip(group, members["labels"], strict=True))
    test = dict(zip(group, members["split"] == "test", strict=True))
    mixed = len(set(test.values())) == 2
    for clip_id in group:
        peers = [c for c in group if c != clip_id and test[c] == test[clip_id]]
        known = {frozenset(labels[c]) for c in (clip_id, *peers)}
        if mixed:
            found[clip_id].add("in training and test")
        if not test[clip_id] and len(known) > 1:
            found[clip_id].add("duplicate with other labels")
        elif peers:
            found[clip_id].add("duplicate")


def _unusual(clips: pd.DataFrame) -> pd.Series:
    """Whether a clip differs from the common sampling rate, channels or format."""
    result = clips["seconds"] < 0  # nowhere
    for column in ("sr", "channels", "format"):
        shares = clips[column].value_counts(normalize=True)
        if len(shares) > 1 and shares.iloc[0] >= COMMON:
            result |= clips[column].notna() & (clips[column] != shares.index[0])
    return result
