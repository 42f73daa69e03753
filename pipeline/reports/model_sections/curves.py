"""Training curves of all folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.diagnostics.reported_runs import ReportedRun
from pipeline.reports.model_sections.material import Material
from pipeline.reports.page import Section
from pipeline.reports.templating import render
from pipeline.reports.vector import FAINT, FIRST, INK, embed, style
from pipeline.scoring.plot_data import read_histories

if TYPE_CHECKING:
    import pandas as pd

_PANELS = {"loss": "loss", "lwlrap": "lwlrap"}


def section(material: Material) -> Section | None:
    """Make the section; none without a trained run."""
    trained = [(f"curves-{i}", run) for i, run in enumerate(material.runs) if run.record.folds]
    if not trained:
        return None
    body = render("model_sections/curves.html", drawings=[
        (run.name, run.record.settings.get("monitor", "loss"), _curves(key, run))
        for key, run in trained
    ])
    return Section("curves", "Training curves", body)


def _curves(key: str, run: ReportedRun) -> Markup:
    history = read_histories(run.folder, run.record.folds)
    chosen = {fold: _chosen_epoch(run, fold) for fold in run.record.folds}
    panels = [name for name in _PANELS if {name, f"val_{name}"} & set(history)]
    with style():
        figure = Figure(figsize=(8.6, 2.9), layout="constrained")
        for axes, name in zip(figure.subplots(1, max(1, len(panels)), squeeze=False)[0], panels,
                              strict=False):
            for column, ink, kind in ((name, FAINT, "training"),
                                      (f"val_{name}", FIRST, "validation")):
                if column not in history:
                    continue
                # Not every epoch has a validation.
                for i, (fold, part) in enumerate(history.dropna(subset=column).groupby("fold")):
                    axes.plot(part["epoch"], part[column], color=ink, lw=1.2,
                              label=kind if i == 0 else None)
                    best = part[part["epoch"] == chosen[int(str(fold))]]
                    if ink == FIRST and len(best):
                        axes.plot(best["epoch"], best[column], "o", color=INK, ms=4,
                                  label="chosen epoch" if i == 0 else None)
            axes.set_title(_PANELS[name])
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if figure.axes and figure.axes[0].lines:
            figure.axes[0].legend(fontsize=9)
        return embed(figure, name=key, description=_describe(run, history, chosen))


def _describe(run: ReportedRun, history: pd.DataFrame, chosen: dict[int, int | None]) -> str:
    parts = []
    for fold, part in history.groupby("fold"):
        best = part[part["epoch"] == chosen[int(str(fold))]]
        text = f"fold {fold}: {len(part)} epochs"
        if len(best):
            text += f", epoch {chosen[int(str(fold))]} chosen"
            if "val_lwlrap" in best:
                text += f" with a validation lwlrap of {best['val_lwlrap'].iloc[0]:.3f}"
        parts.append(text)
    return f"Loss and lwlrap by epoch of {run.name}; " + "; ".join(parts)


def _chosen_epoch(run: ReportedRun, fold: int) -> int | None:
    best = (run.folder.fold(fold).read() or {}).get("best")
    epoch = best.get("epoch") if isinstance(best, dict) else None
    return int(epoch) if isinstance(epoch, int | float) else None
