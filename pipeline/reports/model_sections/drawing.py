"""What several sections draw: rows with intervals, labels beside points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes

from pipeline.reports.vector import FIRST, INK, MUTED, embed, new_figure, shortened, style

LEVEL = "95 % bootstrap interval over clips"


@dataclass(frozen=True)
class Interval:
    """A row of a figure: a value and the ends of its interval.

    Attributes
    ----------
    label : str
    value, low, high : float
    group : str
        Rows of a group stand together below its name.
    """

    label: str
    value: float
    low: float
    high: float
    group: str = ""


def intervals(
    rows: Sequence[Interval], *, name: str, description: str, caption: str, xlabel: str,
    digits: int = 3, zero: bool = False,
) -> Markup:
    """Draw values as dots with their intervals, one row each; `zero` draws a line at 0.

    The values are written beside the rows where there are few.
    """
    groups = list(dict.fromkeys(row.group for row in rows))
    order = [row for group in groups for row in rows if row.group == group]
    few = len(order) <= 30
    with style():
        figure, axes = new_figure(8.6, 0.8 + (0.27 if few else 0.19) * (
            len(order) + 0.9 * (len(groups) if groups != [""] else 0)))
        positions, y, previous = [], 0.0, ""
        for row in order:
            if row.group != previous:
                axes.annotate(row.group, (0, y), xycoords=("axes fraction", "data"), xytext=(-4, 0),
                              textcoords="offset points", ha="right", va="center", color=MUTED,
                              fontsize=9, style="italic")
                y, previous = y + 0.9, row.group
            positions.append(y)
            y += 1
        for row, at in zip(order, positions, strict=True):
            axes.plot([row.low, row.high], [at, at], color=MUTED, lw=2 if few else 1.2)
            axes.plot(row.value, at, "o", color=FIRST, ms=6 if few else 4)
            if few:
                sign = "+" if zero else ""
                axes.annotate(f"{row.value:{sign}.{digits}f}".replace("-", "−"), (row.high, at),
                              xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
        if zero:
            axes.axvline(0, color=INK, lw=0.8)
        axes.set_yticks(positions, [shortened(row.label, 48) for row in order],
                        fontsize=9 if few else 7.5)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(y - 0.4, -0.6)
        axes.set_xlabel(xlabel)
        axes.margins(x=0.1)
        return embed(figure, name=name, description=description, caption=caption)


def label_points(
    axes: Axes, points: Sequence[tuple[float, float, str]], *, fontsize: float = 8
) -> None:
    """Write names beside points, the first ones first, where there is room.

    Places right, left, above and below the point are tried; a name that would cover another one or
    another point is left out.

    Parameters
    ----------
    axes : Axes
        With its limits as they will be.
    points : sequence of (float, float, str)
        Position and name; an empty name only keeps others away.
    fontsize : float
        In points.
    """
    to_pixels = axes.transData.transform
    scale = axes.figure.dpi / 72
    height = 1.15 * fontsize * scale
    box = axes.get_window_extent()
    at = [to_pixels((x, y)) for x, y, _ in points]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in at]
    for (x, y), (value_x, value_y, name) in zip(at, points, strict=True):
        if not name:
            continue
        width, gap = 0.6 * fontsize * scale * len(name), 6
        places = {
            ("left", gap, 0): (x + gap, y - height / 2), ("right", -gap, 0): (
                x - gap - width, y - height / 2),
            ("center", 0, gap + 2): (x - width / 2, y + gap - 2),
            ("center", 0, -gap - 2): (x - width / 2, y - gap - height + 2),
        }
        for (align, dx, dy), (left, bottom) in places.items():
            right, top = left + width, bottom + height
            inside = box.x0 <= left and right <= box.x1 and box.y0 <= bottom and top <= box.y1
            if inside and not any(left < b and a < right and bottom < d and c < top
                                  for a, c, b, d in taken):
                taken.append((left, bottom, right, top))
                axes.annotate(shortened(name), (value_x, value_y), xytext=(dx / scale, dy / scale),
                              textcoords="offset points", ha=align, va="center", fontsize=fontsize)
                break
