"""Draw a matrix of classes by classes, such as confusions, readable for 10 classes and for 80."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from pipeline.reports.vector import INK, MUTED, new_figure, shortened

# Transparent to opaque, whatever the page's background.
_SHADES = LinearSegmentedColormap.from_list(
    "shades", [(0.24, 0.55, 0.82, 0), (0.24, 0.55, 0.82, 1)]
)

# Whose values are written into the cells.
_FEW_CLASSES = 20


def shrinks(n_classes: int) -> bool:
    """Whether the figure is fitted to the page: of many classes, nobody could read it then."""
    return n_classes <= _FEW_CLASSES


def draw_matrix(
    values: NDArray, names: Sequence[str], *, norm: Normalize, text: Callable[[float], str],
) -> tuple[Figure, Axes, AxesImage]:
    """Draw a matrix, within :func:`.vector.style`.

    Parameters
    ----------
    values : np.ndarray [shape=(n_classes, n_classes)]
        Row: upwards axis. Cells that are 0 or NaN are left empty.
    names : sequence of str
        Of the classes, in the order of `values`.
    norm : Normalize
        From values to shades.
    text : callable
        What is written into a cell, if the classes are few.

    Returns
    -------
    figure, axes, image
        For labels and a colour bar.
    """
    n = len(names)
    few = shrinks(n)
    side = 7.4 if few else 0.155 * n + 1.5
    figure, axes = new_figure(side + 1.1, side)
    shown = np.where(np.nan_to_num(values) > 0, values, np.nan)
    image = axes.imshow(shown, cmap=_SHADES, norm=norm)
    short = [shortened(name) for name in names]
    axes.set_xticks(range(n), short, rotation=90, fontsize=8 if few else 7)
    axes.set_yticks(range(n), short, fontsize=8 if few else 7)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, n), minor=True)
    axes.set_yticks(np.arange(-0.5, n), minor=True)
    axes.grid(which="minor", color=MUTED, lw=0.15)
    axes.tick_params(which="minor", length=0)
    if few:
        for i, j in zip(*np.nonzero(np.nan_to_num(values)), strict=True):
            axes.text(j, i, text(values[i, j]), ha="center", va="center", fontsize=7.5, color=INK)
    return figure, axes, image
