"""Labels that are likely wrong or missing, to hear and to decide on."""

from __future__ import annotations

from pipeline.diagnostics.suspect_clips import names_where
from pipeline.reports.model_sections.material import Material, prediction
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render

_ROWS = 5000


def section(material: Material) -> Section:
    """Make the section."""
    found = material.search.found
    rows = []
    for each in found:
        classes, errors = each.scores.classes, each.errors
        for k in errors.ranked:
            given, suggested = (", ".join(names_where(chosen[k], classes))
                                for chosen in (each.truth, errors.suggested))
            clip_id = each.scores.clip_ids[k]
            rows.append((material.linked(f"suspect-{each.split}", clip_id), each.split, given,
                         suggested, prediction(each.scores, int(k)),
                         float(errors.confidence[k])))
    rows.sort(key=lambda row: row[-1])
    body = render(
        "model_sections/label_errors.html", run=material.main.name, notes=material.search.notes,
        counts=[(each.split, len(each.truth), len(each.errors.ranked),
                 int(each.errors.wrong.sum()), int(each.errors.missing.sum())) for each in found],
        file=material.table, left_out=max(0, len(rows) - _ROWS),
        cards=[(each.split, material.cards_of(f"suspect-{each.split}")) for each in found],
        table=table(
            "suspects-table", "Clips with likely label errors, the least confident first",
            [Column("Clip"), Column("Set", choose=True), Column("Labels", choose=True),
             Column("Suggested"), Column("Predicted"), Column("Self-confidence", "number", 3)],
            rows[:_ROWS],
        ) if rows else "",
    )
    return Section("label-errors", "Likely label errors", body)
