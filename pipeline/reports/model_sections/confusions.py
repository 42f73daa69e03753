"""Which classes are taken for which: a matrix, and a table of pairs."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.ticker import PercentFormatter

from pipeline.diagnostics.confusion import (
    Confusion,
    alike_order,
    outranking,
    pairs,
    predictions,
)
from pipeline.reports.model_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import INK, MUTED, embed, new_figure, shortened, style

# Transparent to opaque, whatever the page's background.
_SHADES = LinearSegmentedColormap.from_list(
    "shades", [(0.24, 0.55, 0.82, 0.0), (0.24, 0.55, 0.82, 1)]
)
_FEW_CLASSES = 20  # whose shares are written into the matrix
_PAIRS = 500


def section(material: Material) -> Section:
    """Make the section."""
    run, result = material.main, material.main.sets["oof"]
    names = result.scores.classes
    count = predictions if run.single else outranking
    found = count(result.truth, result.scores.values)
    listed = pairs(found, _PAIRS)
    body = render(
        "model_sections/confusions.html", run=run.name, single=run.single,
        n_clips=len(result.truth),
        first=[(names[p.actual], names[p.other], p.count, p.of) for p in listed[:3]],
        matrix=_matrix(found, names, run.name, single=run.single),
        table=table(
            "confusions-table", "Pairs of classes, the most frequent first",
            [Column("Label"), Column("predicted instead" if run.single else "outranked by"),
             Column("Clips", "number"), Column("of", "number"), Column("Share (%)", "number")],
            [(names[p.actual], names[p.other], p.count, p.of, 100 * p.count / p.of)
             for p in listed],
        ),
    )
    return Section("confusions", "Confusions", body)


def _matrix(found: Confusion, names: tuple[str, ...], run: str, *, single: bool) -> Markup:
    order = alike_order(found)
    share = found.share[np.ix_(order, order)]
    n = len(names)
    off = np.where(np.eye(n, dtype=bool), 0, np.nan_to_num(share))
    a, b = np.unravel_index(int(off.argmax()), off.shape)
    what = "predicted" if single else "class that scores higher"
    with style():
        # Of many classes, the figure keeps its size and is scrolled: smaller, nobody could read it.
        side = 7.4 if n <= _FEW_CLASSES else 0.155 * n + 1.5
        figure, axes = new_figure(side + 1.2, side)
        # The root: a class that is confused in a tenth of its clips is to be seen.
        image = axes.imshow(share, cmap=_SHADES, norm=PowerNorm(0.5, 0, 1))
        ticks = 8.5 if n <= _FEW_CLASSES else 7
        labels = [names[k] for k in order]
        short = [shortened(label) for label in labels]
        axes.set_xticks(range(n), short, rotation=90, fontsize=ticks)
        axes.set_yticks(range(n), short, fontsize=ticks)
        axes.set_xlabel(what)
        axes.set_ylabel("label")
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(-0.5, n), minor=True)
        axes.set_yticks(np.arange(-0.5, n), minor=True)
        axes.grid(which="minor", color=MUTED, lw=0.15)
        axes.tick_params(which="minor", length=0)
        if n <= _FEW_CLASSES:
            for i, j in zip(*np.nonzero(np.nan_to_num(share)), strict=True):
                axes.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", fontsize=7.5,
                          color=INK)
        bar = figure.colorbar(image, ax=axes, shrink=0.5, label="share of the clips that it can "
                              "happen to", format=PercentFormatter(1))
        bar.outline.set_visible(False)
        return embed(
            figure, name="confusion-matrix",
            description=f"Matrix of confusions of {n} classes; the largest share is "
                        f"{labels[int(a)]} with {labels[int(b)]} ({off[a, b]:.0%})",
            caption=f"{run}, out of fold. "
                    + ("Row: the label; column: the class that scores highest; in per cent of the "
                       "label's clips. " if single else
                       "Row: a label; column: a class that is not a label of the clip and scores "
                       "at least as high; in per cent of the clips that have the one and not the "
                       "other. Diagonal: clips in which no such class does. ")
                    + "Classes that are confused stand next to each other.",
            shrinks=n <= _FEW_CLASSES,
        )
