"""Which classes are taken for which: a matrix, and a table of pairs."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter

from pipeline.diagnostics.confusion import (
    Confusion,
    alike_order,
    outranking,
    pairs,
    predictions,
)
from pipeline.reports.class_matrix import draw_matrix, shrinks
from pipeline.reports.model_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import embed, style

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
        labels = [names[k] for k in order]
        # The root: a class that is confused in a tenth of its clips is to be seen.
        figure, axes, image = draw_matrix(
            share, labels, norm=PowerNorm(0.5, 0, 1), text=lambda value: f"{100 * value:.0f}",
        )
        axes.set_xlabel(what)
        axes.set_ylabel("label")
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
            shrinks=shrinks(n),
        )
