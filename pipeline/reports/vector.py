"""Matplotlib figures as inline SVG that follows the page's colours, in light and dark mode."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.style
from cycler import cycler
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reports.templating import render

# Inks for figures. Matplotlib needs real colours: these stand for the page's, see style.css.
INK, MUTED, FAINT = "#010203", "#010204", "#010205"
FIRST, SECOND, THIRD = "#010206", "#010207", "#010208"
_VARIABLES = {INK: "currentColor", MUTED: "var(--muted)", FAINT: "var(--faint)",
              FIRST: "var(--first)", SECOND: "var(--second)", THIRD: "var(--third)"}

_STYLE = {
    "svg.fonttype": "none", "font.size": 10, "axes.titlesize": 10, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.labelcolor": INK,
    "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "text.color": INK,
    "xtick.major.size": 3, "ytick.major.size": 3, "legend.frameon": False,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.transparent": True,
    "axes.prop_cycle": cycler(color=[FIRST, SECOND, THIRD, MUTED]),
    "lines.linewidth": 1.5, "image.interpolation": "none", "image.aspect": "auto",
    "text.parse_math": False,  # a dollar in a name is a dollar
}


@contextmanager
def style() -> Iterator[None]:
    """Use the page's style, whatever the user's matplotlibrc says."""
    with matplotlib.style.context(["default", _STYLE], after_reset=True), warnings.catch_warnings():
        # The text stays text, and the browser has a font for every script.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def shortened(name: str, most: int = 32) -> str:
    """Cut a name that would leave no room for the figure, ending it in an ellipsis."""
    return name if len(name) <= most else name[:most - 1] + "…"


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of one panel (in inches; a page is 9 wide), within :func:`style`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def embed(
    figure: Figure, *, name: str, description: str, caption: str = "", shrinks: bool = True
) -> Markup:
    """Make an HTML figure of a matplotlib figure.

    The same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
        Drawn with the inks of this module.
    name : str
        Different for each figure of a page: it begins the ids within.
    description : str
        What the figure shows, for readers who do not see it: its main numbers, not its colours.
    caption : str
        Shown below it.
    shrinks : bool
        Fit the figure to the page. Otherwise it keeps its size, and is scrolled where it is too
        large.

    Returns
    -------
    Markup
    """
    file = io.BytesIO()
    with style(), matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue().decode()
    svg = svg[svg.index("<svg"):]
    # A style element in an inline SVG would be one of the whole page; style.css has its rule.
    svg = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r'(?<= id=")|(?<=href="#)|(?<=url\(#)', f"{name}-", svg)
    svg = re.sub(r"font(-family)?: ?([^;\"]*?)'DejaVu Sans'[^;\"]*",
                 lambda m: "" if m[1] else f"font: {m[2]}inherit", svg)
    width = figure.get_figwidth() * 6
    room = f"width:100%;max-width:{width:.1f}rem" if shrinks else f"width:{width:.1f}rem"
    svg = re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>',
                 rf'<svg viewBox="\1" style="{room}" role="img" '
                 rf'aria-labelledby="{name}-description" '
                 r'xmlns:xlink="http://www.w3.org/1999/xlink">', svg, count=1)
    return render("templates/figure.html", name=name, svg=Markup(svg), caption=caption,
                  description=description)
