"""Scores of all runs with confidence intervals."""

from __future__ import annotations

from pipeline.diagnostics.reported_runs import all_notes, uneven_clips
from pipeline.reports.model_sections.drawing import LEVEL, Interval, intervals
from pipeline.reports.model_sections.material import SETS, Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render

_MEASURES = {"mean_average_precision": "mAP", "map_at_3": "MAP@3", "accuracy": "Accuracy"}


def section(material: Material) -> Section:
    """Make the section."""
    rows = [(run, kind, run.sets[kind].summary) for kind in SETS for run in material.runs
            if kind in run.sets]
    shown = [key for key in _MEASURES if any(key in summary for _, _, summary in rows)]
    main = material.main
    body = render(
        "model_sections/scores.html", main=main, summary=main.sets["oof"].summary,
        test=main.sets["test"].summary if "test" in main.sets else None,
        classes=material.dataset.classes, runs=material.runs, resamples=material.resamples,
        uneven=uneven_clips(material.runs),
        notes=all_notes(material.runs),
        drawing=intervals(
            [Interval(run.name, s["lwlrap"], s["lwlrap_low"], s["lwlrap_high"], SETS[kind])
             for run, kind, s in rows],
            name="scores-figure", xlabel="lwlrap",
            description="lwlrap with its interval: " + "; ".join(
                f"{run.name}, {SETS[kind]}: {s['lwlrap']:.3f} ({s['lwlrap_low']:.3f} to "
                f"{s['lwlrap_high']:.3f})" for run, kind, s in rows),
            caption=f"lwlrap of each run on each set of clips. Line: {LEVEL}.",
        ),
        table=table(
            "scores-table", "Scores of all runs",
            [Column("Run", choose=True), Column("Clips", choose=True),
             Column("Number of clips", "number"), Column("lwlrap", "number", 4),
             Column("from", "number", 3), Column("to", "number", 3),
             *(Column(_MEASURES[key], "number", 4) for key in shown)],
            [(run.name, SETS[kind], s["clips"], s["lwlrap"], s["lwlrap_low"], s["lwlrap_high"],
              *(s.get(key) for key in shown)) for run, kind, s in rows],
        ),
    )
    return Section("scores", "Scores", body)
