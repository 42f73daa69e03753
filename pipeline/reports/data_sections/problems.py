"""What prepare and extract found wrong, and clips that hold the same audio."""

from __future__ import annotations

from pipeline.reports.data_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.survey.clip_table import rows_of, store_of


def section(material: Material) -> Section:
    """Make the section."""
    survey = material.survey
    found = [(stage, each) for stage, problems in (
        ("prepare", survey.prepare_problems), ("extract", survey.extract_problems),
    ) for each in problems]
    clips = survey.clips
    listed = table(
        "problems-table", "Problems of the last runs of prepare and extract",
        [Column("Stage", choose=True), Column("Clip or row"), Column("Reason", choose=True),
         Column("Found"), Column("Advice")],
        [(stage, p.where, p.reason, p.found, p.advice) for stage, p in found],
    )
    equal = table(
        "duplicates-table", "Clips that hold the same audio",
        [Column("Group", "number"), Column("Clip"), Column("Set"), Column("Labels"),
         Column("Length (s)", "number", 2)],
        [(k, material.linked(c), split, ", ".join(labels), seconds)
         for k, group in enumerate(material.groups, 1) for c, split, labels, seconds in rows_of(
             clips.loc[[c for c in group if c in clips.index]], "split", "labels", "seconds"
         )],
    )
    waveform = store_of(survey.stores, "waveform")
    rate = "" if waveform is None else f"{waveform.spec.declaration.sr:,} Hz"
    body = render(
        "data_sections/problems.html", found=found, listed=listed, groups=material.groups,
        equal=equal, compared=waveform is not None, extracted=bool(survey.stores),
        as_stored=f" (in the waveform store, at {rate} and with channels averaged)",
    )
    return Section("problems", "Problems and duplicates", body)
