"""Labels per clip, distinct sets of labels, and labels that occur together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator

from pipeline.reports.class_matrix import draw_matrix, shrinks
from pipeline.reports.data_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import embed, style
from pipeline.survey.label_counts import co_occurrences, label_matrix, label_sets


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
    with style():
        figure, axes, image = draw_matrix(
            together, names, text=lambda n: f"{n:.0f}",
            # The root: a pair that occurs once is to be seen beside one that occurs often.
            norm=PowerNorm(0.5, 0, max(1, int(together.max()))),
        )
        bar = figure.colorbar(image, ax=axes, shrink=0.5, label="clips with both labels",
                              ticks=MaxNLocator(5, integer=True))
        bar.outline.set_visible(False)
        return embed(
            figure, name="co-occurrence",
            description="Matrix of the number of clips with both of two labels; the most frequent "
                        f"pair is {names[int(a)]} and {names[int(b)]} ({together[a, b]} clips)",
            caption="Clips that have both labels; the diagonal is left out. Other empty cells are "
                    "pairs that never occur together.",
            shrinks=shrinks(len(names)),
        )
