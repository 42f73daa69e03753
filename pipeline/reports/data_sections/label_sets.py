"""Labels per clip, distinct sets of labels, and labels that occur together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from pipeline.reports.data_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import INK, MUTED, embed, new_figure, shortened, style
from pipeline.survey.label_counts import co_occurrences, label_matrix, label_sets

# Transparent to opaque, whatever the page's background.
_SHADES = LinearSegmentedColormap.from_list(
    "shades", [(0.24, 0.55, 0.82, 0.12), (0.24, 0.55, 0.82, 1)]
)

_FEW_CLASSES = 20  # whose counts are written into the matrix


def section(material: Material) -> Section | None:
    """Make the section, of the training clips and the labelled test clips together."""
    clips, names = material.survey.clips, material.survey.dataset.classes
    labelled = clips[clips["labels"].map(len) > 0]
    if labelled.empty:
        return None
    per_clip = labelled["labels"].map(len)
    most = int(per_clip.max())
    rows = [(split, [int((per_clip[labelled["split"] == split] == n).sum())
                     for n in range(1, most + 1)]) for split in material.splits]
    sets = label_sets(labelled["labels"])
    pairs = co_occurrences(label_matrix(labelled["labels"], names))
    body = render(
        "data_sections/label_sets.html", rows=rows, most=most, n_sets=len(sets),
        n_clips=len(labelled), several=int((per_clip > 1).sum()),
        curated_sets=len(label_sets(clips["labels"][clips["split"] == "curated"])),
        table=table(
            "label-sets-table", "Sets of labels, the most frequent first",
            [Column("Labels"), Column("Number of labels", "number"), Column("Clips", "number")],
            [(", ".join(key), len(key), n)
             for key, n in sorted(sets.items(), key=lambda item: (-item[1], item[0]))],
        ),
        matrix=_matrix(pairs, names) if most > 1 else "",
        pairs=_pairs(pairs, names) if most > 1 else "",
    )
    return Section("label-sets", "Labels per clip", body)


def _pairs(pairs: np.ndarray, names: Sequence[str]) -> Markup:
    alone = np.diag(pairs)
    found = sorted(
        (-int(pairs[i, j]), names[i], names[j], 100 * pairs[i, j] / min(alone[i], alone[j]))
        for i, j in zip(*np.nonzero(np.triu(pairs, 1)), strict=True)
    )
    return table(
        "pairs-table", "Pairs of labels, the most frequent first",
        [Column("Label"), Column("and"), Column("Clips with both", "number"),
         Column("of the rarer one's (%)", "number", 1)],
        [(a, b, -n, share) for n, a, b, share in found], per_page=10,
    )


def _matrix(pairs: np.ndarray, names: Sequence[str]) -> Markup:
    together = pairs.copy()
    np.fill_diagonal(together, 0)
    a, b = np.unravel_index(int(together.argmax()), together.shape)
    n, size = len(names), 7
    few = n <= _FEW_CLASSES
    side = 7.6 if few else 0.155 * n + 1.5
    with style():
        figure, axes = new_figure(side + 1, side)
        image = axes.imshow(np.where(together > 0, together, np.nan), cmap=_SHADES, vmin=0)
        short = [shortened(name) for name in names]
        ticks = 8 if few else 7
        axes.set_xticks(range(n), short, rotation=90, fontsize=ticks)
        axes.set_yticks(range(n), short, fontsize=ticks)
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(-0.5, n), minor=True)
        axes.set_yticks(np.arange(-0.5, n), minor=True)
        axes.grid(which="minor", color=MUTED, lw=0.15)
        axes.tick_params(which="minor", length=0)
        if few:
            for i, j in zip(*np.nonzero(together), strict=True):
                axes.text(j, i, str(together[i, j]), ha="center", va="center", fontsize=size,
                          color=INK)
        bar = figure.colorbar(image, ax=axes, shrink=0.5, label="clips with both labels",
                              ticks=MaxNLocator(5, integer=True))
        bar.outline.set_visible(False)
        return embed(
            figure, name="co-occurrence",
            description="Matrix of the number of clips with both of two labels; the most frequent "
                        f"pair is {names[int(a)]} and {names[int(b)]} ({together[a, b]} clips)",
            caption="Clips that have both labels; the diagonal is left out. Other empty cells are "
                    "pairs that never occur together.",
            shrinks=few,
        )
