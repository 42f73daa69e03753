"""The clips with the lowest lwlrap, to hear and see."""

from __future__ import annotations

import numpy as np

from pipeline.diagnostics.clip_lwlrap import clip_lwlrap, worst
from pipeline.reports.model_sections.material import Material, prediction
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render


def section(material: Material) -> Section:
    """Make the section."""
    run, result = material.main, material.main.sets["oof"]
    per_clip, _ = clip_lwlrap(result.truth, result.scores.values)
    order = worst(per_clip, len(per_clip))
    ids = result.scores.clip_ids
    body = render(
        "model_sections/worst_clips.html", run=run.name, n_clips=len(order),
        perfect=int(np.count_nonzero(per_clip[order] == 1)), cards=material.cards_of("worst"),
        table=table(
            "worst-table", "All clips out of fold, the lowest lwlrap first",
            [Column("Clip"), Column("Labels", choose=True), Column("Predicted"),
             Column("lwlrap", "number", 3), Column("Fold", "number")],
            [(material.linked("worst", ids[k]), ", ".join(material.labels[ids[k]].labels),
              prediction(result.scores, int(k)), per_clip[k], material.labels[ids[k]].fold)
             for k in order],
        ),
    )
    return Section("worst-clips", "Worst clips", body)
