"""Extract the features of a data set into stores, or only show the plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pipeline.extraction.inputs import read_inputs
from pipeline.extraction.plan import Plan, make_plan, plan_table
from pipeline.extraction.reuse import PROBLEMS, find_reusable, source_states
from pipeline.extraction.run import Summary, extract, summary_of
from pipeline.extraction.targets import Target
from pipeline.runtime import problems
from pipeline.runtime.errors import BadClipsError
from pipeline.runtime.files import locked


def extract_stores(
    data: Path, out: Path, targets: Sequence[Target], *, allow_failures: int, dry_run: bool,
    **options: Any,
) -> str:
    """Plan an extraction and carry the plan out, unless `dry_run`; problems go to stderr.

    Parameters
    ----------
    data, out, targets, allow_failures, dry_run, **options
        See :func:`run_extraction`.

    Returns
    -------
    str
        Lines for the terminal: what was done, or the plan.

    Raises
    ------
    PipelineError
        As :func:`run_extraction`.
    """
    try:
        done = run_extraction(data, out, targets, allow_failures=allow_failures, dry_run=dry_run,
                              tell=lambda note: print(f"  note: {note}", file=sys.stderr),
                              **options)
    except BadClipsError as error:
        print(f"{len(error.problems)} bad clips:", file=sys.stderr)
        problems.print_problems(error.problems, out / PROBLEMS)
        raise
    if isinstance(done, Summary):
        return summary_of(out, done)
    problems.print_problems(done.problems)
    return (f"{plan_table(done, allow_failures=allow_failures)}\n"
            "extract: dry run, nothing written")


def run_extraction(
    data: Path, out: Path, targets: Sequence[Target], *, drop_known_bad: bool, limit: int | None,
    allow_failures: int, trim_db: float, jobs: int, backend: str, force: bool, repair: bool,
    dry_run: bool, tell: Callable[[str], None], cluster: str | None = None,
) -> Summary | Plan:
    """Plan an extraction and carry the plan out, unless `dry_run`.

    Parameters
    ----------
    data, drop_known_bad, limit
        See :func:`pipeline.extraction.inputs.read_inputs`.
    out : Path
        The stores' folder, locked meanwhile.
    targets : sequence of Target
    allow_failures, trim_db, jobs, backend, cluster
        See :func:`pipeline.extraction.run.extract`.
    force : bool
        Reuse nothing.
    repair : bool
        Check the stores, and extract damaged clips again.
    dry_run : bool
        Write nothing, and need no lock.
    tell : callable
        Called with each remark for the user, before anything is decoded.

    Returns
    -------
    Summary or Plan
        What was done; what would be, if `dry_run`.

    Raises
    ------
    PipelineError
        As the functions above.
    """
    workers: dict[str, Any] = {"jobs": jobs, "backend": backend, "cluster": cluster}
    with nullcontext() if dry_run else locked(out):
        inputs = read_inputs(
            data, limit=limit, drop_known_bad=drop_known_bad, out=out,
            header_cache=None if dry_run else out / "headers.csv",
        )
        for note in inputs.notes:
            tell(note)
        reusable = find_reusable(out, targets, force=force, repair=repair)
        states = source_states(inputs.root, inputs.clips, out, reusable.values(), **workers)
        plan = make_plan(inputs, targets, reusable, states, allow_failures=allow_failures)
        if dry_run:
            return plan
        return extract(
            plan, out, reusable, states, **workers, force=force, allow_failures=allow_failures,
            trim_db=trim_db,
        )
