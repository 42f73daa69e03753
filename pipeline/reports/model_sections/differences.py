"""Two runs side by side: which classes and which clips they differ in."""

from __future__ import annotations

import numpy as np

from pipeline.reports.model_sections.drawing import LEVEL, Interval, intervals
from pipeline.reports.model_sections.material import SETS, Material, prediction
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render


def section(material: Material) -> Section | None:
    """Make the section, if two runs were named."""
    if not material.differences:
        return None
    old, new = material.runs[0].name, material.runs[1].name
    first = material.differences[0]
    classes, counts = first.new.classes, first.truth.sum(axis=0)
    gain, low, high = first.per_class.T
    order = [k for k in np.argsort(-np.nan_to_num(gain), kind="stable") if counts[k]]
    ids, labels = first.new.clip_ids, material.labels
    body = render(
        "model_sections/differences.html", old=old, new=new,
        overall=[(SETS[each.clips], len(each.truth), *each.overall)
                 for each in material.differences],
        n_classes=len(order), better=sum(low[k] > 0 for k in order),
        worse=sum(high[k] < 0 for k in order), n_clips=len(first.truth),
        n_different=len(first.furthest), cards=material.cards_of("difference"),
        drawing=intervals(
            [Interval(f"{classes[k]} ({counts[k]})", gain[k], low[k], high[k]) for k in order],
            name="differences-figure", zero=True,
            xlabel=f"lwlrap of {new} less that of {old}",
            description=f"lwlrap of {new} less that of {old} for each class: from "
                        + f"{gain[order[0]]:+.2f} ({classes[order[0]]}) to {gain[order[-1]]:+.2f} "
                        + f"({classes[order[-1]]})",
            caption=f"Out of fold; number of clips beside the class. Line: paired {LEVEL}. "
                    f"Right of 0, {new} is better.",
        ),
        classes=table(
            "class-differences-table", f"Classes, those where {new} gains most first",
            [Column("Class"), Column("Clips", "number"), Column("Difference", "number", 3),
             Column("from", "number", 3), Column("to", "number", 3)],
            [(classes[k], int(counts[k]), gain[k], low[k], high[k]) for k in order],
        ),
        clips=table(
            "clip-differences-table", "Clips with another lwlrap, the largest difference first",
            [Column("Clip"), Column("Labels", choose=True), Column(f"{old} predicts"),
             Column(f"{new} predicts"), Column(old, "number", 3), Column(new, "number", 3),
             Column("Difference", "number", 3)],
            [(material.linked("difference", ids[k]), ", ".join(labels[ids[k]].labels),
              prediction(first.old, int(k)), prediction(first.new, int(k)), *first.per_clip[k],
              first.per_clip[k, 1] - first.per_clip[k, 0]) for k in first.furthest],
        ),
    )
    return Section("differences", f"{new} and {old}", body)
