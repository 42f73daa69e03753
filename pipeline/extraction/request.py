"""What an extraction is asked for, and what it says it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.dataset.tables import Clip
from pipeline.extraction.extractors import Target
from pipeline.runtime.problems import Problem


@dataclass(frozen=True)
class Request:
    """What is to be extracted, and how.

    Attributes
    ----------
    root : Path
        The folder that the clips' paths are relative to.
    clips : sequence of Clip
        In the order of the store.
    targets : sequence of Target
    out : Path
        The stores' folder.
    trim_db : float
    jobs : int
    backend : str
    allow_failures : int
        Bad clips to accept, `earlier` among them.
    earlier : sequence of Problem
        Bad clips that were found before decoding.
    accepted : sequence of Problem
        Bad clips that prepare was allowed to leave out: recorded, and not counted again.
    force : bool
        Extract everything again.
    """

    root: Path
    clips: Sequence[Clip]
    targets: Sequence[Target]
    out: Path
    trim_db: float
    jobs: int
    backend: str
    allow_failures: int
    earlier: Sequence[Problem] = ()
    accepted: Sequence[Problem] = ()
    force: bool = False


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    up_to_date : list of str
        Features whose store had nothing to be done.
    sealed : dict of str to Path
        The stores that were made, by feature.
    extracted, taken_over : int
        Clips decoded, and clips whose every feature earlier runs had.
    audio_seconds, wall_seconds : float
        Of what was decoded.
    clipped_clips, clipped_samples : int
        Where int16 could not hold a sample.
    problems : list of Problem
        The bad clips that were accepted.
    """

    up_to_date: list[str] = field(default_factory=list)
    sealed: dict[str, Path] = field(default_factory=dict)
    extracted: int = 0
    reused: int = 0
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0
    clipped_clips: int = 0
    clipped_samples: int = 0
    problems: list[Problem] = field(default_factory=list)
