"""Levels, silence, clipping, sampling rates and formats."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.reports.data_sections.material import SPLIT_INKS, Material
from pipeline.reports.page import Section
from pipeline.reports.templating import render
from pipeline.reports.vector import embed, style
from pipeline.survey.clip_table import rows_of
from pipeline.survey.suspicion import CLIPPED, SILENCE, SILENT_DB

_LOWEST_DB = -90.0
_BINS = 45


def section(material: Material) -> Section:
    """Make the section; levels need a waveform store, the rest does not."""
    clips = material.survey.clips
    measured = clips[clips["rms_db"].notna()]
    body = render(
        "data_sections/levels.html", n_measured=len(measured),
        silent=int((measured["rms_db"] < SILENT_DB).sum()), silent_db=SILENT_DB,
        clipped=int((measured["clipped"] > CLIPPED).sum()), clipped_share=CLIPPED,
        silence=int((measured["silence"] > SILENCE).sum()), silence_share=SILENCE,
        level_sr=material.survey.level_sr, n_extracted=int(clips["extracted"].sum()),
        normalized=int((measured["peak_db"] > -0.1).sum()),
        drawing=_histograms(material, measured) if len(measured) else "",
        formats=Counter(
            each[1:] for each in rows_of(clips.dropna(subset="format"), "format", "sr", "channels")
        ).most_common(),
    )
    return Section("levels", "Levels and formats", body)


def _histograms(material: Material, clips: pd.DataFrame) -> Markup:
    panels = (
        ("RMS level (dBFS)", clips["rms_db"].clip(lower=_LOWEST_DB),
         np.linspace(_LOWEST_DB, 0, _BINS + 1)),
        ("leading and trailing silence (share of the clip)", clips["silence"],
         np.linspace(0, 1, 26)),
    )
    with style():
        figure = Figure(figsize=(8.6, 2.7), layout="constrained")
        for axes, (label, values, edges) in zip(figure.subplots(1, 2), panels, strict=True):
            for split in material.splits:
                part = values[clips["split"] == split]
                if len(part):
                    axes.hist(part, edges, histtype="step", lw=1.6, color=SPLIT_INKS[split],
                              weights=np.full(len(part), 1 / len(part)), label=split)
            axes.set_xlabel(label)
            axes.set_ylabel("share of the set's clips")
            axes.margins(x=0)
        figure.axes[0].legend(loc="upper left", fontsize=9)
        low, median, high = clips["rms_db"].clip(lower=_LOWEST_DB).quantile((0.05, 0.5, 0.95))
        return embed(
            figure, name="levels-histograms",
            description=f"Histograms of RMS level (median {median:.0f} dBFS, 90 % of the clips "
                        f"between {low:.0f} and {high:.0f}) and of the share of silence",
        )
