"""Extract the features of a data set into stores, or only show the plan."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pipeline.extraction.inputs import read_inputs
from pipeline.extraction.plan import make_plan, plan_table
from pipeline.extraction.reuse import find_reusable, source_states
from pipeline.extraction.run import extract, summary_of
from pipeline.extraction.targets import Target
from pipeline.runtime import problems
from pipeline.runtime.files import locked


def extract_stores(
    data: Path, out: Path, targets: Sequence[Target], *, drop_known_bad: bool, limit: int | None,
    allow_failures: int, trim_db: float, jobs: int, backend: str, force: bool, dry_run: bool,
) -> str:
    """Plan an extraction and carry the plan out, unless `dry_run`.

    Parameters
    ----------
    data, drop_known_bad, limit
        See :func:`pipeline.extraction.inputs.read_inputs`.
    out : Path
        The stores' folder, locked meanwhile.
    targets : sequence of Target
    allow_failures, trim_db, jobs, backend
        See :func:`pipeline.extraction.run.extract`.
    force : bool
        Reuse nothing.
    dry_run : bool
        Write nothing, and need no lock.

    Returns
    -------
    str
        Lines for the terminal: what was done, or the plan.

    Raises
    ------
    PipelineError
        As the functions above.
    """
    workers: dict[str, Any] = {"jobs": jobs, "backend": backend}
    with nullcontext() if dry_run else locked(out):
        inputs = read_inputs(
            data, limit=limit, drop_known_bad=drop_known_bad,
            header_cache=None if dry_run else out / "headers.csv",
        )
        reusable = find_reusable(out, targets, force=force)
        states = source_states(inputs.root, inputs.clips, out, reusable.values(), **workers)
        plan = make_plan(inputs, targets, reusable, states, allow_failures=allow_failures)
        if dry_run:
            problems.print_problems(plan.problems)
            return (f"{plan_table(plan, allow_failures=allow_failures)}\n"
                    "extract: dry run, nothing written")
        summary = extract(
            plan, out, reusable, states, **workers, force=force, allow_failures=allow_failures,
            trim_db=trim_db,
        )
    return summary_of(out, summary)
