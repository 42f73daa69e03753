"""A few clips of each class to see and hear."""

from __future__ import annotations

from pipeline.reports.data_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.templating import render


def section(material: Material) -> Section | None:
    """Make the section. A clip that is on the page already is linked, not repeated."""
    shown = set(material.suspicious)
    groups = []
    for name, clip_ids in material.examples.items():
        cards, links = [], []
        for clip_id in clip_ids:
            if clip_id in shown:
                links.append(material.linked(clip_id))
            else:
                shown.add(clip_id)
                cards.append(material.cards[clip_id])
        if clip_ids:
            groups.append((name, cards, links))
    if not groups:
        return None
    body = render("data_sections/examples.html", groups=groups)
    return Section("examples", "Examples of each class", body)
