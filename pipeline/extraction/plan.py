"""Plan an extraction: which stores to make, which clips to decode, to reuse and to leave out.

A plan is a value: it is computed from tables and from what earlier runs left, and nothing is
written. ``extract --dry-run`` prints it, :mod:`pipeline.extraction.run` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.dataset.tables import Clip
from pipeline.extraction.inputs import Inputs
from pipeline.extraction.reuse import ReusableStores, SourceStates
from pipeline.extraction.targets import Target
from pipeline.extraction.worker import ClipTask, Span
from pipeline.runtime import problems as problem_tables
from pipeline.runtime.problems import Problem
from pipeline.runtime.progress import hours, size
from pipeline.store.reader import Store
from pipeline.store.schema import Contents, Excluded, starts_of

UP_TO_DATE = "up to date"


@dataclass(frozen=True)
class StorePlan:
    """What is to become of one store.

    Attributes
    ----------
    target : Target
    contents : Contents
        Clips, numbers of frames and the clips left out.
    n_reused : int
        Clips whose frames are copied from earlier runs.
    why : str
        Why the store has to be made, or :data:`UP_TO_DATE`.
    """

    target: Target
    contents: Contents
    n_reused: int
    why: str

    @property
    def name(self) -> str:
        """The feature's name."""
        return self.target.name

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing to do."""
        return self.why == UP_TO_DATE

    @property
    def n_bytes(self) -> int:
        """Bytes of the frames and tables; HDF5's own headers add some kilobytes."""
        return self.contents.n_bytes(self.target.spec)

    @cached_property
    def _starts(self) -> np.ndarray:
        return starts_of(self.contents.lengths)

    def span(self, index: int) -> Span:
        """Look up a clip's first frame and number of frames."""
        return Span(int(self._starts[index]), self.contents.lengths[index])


@dataclass(frozen=True)
class Plan:
    """What an extraction will do.

    Attributes
    ----------
    root : Path
        The folder that the clips' paths are relative to.
    clips : tuple of Clip
        The good clips: the rows of every store, in this order.
    stores : tuple of StorePlan
        Of every target, in the targets' order.
    decode : tuple of int
        The rows to decode for at least one store; the others are reused.
    excluded : tuple of Excluded
        The clips to leave out, sorted by id.
    problems : tuple of Problem
        Why, for those that count as failures.
    """

    root: Path
    clips: tuple[Clip, ...]
    stores: tuple[StorePlan, ...]
    decode: tuple[int, ...]
    excluded: tuple[Excluded, ...]
    problems: tuple[Problem, ...]

    @property
    def to_make(self) -> tuple[StorePlan, ...]:
        """The stores that are not up to date."""
        return tuple(store for store in self.stores if not store.up_to_date)

    @property
    def n_reused(self) -> int:
        """Clips that need not be decoded for any store."""
        return len(self.clips) - len(self.decode)

    def seconds(self, index: int) -> float:
        """Compute a clip's duration."""
        return self.clips[index].header.frames / self.clips[index].header.sr

    def task(self, index: int, stores: Iterable[StorePlan]) -> ClipTask:
        """Build the task of one clip for the stores that still need it.

        Built when it is sent: the tasks of 25,000 clips would take 27 MB.
        """
        clip = self.clips[index]
        return ClipTask(
            index, clip.clip_id, self.root / clip.path, clip.header,
            {store.name: store.span(index) for store in stores},
        )


def make_plan(
    inputs: Inputs, targets: Sequence[Target], reusable: dict[str, ReusableStores],
    states: SourceStates, *, allow_failures: int,
) -> Plan:
    """Plan an extraction.

    Parameters
    ----------
    inputs : Inputs
    targets : sequence of Target
        The stores that are wanted.
    reusable : dict of str to ReusableStores
        What earlier runs left of each target, by its name.
    states : SourceStates
        The source files as they are now.
    allow_failures : int
        Bad clips to accept. Clips that an earlier run left out are left out again if all bad clips
        together are not more than that; otherwise they are tried again.
    """
    bad = _bad_before(inputs, reusable, states, allow_failures)
    problems = [*inputs.problems, *states.problems, *(
        states.reported.get(e.clip_id) or Problem(
            e.clip_id, e.reason, "as in the last run", "Fix the file, then rerun prepare"
        ) for e in bad.values()
    )]
    not_decoded = [*inputs.accepted, *inputs.problems, *states.problems]
    bad |= {p.where: Excluded.of(p) for p in problem_tables.of_clips(not_decoded)}
    excluded = tuple(sorted(bad.values(), key=lambda e: e.clip_id))
    clips = tuple(clip for clip in inputs.clips if clip.clip_id not in bad)
    if not clips:
        return Plan(inputs.root, (), (), (), excluded, tuple(problems))
    clip_ids = tuple(clip.clip_id for clip in clips)
    stores, decode = [], set[int]()
    for target in targets:
        contents = Contents(clip_ids, _lengths(target, clips), excluded)
        available = reusable[target.name]
        if _is_current(available, contents, states):
            stores.append(StorePlan(target, contents, len(clips), UP_TO_DATE))
            continue
        missing = _not_reusable(available, contents, states)
        decode.update(missing)
        why = (
            available.why_none if available.sealed is None
            else _changes(available.sealed, contents, states, available.damaged)
        )
        if done := sum(len(rows) for _, rows in available.partial):
            why += f"; an unfinished run has {_clips(done)}"
        stores.append(StorePlan(target, contents, len(clips) - len(missing), why))
    return Plan(
        inputs.root, clips, tuple(stores), tuple(sorted(decode)), excluded, tuple(problems)
    )


