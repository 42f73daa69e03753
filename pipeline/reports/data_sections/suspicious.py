"""All clips in a table to sort and filter, the suspicious ones first, and some of them to hear."""

from __future__ import annotations

import numpy as np

from pipeline.reports.data_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.survey.clip_table import store_of
from pipeline.survey.suspicion import FLAGS


def section(material: Material) -> Section:
    """Make the section."""
    clips, flags = material.survey.clips, material.flags
    order = [*flags, *(c for c in clips.index if c not in flags)]
    columns = {name: clips[name].to_dict() for name in
               ("split", "labels", "seconds", "rms_db", "peak_db", "clipped", "silence")}
    listed = table(
        "clips-table", "All clips, the suspicious ones first",
        [Column("Clip"), Column("Set", choose=True), Column("Labels", choose=True),
         Column("Flags", choose=True), Column("Length (s)", "number", 2),
         Column("RMS (dBFS)", "number", 1), Column("Peak (dBFS)", "number", 1),
         Column("Clipped (%)", "number", 2), Column("Silence (%)", "number")],
        [(material.linked(c), columns["split"][c], ", ".join(columns["labels"][c]),
          ", ".join(flags.get(c, ())),
          columns["seconds"][c], _finite(columns["rms_db"][c]), _finite(columns["peak_db"][c]),
          100 * columns["clipped"][c], 100 * columns["silence"][c]) for c in order],
    )
    counts = {name: sum(name in names for names in flags.values()) for name in FLAGS}
    body = render(
        "data_sections/suspicious.html", table=listed, counts=counts, flags=FLAGS,
        measured=store_of(material.survey.stores, "waveform") is not None,
        cards=[material.cards[c] for c in material.suspicious], n_flagged=len(flags),
    )
    return Section("suspicious", "Suspicious clips", body)


def _finite(value: float) -> float | None:
    """Digital silence has no level: an empty cell."""
    return value if np.isfinite(value) else None
