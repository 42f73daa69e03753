"""Distribution of clip lengths, by set and by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pipeline.reports.data_sections.material import SPLIT_INKS, Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import FIRST, INK, MUTED, embed, new_figure, shortened, style
from pipeline.survey.clip_table import rows_of

_MOST_CLASSES = 25
_BINS = 40
_EXTREMES = 10
_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def section(material: Material) -> Section | None:
    """Make the section."""
    clips = material.survey.clips
    clips = clips[clips["seconds"].notna()]
    if clips.empty:
        return None
    by_length = clips.sort_values("seconds", kind="stable")
    shown = {"shortest": by_length[:_EXTREMES], "longest": by_length[::-1][:_EXTREMES]}
    tables = [
        table(f"{name}-clips", f"The {len(part)} {name} clips",
              [Column("Clip"), Column("Set"), Column("Labels"), Column("Length (s)", "number", 2)],
              [(material.linked(c), split, ", ".join(labels), seconds)
               for c, split, labels, seconds in rows_of(part, "split", "labels", "seconds")])
        for name, part in shown.items()
    ]
    body = render(
        "data_sections/lengths.html", tables=tables, histograms=_histograms(material, clips),
        violins=_violins(clips),
        quantiles=[(split, *np.quantile(part, (0, 0.05, 0.5, 0.95, 1))) for split in material.splits
                   if len(part := clips["seconds"][clips["split"] == split])],
    )
    return Section("lengths", "Lengths", body)


def _histograms(material: Material, clips: pd.DataFrame) -> Markup:
    low, high = clips["seconds"].min(), clips["seconds"].max()
    edges = np.geomspace(max(low, 1e-3) * 0.999, max(high, 1e-3) * 1.001, _BINS + 1)
    splits = [s for s in material.splits if (clips["split"] == s).any()]
    with style():
        figure = Figure(figsize=(8.6, 0.5 + 1.35 * len(splits)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(len(splits), 1, sharex=True))
        for axes, split in zip(panels, splits, strict=True):
            seconds = clips["seconds"][clips["split"] == split]
            axes.hist(seconds, edges, color=SPLIT_INKS[split])
            axes.axvline(seconds.median(), color=INK, lw=1, ls=":")
            axes.set_title(f"{split}: {len(seconds):,} clips, median {seconds.median():.1f} s "
                           "(dotted)")
            axes.set_ylabel("clips")
        _seconds_axis(panels[-1], panels[-1].xaxis, low, high)
        panels[-1].set_xlabel("length (s, logarithmic)")
        return embed(
            figure, name="length-histograms",
            description="Histograms of clip lengths by set; "
                        f"from {low:.2f} to {high:.2f} seconds",
        )


def _violins(clips: pd.DataFrame) -> Markup:
    """Violins of log10 of the lengths, for the classes with the most clips."""
    exploded = clips[["seconds", "labels"]].explode("labels").dropna()
    counts = exploded["labels"].value_counts()
    names = [name for name in counts.index if counts[name] > 1][:_MOST_CLASSES]
    if not names:
        return Markup()
    values = [np.log10(exploded["seconds"][exploded["labels"] == name]) for name in names]
    medians = [10 ** float(np.median(v)) for v in values]
    with style():
        figure, axes = new_figure(8.6, 0.9 + 0.3 * len(names))
        spread = [v if np.ptp(v) > 0 else np.append(v, v.iloc[0] + 1e-3) for v in values]
        parts = axes.violinplot(spread, range(len(names)), orientation="horizontal", widths=0.85,
                                showextrema=False)
        for each in parts["bodies"]:  # type: ignore[attr-defined]
            each.set(facecolor=FIRST, alpha=0.45)
        for y, v in enumerate(values):
            first, median, third = np.quantile(v, (0.25, 0.5, 0.75))
            axes.plot([first, third], [y, y], color=FIRST, lw=3, solid_capstyle="butt")
            axes.plot(median, y, "o", color=INK, ms=4)
            axes.plot([v.min(), v.max()], [y, y], color=MUTED, lw=0.8, zorder=0)
        axes.set_yticks(
            range(len(names)), [f"{shortened(name)} ({counts[name]})" for name in names],
            fontsize=8.5,
        )
        axes.set_ylim(len(names) - 0.4, -0.6)
        ticks = [s for s in _SECONDS if exploded["seconds"].min() <= s <= exploded["seconds"].max()]
        axes.set_xticks(np.log10(ticks), [f"{s:g}" for s in ticks])
        axes.set_xlabel("length (s, logarithmic)")
        return embed(
            figure, name="length-violins",
            description=f"Violins of the lengths of the {len(names)} most frequent classes; "
                        f"medians from {min(medians):.1f} to {max(medians):.1f} seconds",
            caption=f"The {len(names)} most frequent classes of all sets (number of clips beside "
                    "the class). Dot: median; thick line: middle half of the clips; thin line: all "
                    "of them.",
        )


def _seconds_axis(axes: Axes, axis: Axis, low: float, high: float) -> None:
    axes.set_xscale("log")
    axis.set_major_locator(FixedLocator([s for s in _SECONDS if low <= s <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
