"""Whether scores can be read as probabilities: reliability diagrams and calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pipeline.diagnostics.calibration import Reliability, is_probability, reliability
from pipeline.diagnostics.reported_runs import ReportedRun
from pipeline.reports.model_sections.drawing import LEVEL
from pipeline.reports.model_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import FAINT, FIRST, MUTED, embed, shortened, style

_PER_ROW = 3
_MANY = 10  # decisions of a bin from which a resampled interval means something

Measured = Sequence[tuple[ReportedRun, Reliability]]


def section(material: Material) -> Section:
    """Make the section, of all runs whose scores are probabilities."""
    measured, others = [], []
    for run in material.runs:
        result = run.sets["oof"]
        if not run.gives_probabilities or not is_probability(result.scores.values):
            others.append(run.name)
            continue
        measured.append((run, reliability(
            result.truth, result.scores.values, single=run.single,
            rng=np.random.default_rng(material.seed), n_resamples=material.resamples,
        )))
    body = render(
        "model_sections/calibration.html", others=others, kinds=_kinds(measured),
        all_single=all(run.single for run in material.runs),
        drawing=_diagrams(measured) if measured else "",
        table=table(
            "calibration-table", "Bins of the reliability diagrams",
            [Column("Run", choose=True), Column("Score from", "number", 1),
             Column("to", "number", 1), Column("Decisions", "number"),
             Column("Mean score", "number", 3), Column("Share right", "number", 3),
             Column("interval from", "number", 3), Column("interval to", "number", 3)],
            [(run.name, bins.edges[k], bins.edges[k + 1], int(bins.count[k]), bins.score[k],
              bins.share[k], *bins.interval[k])
             for run, bins in measured for k in range(len(bins.count))],
        ) if measured else "",
    )
    return Section("calibration", "Calibration", body)


def _kinds(measured: Measured) -> list[dict[str, Any]]:
    """What a decision is and how many there are, for runs of one label per clip and of several."""
    kinds = []
    for single, what in ((True, "clips"), (False, "pairs")):
        counts = {run.name: int(bins.count.sum()) for run, bins in measured
                  if run.single == single}
        if not counts:
            continue
        alike = len(set(counts.values())) == 1
        decisions = (f"{next(iter(counts.values())):,} {what}" if alike else
                     ", ".join(f"{name}: {n:,} {what}" for name, n in counts.items()))
        kinds.append({"single": single, "names": ", ".join(counts), "decisions": decisions})
    return kinds


def _diagrams(measured: Measured) -> Markup:
    columns = min(_PER_ROW, len(measured))
    rows = -(-len(measured) // columns)
    with style():
        figure = Figure(figsize=(max(4.4, 2.87 * columns), 4.1 * rows), layout="constrained")
        grid = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, sharey="row",
                               height_ratios=[3, 1] * rows)
        for axes in grid.ravel():
            axes.set_visible(False)
        most = max(bins.count.max() for _, bins in measured)
        for i, (run, bins) in enumerate(measured):
            row, column = divmod(i, columns)
            axes, below = grid[2 * row, column], grid[2 * row + 1, column]
            axes.set_visible(True)
            below.set_visible(True)
            filled = bins.count > 0
            axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
            many = bins.count >= _MANY
            axes.vlines(bins.score[many], *bins.interval[many].T, color=MUTED, lw=1.5)
            axes.plot(bins.score[filled], bins.share[filled], color=FIRST, lw=1)
            axes.plot(bins.score[many], bins.share[many], "o", color=FIRST, ms=5)
            few = filled & ~many
            axes.plot(bins.score[few], bins.share[few], "o", color=FIRST, ms=5, mfc="none")
            axes.set(xlim=(0, 1), ylim=(-0.02, 1.02))
            axes.set_title(f"{shortened(run.name)}: ECE {bins.error:.3f}")
            middle = (bins.edges[:-1] + bins.edges[1:]) / 2
            below.bar(middle[filled], bins.count[filled], 0.085, color=FAINT)
            below.set(yscale="log", ylim=(0.7, most * 2))
            below.yaxis.set_major_locator(FixedLocator(
                [10**k for k in range(0, 9, 1 if most < 1000 else 2) if 10**k <= most]))
            below.yaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
            below.yaxis.set_minor_locator(NullLocator())
            below.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
            below.tick_params(labelbottom=True)
            below.set_xlabel("score")
            if column == 0:
                axes.set_ylabel("share right")
                below.set_ylabel("decisions")
        return embed(
            figure, name="calibration-figure",
            description="Reliability diagrams; " + "; ".join(
                f"{run.name}: expected calibration error {bins.error:.3f}"
                for run, bins in measured),
            caption="Above: share of right decisions by score, in ten bins; on the diagonal, "
                    f"scores are probabilities. Line: {LEVEL}; hollow: fewer than {_MANY} "
                    "decisions, too few for an interval. Below: number of decisions "
                    "(logarithmic)."
                    + _decision([run for run, _ in measured]),
        )


def _decision(runs: Sequence[ReportedRun]) -> str:
    several = [run.name for run in runs if not run.single]
    if not several:
        return ""
    whose = f" of {', '.join(several)}" if len(several) < len(runs) else ""
    return f" A decision{whose} is a pair of clip and class."
