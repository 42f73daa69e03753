"""What each step from one fold's model to the ensemble gains."""

from __future__ import annotations

from pipeline.reports.model_sections.drawing import LEVEL, Interval, intervals
from pipeline.reports.model_sections.material import SETS, Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render


def section(material: Material) -> Section | None:
    """Make the section; none where nothing was combined."""
    rows = [(name, step) for kind in ("oof", "test") for name, steps in material.steps.items()
            for step in steps if step.clips == kind]
    if not rows:
        return None
    several = len({name for name, _ in rows}) > 1
    names = {id(step): f"{name}: {step.new}" if several else step.new for name, step in rows}
    clear = [step for _, step in rows if step.low > 0]
    body = render(
        "model_sections/gains.html", n_steps=len(rows), clear=len(clear),
        drawing=intervals(
            [Interval(f"{names[id(step)]} over {step.old}", step.gain, step.low, step.high,
                      SETS[step.clips]) for _, step in rows],
            name="gains-figure", xlabel="gain in lwlrap", zero=True,
            description="Gains in lwlrap: " + "; ".join(
                f"{names[id(step)]} over {step.old}, {SETS[step.clips]}: {step.gain:+.3f} "
                f"({step.low:+.3f} to {step.high:+.3f})" for _, step in rows),
            caption=f"Gain of each step on the same clips. Line: paired {LEVEL}.",
        ),
        table=table(
            "gains-table", "Steps and their gains",
            [Column("Run"), Column("Step"), Column("compared with"), Column("Clips", choose=True),
             Column("lwlrap", "number", 4), Column("Gain", "number", 4),
             Column("from", "number", 4), Column("to", "number", 4)],
            [(name, step.new, step.old, SETS[step.clips], step.value, step.gain, step.low,
              step.high) for name, step in rows],
        ),
    )
    return Section("gains", "Gain of each step", body)
