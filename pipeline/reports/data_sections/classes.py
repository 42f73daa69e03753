"""Number of clips per class in each set."""

from __future__ import annotations

import numpy as np

from pipeline.reports.data_sections.material import SPLIT_INKS, Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import FAINT, embed, new_figure, shortened, style
from pipeline.survey.label_counts import label_matrix


def section(material: Material) -> Section:
    """Make the section."""
    survey, names = material.survey, material.survey.dataset.classes
    counts = {
        split: label_matrix(part["labels"], names).sum(axis=0)
        for split in material.splits
        if (part := survey.clips[survey.clips["split"] == split])["labels"].map(len).any()
    }
    total = np.sum(list(counts.values()), axis=0) if counts else np.zeros(len(names), int)
    order = np.argsort(-total, kind="stable")
    extremes = [
        (split, names[int(n.argmax())], int(n.max()), names[int(n.argmin())], int(n.min()))
        for split, n in counts.items()
    ]
    with style():
        figure, axes = new_figure(8.6, 1.1 + 0.2 * len(names))
        y = np.arange(len(names))
        largest = np.max(list(counts.values()), axis=0) if counts else total
        axes.hlines(y, 0, largest[order], color=FAINT, lw=0.8)
        for split, n in counts.items():
            axes.plot(n[order], y, "o", ms=4.5, color=SPLIT_INKS[split], label=split)
        axes.set_yticks(y, [shortened(names[k]) for k in order], fontsize=8)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("clips with the label")
        if len(counts) > 1:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        drawing = embed(
            figure, name="class-counts",
            description="Clips per class: " + "; ".join(
                f"{split}: most {most} ({n_most}), least {least} ({n_least})"
                for split, most, n_most, least, n_least in extremes
            ),
            caption="Clips per class; a clip with several labels counts once for each.",
        )
    counted = table(
        "classes-table", "Clips with each label",
        [Column("Class"), *(Column(split.capitalize(), "number") for split in counts),
         Column("All", "number")],
        [(names[k], *(int(n[k]) for n in counts.values()), int(total[k])) for k in order],
    )
    body = render("data_sections/classes.html", extremes=extremes, drawing=drawing, table=counted)
    return Section("classes", "Clips per class", body)