def _lengths(target: Target, clips: Iterable[Clip]) -> tuple[int, ...]:
    """Number of frames of each clip."""
    sr, n_frames = target.feature.sr, target.feature.n_frames
    return tuple(n_frames(c.header.length_at(sr)) for c in clips)


def _bad_before(
    inputs: Inputs, reusable: dict[str, ReusableStores], states: SourceStates, allow_failures: int
) -> dict[str, Excluded]:
    """Clips that a sealed store left out and whose files are unchanged, by id, sorted."""
    found = {
        e.clip_id: e
        for each in reusable.values() if each.sealed is not None
        for e in each.sealed.contents.excluded
        if e.clip_id in states.sources and states.sources[e.clip_id].digest == e.digest
    }
    wanted = sorted(clip.clip_id for clip in inputs.clips if clip.clip_id in found)
    n = len(wanted) + len(states.problems) + len(inputs.problems)
    return {clip_id: found[clip_id] for clip_id in wanted} if n <= allow_failures else {}


def _is_current(available: ReusableStores, contents: Contents, states: SourceStates) -> bool:
    store = available.sealed
    return (
        store is not None
        and not available.needs_repair
        and store.contents == contents
        and all(
            clip_id in states.sources and states.sources[clip_id].digest == digest
            for clip_id, digest in zip(contents.clip_ids, store.digests, strict=True)
        )
    )


def _not_reusable(
    available: ReusableStores, contents: Contents, states: SourceStates
) -> list[int]:
    if available.sealed is None and not available.partial:
        return list(range(len(contents.clip_ids)))
    return [
        i for i, (clip_id, n_frames) in enumerate(
            zip(contents.clip_ids, contents.lengths, strict=True))
        if not (source := states.sources.get(clip_id))
        or not available.holds(clip_id, source.digest, n_frames)
    ]


def _changes(
    store: Store, contents: Contents, states: SourceStates, damaged: Set[str]
) -> str:
    """Describe how the clips differ from those of a sealed store."""
    before, now = set(store.contents.clip_ids), set(contents.clip_ids)
    out_before = {e.clip_id for e in store.contents.excluded}
    out_now = {e.clip_id for e in contents.excluded}
    changed = sum(
        clip_id in before and clip_id not in damaged and not (
            (source := states.sources.get(clip_id))
            and store.holds(clip_id, source.digest, n_frames)
        ) for clip_id, n_frames in zip(contents.clip_ids, contents.lengths, strict=True)
    )
    counts = {
        "damaged": len(damaged & now), "changed": changed, "new": len(now - before),
        "gone": len(before - now - out_now),
        "left out": len(out_now - out_before),
        "no longer left out": len(out_before - out_now - now),
    }
    found = ", ".join(f"{_clips(n)} {what}" for what, n in counts.items() if n)
    if not found and store.contents == contents:
        return "damaged outside of its clips"
    return found or "the order of the clips or the list of bad clips changed"


def _clips(n: int) -> str:
    return f"{n} clip" if n == 1 else f"{n} clips"


def plan_table(plan: Plan, *, allow_failures: int) -> str:
    """Format a plan as a table of stores and a line about the clips."""
    rows = [("store", "size", "clips", "decode", "reuse", "why")]
    rows += [
        (f"{s.name}.h5", size(s.n_bytes), str(len(plan.clips)),
         str(len(plan.clips) - s.n_reused), str(s.n_reused), s.why)
        for s in plan.stores
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]),
                   *(cell.rjust(n) for cell, n in zip(row[1:-1], widths[1:-1], strict=True)),
                   row[-1]])
        for row in rows
    ] if plan.stores else []
    audio = hours(sum(map(plan.seconds, plan.decode)))
    lines.append(
        f"{_clips(len(plan.decode))} to decode ({audio}), {plan.n_reused} to reuse, "
        f"{len(plan.excluded)} to leave out, "
        f"{size(sum(store.n_bytes for store in plan.to_make))} to write"
    )
    if (n := len(plan.problems)) > allow_failures:
        lines.append(
            f"{n} bad clips, {allow_failures} allowed: nothing would be sealed. Fix the files, or "
            f"leave them out with --allow-failures {n}"
        )
    elif not plan.clips:
        lines.append("no clips to extract: every one of them is bad")
    return "\n".join(lines)
