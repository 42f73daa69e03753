"""Report the bad clips of an extraction and seal its stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.extraction.reuse import PROBLEMS, Source, journal_entries
from pipeline.extraction.worker import ClipResult
from pipeline.runtime import problems as problem_tables
from pipeline.runtime.errors import BadClipsError, UsageError
from pipeline.runtime.problems import Problem
from pipeline.store.partial import PartialStore
from pipeline.store.schema import Contents, Excluded


def report(out: Path, problems: Sequence[Problem], *, allow_failures: int) -> None:
    """Write problems.csv, and stop if there are more bad clips than allowed.

    Raises
    ------
    BadClipsError
        If so; all are listed in problems.csv, and are the error's ``problems``.
    """
    path = out / PROBLEMS
    problem_tables.write_csv(path, problems)
    n = len(problems)
    if n > allow_failures:
        raise BadClipsError(
            f"{n} bad clips, {allow_failures} allowed; they are listed in {path}. "
            f"Nothing was sealed. Fix the files, or leave them out with --allow-failures {n}; "
            "clips that are finished will not be decoded again",
            problems,
        )


def seal(
    partials: Iterable[PartialStore], failed: Sequence[ClipResult], sources: dict[str, Source]
) -> dict[str, Path]:
    """Seal stores without the clips that failed.

    Parameters
    ----------
    partials : iterable of PartialStore
        Complete but for the clips that failed.
    failed : sequence of ClipResult
    sources : dict of str to Source
        The state of every clip's source file, by id.

    Returns
    -------
    sealed : dict of str to Path
        By feature.

    Raises
    ------
    UsageError
        If every clip failed.
    """
    return {
        partial.name: (_without(partial, failed, sources) if failed else partial).seal()
        for partial in partials
    }


def _without(
    partial: PartialStore, failed: Sequence[ClipResult], sources: dict[str, Source]
) -> PartialStore:
    """Lay out the same store without the bad clips, and copy the frames of the others."""
    old = partial.contents
    bad = {result.index for result in failed}
    kept = [i for i in range(len(old.clip_ids)) if i not in bad]
    if not kept:
        raise UsageError("no clips to extract: every one of them is bad")
    excluded = [*old.excluded, *(Excluded.of(r.problem, r.digest) for r in failed if r.problem)]
    smaller = PartialStore(partial.folder, partial.name, partial.spec, Contents(
        tuple(old.clip_ids[i] for i in kept), tuple(old.lengths[i] for i in kept),
        tuple(sorted(excluded, key=lambda e: e.clip_id)),
    ))
    smaller.reuse(partial.reopened(), journal_entries(smaller, range(len(kept)), sources))
    return smaller
