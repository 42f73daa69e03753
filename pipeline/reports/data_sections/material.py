"""What the sections are made of: the survey, and the clips chosen to be heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pipeline.reports.clip_card import Card, ClipSources, anchor, make_cards
from pipeline.reports.vector import FIRST, SECOND, THIRD
from pipeline.survey.clip_table import Survey, store_of
from pipeline.survey.duplicates import duplicate_groups
from pipeline.survey.suspicion import flag_clips

# The sets of clips, and the ink of each.
SPLIT_INKS = {"curated": FIRST, "noisy": SECOND, "test": THIRD}


@dataclass(frozen=True, eq=False)
class Material:
    """A survey, and the clips to show.

    Attributes
    ----------
    survey : Survey
    groups : list of tuple of str
        Clips that hold the same audio.
    flags : dict of str to list of str
        Flags of suspicious clips, the most suspicious first.
    suspicious : list of str
        Those of them to hear.
    examples : dict of str to list of str
        Clips to hear, by class.
    anchors : dict of str to str
        Anchor of the card of each clip that has one.
    cards : dict of str to Markup
        By clip id.
    seed : int
        For rows drawn at random.
    """

    survey: Survey
    groups: list[tuple[str, ...]]
    flags: dict[str, list[str]]
    suspicious: list[str]
    examples: dict[str, list[str]]
    anchors: dict[str, str]
    cards: dict[str, Markup]
    seed: int

    @property
    def splits(self) -> list[str]:
        """The sets that have clips, in their usual order."""
        present = set(self.survey.clips["split"])
        return [name for name in SPLIT_INKS if name in present]

    def linked(self, clip_id: str) -> str | tuple[str, str]:
        """Return a table cell: the clip's id, as a link if it has a card."""
        return (clip_id, f"#{self.anchors[clip_id]}") if clip_id in self.anchors else clip_id


def gather(
    survey: Survey, *, examples: int, suspicious: int, seconds: float, seed: int, jobs: int
) -> Material:
    """Choose the clips to hear and make their cards.

    Parameters
    ----------
    survey : Survey
    examples, suspicious : int
        Number of example clips per class, and of suspicious clips.
    seconds : float
        How much of a clip to hear.
    seed : int
        Of the choice.
    jobs : int
        Number of threads; -1: one per CPU core.

    Returns
    -------
    Material
    """
    clips = survey.clips
    labels = dict(zip(clips.index, clips["labels"], strict=True))
    splits = dict(zip(clips.index, clips["split"], strict=True))
    waveform = store_of(survey.stores, "waveform")
    groups = duplicate_groups([] if waveform is None else [waveform])
    flags = flag_clips(clips, groups)
    shown = [clip_id for clip_id in flags if clips.at[clip_id, "path"] is not None][:suspicious]
    chosen = choose_examples(
        {c: (splits[c], labels[c]) for c in clips.index[clips["extracted"]]},
        survey.dataset.classes, per_class=examples, avoid=shown, seed=seed,
    )
    found = clips["path"].dropna()
    heard = dict.fromkeys([*shown, *(c for names in chosen.values() for c in names)])
    anchors = {clip_id: anchor("clip", i) for i, clip_id in enumerate(heard)}
    sources = ClipSources(survey.dataset.root, dict(zip(found.index, found, strict=True)),
                          survey.stores, seconds)
    cards = make_cards(
        (Card(key, clip_id, labels[clip_id], tuple(flags.get(clip_id, ())),
              (f"{splits[clip_id]} set",)) for clip_id, key in anchors.items()),
        sources, jobs=jobs,
    )
    return Material(
        survey, groups, flags, shown, chosen, anchors,
        {clip_id: cards[key] for clip_id, key in anchors.items()}, seed,
    )


def choose_examples(
    clips: Mapping[str, tuple[str, Sequence[str]]], classes: Sequence[str], *, per_class: int,
    avoid: Sequence[str] = (), seed: int,
) -> dict[str, list[str]]:
    """Draw example clips for each class at random.

    Clips of one label come first, because they show what the label means; then curated ones before
    noisy ones before test clips. No clip is drawn twice, nor one of `avoid`, as long as there are
    others.

    Parameters
    ----------
    clips : mapping of str to (str, sequence of str)
        Split and labels by clip id.
    classes : sequence of str
    per_class : int
    avoid : sequence of str
    seed : int

    Returns
    -------
    dict of str to list of str
        At most `per_class` clips by class; a class without clips has none.
    """
    rank = {name: k for k, name in enumerate(SPLIT_INKS)}
    order = np.random.default_rng(seed).permutation(len(clips))
    drawn: list[str] = [list(clips)[k] for k in order]
    of_class: dict[str, list[str]] = {name: [] for name in classes}
    for clip_id in drawn:
        for label in clips[clip_id][1]:
            of_class[label].append(clip_id)
    used, result = set(avoid), {}
    # The rarest class chooses first.
    for name in sorted(classes, key=lambda name: len(of_class[name])):
        def place(clip_id: str) -> tuple[bool, bool, int]:
            split, labels = clips[clip_id]
            return clip_id in used, len(labels) > 1, rank[split]

        result[name] = sorted(of_class[name], key=place)[:per_class]
        used.update(result[name])
    return {name: result[name] for name in classes}
