"""Draw the demo data set: the clips of each split, their labels and their sounds.

Every random choice follows from the seed. Each clip has its own random generator, so that no clip
depends on another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.synthesis import scene as scenes
from pipeline.synthesis.tonal import log_uniform

SHORTEST, LONGEST = 0.3, 12.0  # seconds
TWO_LABELS, WRONG_LABELS, PUBLIC = 1 / 7, 0.5, 0.3  # shares of the clips


@dataclass(frozen=True, eq=False)
class DemoClip:
    """A clip of the demo.

    Attributes
    ----------
    name : str
        Its file name.
    labels : tuple of str
        As in the table; those of a noisy clip may be wrong.
    sounds : tuple of str
        The classes that are heard, the background aside: the labels that would be right.
    usage : str
        The leaderboard of a test clip, ``Public`` or ``Private``; empty for the others.
    y : np.ndarray [shape=(n,), dtype=float32]
        Its samples at 44.1 kHz.
    """

    name: str
    labels: tuple[str, ...]
    sounds: tuple[str, ...]
    usage: str
    y: NDArray[np.float32]


def classes() -> list[str]:
    """Return the classes of the demo, sorted."""
    return sorted(scenes.SOUNDS)


def file_names(counts: Sequence[int], seed: int) -> list[list[str]]:
    """Return sorted file names of eight hexadecimal digits for each split, unique over all."""
    drawn = np.random.default_rng([seed, 0]).choice(2**32, sum(counts), replace=False)
    return [[f"{number:08x}.wav" for number in sorted(part)]
            for part in np.split(drawn, np.cumsum(counts)[:-1])]


def draw_split(split: int, names: Sequence[str], seed: int, *, kind: str) -> Iterator[DemoClip]:
    """Yield the clips of one split.

    Parameters
    ----------
    split : int
        The split's number, for its generators.
    names : sequence of str
        The clips' file names.
    seed : int
    kind : str
        ``curated``; ``noisy`` for clips with a background and partly wrong labels; ``test`` for
        clips with a leaderboard.
    """
    known = classes()
    rng = np.random.default_rng([seed, 1 + split])
    turns = [c for _ in names[::len(known)] for c in rng.permutation(known).tolist()]
    for i, (name, first) in enumerate(zip(names, turns, strict=False)):
        rng = np.random.default_rng([seed, 1 + split, 1 + i])
        sounds = [first]
        if rng.random() < TWO_LABELS:
            sounds.append(str(rng.choice([c for c in known if c not in sounds])))
        behind = str(rng.choice(known)) if kind == "noisy" else None
        y = scenes.scene(rng, sounds, log_uniform(rng, SHORTEST, LONGEST), behind=behind)
        labels = sounds
        if kind == "noisy" and rng.random() < WRONG_LABELS:
            labels = [str(rng.choice([c for c in known if c not in sounds]))]
        usage = ""
        if kind == "test":
            usage = "Public" if rng.random() < PUBLIC else "Private"
        yield DemoClip(name, tuple(sorted(labels)), tuple(sorted(sounds)), usage, y)
