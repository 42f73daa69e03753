"""Read the clips to extract: from prepare's tables, a data set's, or a folder of audio."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.dataset import tables
from pipeline.dataset.tables import Clip
from pipeline.runtime import problems as problem_tables
from pipeline.runtime.errors import UsageError
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
    notes : list of str
        Remarks for the user.
    """

    root: Path
    clips: list[Clip]
    problems: list[Problem]
    accepted: list[Problem]
    notes: list[str] = field(default_factory=list)


def read_inputs(
    data: Path, *, drop_known_bad: bool, header_cache: Path | None = None,
    limit: int | None = None, out: Path | None = None,
) -> Inputs:
    """Read the clips of a prepared folder, of a data set, or of any folder of audio.

    Parameters
    ----------
    data : Path
        A folder that prepare wrote, a data set's, or a folder of audio. Where tables name the
        clips, as those of :data:`pipeline.dataset.layouts.LAYOUTS` do, ids are theirs; labels and
        folds are prepare's task. Otherwise the clips are all audio files in the folder and in those
        inside it, and the ids are their paths: also where the folders are classes, so that
        extracting such a data set before and after prepare gives the same stores.
    drop_known_bad : bool
        Leave out the clips that FSDKaggle2019's organisers named as bad.
    header_cache : Path, optional
        A CSV to read a data set's headers from and to write them to.
    limit : int, optional
        Keep only the first clips.
    out : Path, optional
        The stores' folder, which is not searched for audio if it lies in `data`.

    Raises
    ------
    UsageError
        If there is no audio, or a table of the data set is not valid.
    """
    if tables.is_prepared(data):
        accepted = problem_tables.read_csv(data / "problems.csv")
        dataset, clips = tables.read_clips(data)
        kept = [p for p in accepted if p.reason != "known-bad"]
        return Inputs(dataset.root, clips[:limit], [], kept)
    # Not needed for prepared data, and it has more to import.
    from pipeline.dataset.location import find_tables

    place, unfit = find_tables(data)
    if place is None or place.layout.by_folder:
        root = data if data.is_dir() else data.parent
        return _folder_inputs(root, unfit, header_cache, limit, out)
    from pipeline.dataset import preparation

    prepared = preparation.prepare(
        data, labels="multi", folds=None, seed=0,
        drop_known_bad=drop_known_bad, header_cache=header_cache,
    )
    bad = preparation.bad(prepared.problems)
    return Inputs(prepared.dataset.root, prepared.clips[:limit], bad, [], prepared.notes)


def _folder_inputs(
    root: Path, unfit: list[str], header_cache: Path | None, limit: int | None, out: Path | None
) -> Inputs:
    """All audio files in a folder, by their paths."""
    from pipeline.dataset.clip_rows import ListedClip
    from pipeline.dataset.header_scan import scan
    from pipeline.dataset.recordings import find_recordings

    found = find_recordings(root, skip=out)
    if not found.paths and not found.problems:
        lines = [f"{root}: no audio there, and no table that names clips", *unfit, *found.notes]
        raise UsageError("\n".join(lines))
    headers = scan(root, [ListedClip(path, "", path) for path in found.paths], header_cache)
    problems = found.problems + [h for h in headers.values() if isinstance(h, Problem)]
    clips = [Clip(path, path, header) for path in found.paths
             if not isinstance(header := headers[path], Problem)]
    return Inputs(root, clips[:limit], problems, [], found.notes)
