"""Draw the figures of an evaluation as PNG files; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.runtime.files import atomic_write
from pipeline.scoring.evaluation import Result

if TYPE_CHECKING:
    import pandas as pd

INK, GREY = "#1f5f99", "#8a8a8a"
DPI = 100


def plain_style() -> AbstractContextManager[None]:
    """Use matplotlib's own defaults, whatever the user's matplotlibrc says."""
    return matplotlib.style.context("default", after_reset=True)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG atomically, without the version of matplotlib in it."""
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def draw_runs(path: Path, measured: Mapping[str, Mapping[str, Result]]) -> None:
    """Draw every run's lwlrap with its interval, from {run: {set of clips: Result}}."""
    kinds = dict.fromkeys(kind for sets in measured.values() for kind in sets)
    rows = [(f"{kind}, {run}", sets[kind].summary) for kind in kinds
            for run, sets in measured.items() if kind in sets]
    with plain_style():
        figure = Figure(figsize=(7.5, 1.2 + 0.28 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for y, (_, s) in enumerate(rows):
            axes.plot([s["lwlrap_low"], s["lwlrap_high"]], [y, y], color=GREY, lw=2)
            axes.plot(s["lwlrap"], y, "o", color=INK)
            axes.annotate(f"{s['lwlrap']:.3f}", (s["lwlrap_high"], y), xytext=(6, 0),
                          textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.invert_yaxis()
        axes.set_xlabel("lwlrap, 95 % bootstrap interval over clips")
        axes.margins(x=0.12)
        _bare(axes)
        save(figure, path)


def draw_per_class(path: Path, title: str, result: Result) -> None:
    """Draw the lwlrap of each class with clips, best first, with its interval."""
    counts = result.truth.sum(axis=0)
    order = [k for k in np.argsort(-result.per_class[:, 0], kind="stable") if counts[k]]
    value, low, high = result.per_class[order].T
    with plain_style():
        figure = Figure(figsize=(8, 1.4 + 0.19 * len(order)), layout="constrained")
        axes = figure.add_subplot()
        rows = np.arange(len(order))
        axes.hlines(rows, low, high, color=GREY, lw=1.5)
        axes.plot(value, rows, "o", color=INK, ms=4.5)
        overall = result.summary["lwlrap"]
        axes.axvline(overall, color=INK, lw=1, ls=":")
        axes.set_yticks(rows, [f"{result.scores.classes[k]} ({counts[k]})" for k in order],
                        fontsize=8)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("lwlrap, 95 % bootstrap interval over clips (number of labels beside the "
                        "class)", fontsize=9)
        axes.set_title(f"{title}: lwlrap {overall:.3f} (dotted)", fontsize=10, loc="left")
        _bare(axes)
        save(figure, path)


def draw_curves(path: Path, title: str, histories: pd.DataFrame) -> None:
    """Draw loss and lwlrap by epoch, one line per fold: training in grey, validation in blue."""
    panels = [n for n in ("loss", "lwlrap") if {n, f"val_{n}"} & set(histories)]
    with plain_style():
        figure = Figure(figsize=(4.6 * max(1, len(panels)), 3.4), layout="constrained")
        for axes, name in zip(np.atleast_1d(figure.subplots(1, max(1, len(panels)))), panels,
                              strict=False):
            for column, colour in ((name, GREY), (f"val_{name}", INK)):
                if column not in histories:
                    continue
                # Not every epoch has a validation.
                for k, (_, fold) in enumerate(histories.dropna(subset=column).groupby("fold")):
                    kind = "validation" if column.startswith("val_") else "training"
                    axes.plot(fold["epoch"], fold[column], color=colour, lw=1.2, alpha=0.75,
                              label=f"{kind}, one line per fold" if k == 0 else None)
            axes.set_xlabel("epoch")
            axes.set_title(name, fontsize=10, loc="left")
            axes.legend(fontsize=8, frameon=False)
            _bare(axes)
        figure.suptitle(title, fontsize=10)
        save(figure, path)


def draw_confusions(path: Path, title: str, pairs: Sequence[tuple[str, str, int]]) -> None:
    """Draw the most frequent confusions, from :func:`.evaluation.confusions`."""
    with plain_style():
        figure = Figure(figsize=(8, 1.2 + 0.24 * len(pairs)), layout="constrained")
        axes = figure.add_subplot()
        rows = np.arange(len(pairs))
        axes.barh(rows, [n for _, _, n in pairs], color=INK, height=0.6)
        axes.set_yticks(rows, [f"{a} → {p}" for a, p, _ in pairs], fontsize=8)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("clips of the first class, predicted as the second")
        axes.set_title(title, fontsize=10, loc="left")
        _bare(axes)
        save(figure, path)


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=2)
