"""lwlrap of each class, against its number of clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from pipeline.diagnostics.reported_runs import ReportedRun, same_clips
from pipeline.reports.model_sections.drawing import LEVEL, label_points
from pipeline.reports.model_sections.material import SETS, Material
from pipeline.reports.page import Section
from pipeline.reports.tables import Column, table
from pipeline.reports.templating import render
from pipeline.reports.vector import FAINT, FIRST, MUTED, embed, new_figure, style

_NAMED = 16


def section(material: Material) -> Section:
    """Make the section."""
    main, result = material.main, material.main.sets["oof"]
    classes = result.scores.classes
    counts = result.truth.sum(axis=0)
    value = result.per_class[:, 0]
    order = np.argsort(np.where(counts, value, np.inf), kind="stable")
    columns, cells = [Column("Class")], list[Sequence[object]]([classes])
    even = same_clips(material.runs)
    if even:
        columns, cells = [*columns, Column("Clips", "number")], [*cells, counts.tolist()]
    for run in material.runs:
        per_class = _in_order(run, "oof", classes)
        if not even:
            columns.append(Column(f"Clips of {run.name}", "number"))
            cells.append(_counts(run, classes))
        columns.append(Column(f"{run.name}, out of fold", "number", 3))
        cells.append(per_class[:, 0].tolist())
        if run is main:
            columns += [Column("from", "number", 3), Column("to", "number", 3)]
            cells += [per_class[:, 1].tolist(), per_class[:, 2].tolist()]
    if "test" in main.sets:
        tests = main.sets["test"]
        position = {name: k for k, name in enumerate(tests.scores.classes)}
        n_test = tests.truth.sum(axis=0)
        columns += [Column(f"{main.name}, {SETS['test']}", "number", 3),
                    Column("Test clips", "number")]
        cells += [_in_order(main, "test", classes)[:, 0].tolist(),
                  [int(n_test[position[name]]) for name in classes]]
    present = [k for k in order if counts[k]]
    body = render(
        "model_sections/classes.html", run=main.name, drawing=_scatter(main),
        worst=[(classes[k], value[k], counts[k]) for k in present[:3]],
        best=[(classes[k], value[k], counts[k]) for k in present[:-4:-1]],
        missing=[classes[k] for k in range(len(classes)) if not counts[k]],
        table=table("per-class-table", "lwlrap of each class, the worst first", columns,
                    [[column[k] for column in cells] for k in order]),
    )
    return Section("classes", "Classes", body)


def _in_order(run: ReportedRun, kind: str, classes: tuple[str, ...]) -> np.ndarray:
    """A run's lwlrap and interval of each class, in the order of `classes`."""
    result = run.sets[kind]
    position = {name: k for k, name in enumerate(result.scores.classes)}
    return result.per_class[[position[name] for name in classes]]


def _counts(run: ReportedRun, classes: tuple[str, ...]) -> list[int]:
    """A run's number of clips out of fold of each class, in the order of `classes`."""
    result = run.sets["oof"]
    position = {name: k for k, name in enumerate(result.scores.classes)}
    counts = result.truth.sum(axis=0)
    return [int(counts[position[name]]) for name in classes]


def _scatter(run: ReportedRun) -> Markup:
    result = run.sets["oof"]
    counts = result.truth.sum(axis=0)
    shown = np.flatnonzero(counts)
    n, (value, low, high) = counts[shown], result.per_class[shown].T
    names = [result.scores.classes[k] for k in shown]
    overall = result.summary["lwlrap"]
    with style():
        figure, axes = new_figure(8.6, 4.6)
        wide = n.max() > 4 * n.min()
        x = _side_by_side(n, wide)
        axes.vlines(x, low, high, color=FAINT, lw=1)
        axes.axhline(overall, color=MUTED, lw=1, ls=":")
        axes.plot(x, value, "o", color=FIRST, ms=5)
        if wide:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(
                [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
                 if n.min() / 1.5 <= t <= n.max() * 1.5]))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g}"))
            axes.set_xlim(n.min() / 1.15, n.max() * 1.15)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlim(n.min() - 1, n.max() + 1)
        bottom = max(0, min(0.95, low.min() - 0.05 * (1 - low.min())))
        axes.set_ylim(bottom, 1 + 0.03 * (1 - bottom))
        axes.set_yticks([t for t in MaxNLocator(7).tick_values(bottom, 1) if bottom <= t <= 1])
        axes.set_xlabel("clips with the label" + (" (logarithmic)" if wide else ""))
        axes.set_ylabel("lwlrap")
        figure.draw_without_rendering()
        unusual = np.argsort(-np.abs(_residuals(np.log(n), value)), kind="stable")
        label_points(axes, [(float(x[k]), float(value[k]), names[k] if i < _NAMED else "")
                            for i, k in enumerate(unusual)])
        least = int(value.argmin())
        return embed(
            figure, name="per-class-figure",
            description=f"Scatter plot of lwlrap against the number of clips for {len(n)} classes "
                        f"with {n.min()} to {n.max()} clips; lowest {names[least]} "
                        f"({value[least]:.2f}), correlation with the logarithm of the number "
                        f"{_correlation(np.log(n), value)}",
            caption=f"{run.name}, out of fold. Dot: a class; line: {LEVEL}; dotted: lwlrap of all "
                    "classes together. Classes with equal numbers stand side by side; those "
                    "furthest from the trend are named.",
        )


def _side_by_side(n: np.ndarray, wide: bool) -> np.ndarray:
    """Move classes of equal numbers of clips apart, by less than a clip or a few per cent."""
    x = n.astype(float)
    for count in np.unique(n):
        same = np.flatnonzero(n == count)
        shift = np.linspace(-0.5, 0.5, len(same)) if len(same) > 1 else np.zeros(1)
        x[same] = count * 1.04**shift if wide else count + 0.5 * shift
    return x


def _residuals(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance from the straight line through the points; from the mean if `x` is constant."""
    if np.ptp(x) == 0:
        return y - y.mean()
    return y - np.polyval(np.polyfit(x, y, 1), x)


def _correlation(x: np.ndarray, y: np.ndarray) -> str:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "not defined"
    return f"{np.corrcoef(x, y)[0, 1]:.2f}"
