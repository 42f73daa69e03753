"""The clips to extract: what prepare wrote, or a data set's folder that is prepared on the way."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.dataset import tables
from pipeline.dataset.tables import Clip, Dataset
from pipeline.runtime import problems as problem_tables
from pipeline.runtime.problems import Problem


def clips_of(
    data: Path, out: Path, *, drop_known_bad: bool
) -> tuple[Dataset, list[Clip], list[Problem], list[Problem]]:
    """The data set, its good clips, the bad ones found on the way, and those prepare left out.

    Parameters
    ----------
    data : Path
        A folder that prepare wrote, or a data set's; of the latter only the clips are looked at.
        Labels and folds are prepare's work.
    out : Path
        The stores' folder.
    drop_known_bad : bool
        Leave out the clips that FSDKaggle2019's organisers named as bad.

    Raises
    ------
    UsageError
        If there is no data set, or a table in it is not one.
    """
    if tables.is_prepared(data):
        accepted = problem_tables.read_csv(data / "problems.csv")
        return *tables.read_clips(data), [], [p for p in accepted if p.reason != "known-bad"]
    # Not needed for prepared data, and it has more to import.
    from pipeline.dataset import preparation

    prepared = preparation.prepare(
        data, labels="multi", folds=None, seed=0,
        drop_known_bad=drop_known_bad, header_cache=out / "headers.csv",
    )
    for note in prepared.notes:
        print(f"  note: {note}", file=sys.stderr)
    return prepared.dataset, prepared.clips, preparation.bad(prepared.problems), []
