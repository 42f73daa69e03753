"""Read the clips to extract: from prepare's tables, or from a data set's folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataset import tables
from pipeline.dataset.tables import Clip
from pipeline.runtime import problems as problem_tables
from pipeline.runtime.problems import Problem


@dataclass(frozen=True)
class Inputs:
    """The clips to extract, and the bad ones that are known by their headers.

    Attributes
    ----------
    root : Path
        The folder that the clips' paths are relative to.
    clips : list of Clip
        In the order of the stores.
    problems : list of Problem
        Bad clips of a folder that was not prepared; they count as failures.
    accepted : list of Problem
        Bad clips that prepare was allowed to leave out: recorded, and not counted again.
    """

    root: Path
    clips: list[Clip]
    problems: list[Problem]
    accepted: list[Problem]


def read_inputs(
    data: Path, *, drop_known_bad: bool, header_cache: Path | None = None, limit: int | None = None
) -> Inputs:
    """Read the clips of a prepared folder, or prepare those of a data set.

    Parameters
    ----------
    data : Path
        A folder that prepare wrote, or a data set's. Of the latter only the clips are read; labels
        and folds are prepare's task.
    drop_known_bad : bool
        Leave out the clips that FSDKaggle2019's organisers named as bad.
    header_cache : Path, optional
        A CSV to read a data set's headers from and to write them to.
    limit : int, optional
        Keep only the first clips.

    Raises
    ------
    UsageError
        If there is no data set, or one of its tables is not valid.
    """
    if tables.is_prepared(data):
        accepted = problem_tables.read_csv(data / "problems.csv")
        dataset, clips = tables.read_clips(data)
        kept = [p for p in accepted if p.reason != "known-bad"]
        return Inputs(dataset.root, clips[:limit], [], kept)
    # Not needed for prepared data, and it has more to import.
    from pipeline.dataset import preparation

    prepared = preparation.prepare(
        data, labels="multi", folds=None, seed=0,
        drop_known_bad=drop_known_bad, header_cache=header_cache,
    )
    for note in prepared.notes:
        print(f"  note: {note}", file=sys.stderr)
    bad = preparation.bad(prepared.problems)
    return Inputs(prepared.dataset.root, prepared.clips[:limit], bad, [])
