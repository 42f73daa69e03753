"""Clips, hours and labels of each set, and rows drawn at random."""

from __future__ import annotations

import numpy as np

from pipeline.reports.data_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.survey.label_counts import label_sets

_ROWS = 10


def section(material: Material) -> Section:
    """Make the section."""
    clips = material.survey.clips
    rows = []
    for name in material.splits:
        part = clips[clips["split"] == name]
        labels = part["labels"].map(len)
        labelled = labels[labels > 0]
        rows.append({
            "name": name, "clips": len(part), "hours": part["seconds"].sum() / 3600,
            "median": part["seconds"].median(), "labelled": len(labelled),
            "mean_labels": labelled.mean() if len(labelled) else None,
            "label_sets": len(label_sets(part["labels"])),
            "folds": part["fold"].nunique(),
        })
    drawn = np.random.default_rng(material.seed).permutation(len(clips))[:_ROWS]
    sample = table(
        "random-rows", f"{len(drawn)} clips drawn at random",
        [Column("Clip"), Column("Set"), Column("Labels"), Column("Length (s)", "number", 2),
         Column("Sampling rate (Hz)", "number")],
        [(material.linked(clips.index[i]), clips["split"].iloc[i],
          ", ".join(clips["labels"].iloc[i]), clips["seconds"].iloc[i], clips["sr"].iloc[i])
         for i in drawn],
    )
    body = render(
        "data_sections/overview.html", rows=rows, sample=sample,
        classes=material.survey.dataset.classes, total_clips=len(clips),
        total_seconds=clips["seconds"].sum(), stores=material.survey.stores,
        flagged=len(material.flags),
    )
    return Section("overview", "Overview", body)
