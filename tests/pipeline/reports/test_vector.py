"""Figures as inline SVG: same bytes, ids of their own, the page's colours."""

import re

import numpy as np

from pipeline.reports.vector import FIRST, MUTED, embed, new_figure, style


def draw(name, label="x"):
    with style():
        figure, axes = new_figure(5, 3)
        axes.plot([1, 3, 2], color=FIRST, label=label)
        axes.imshow(np.eye(3), alpha=0.5)
        axes.set_xlabel(label, color=MUTED)
        return embed(figure, name=name, description=f"About {label}", caption=label)


def test_the_same_figure_gives_the_same_bytes():
    assert draw("a") == draw("a")


def test_ids_differ_between_figures_and_references_lead_somewhere():
    ids = [set(re.findall(r' id="([^"]+)"', draw(name))) for name in ("a", "b")]
    assert not ids[0] & ids[1]
    html = draw("a")
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"|aria-labelledby="([^"]+)"', html)
    assert used
    assert {next(filter(None, each)) for each in used} <= ids[0]


def test_colours_follow_the_page():
    html = draw("a")
    assert "var(--first)" in html
    assert "var(--muted)" in html
    assert "currentColor" in html
    assert not re.search("#0102", html)
    assert not re.search(r"(fill|stroke): #(000000|ffffff)", html)
    assert "<style" not in html
    assert "DejaVu" not in html
    assert "<metadata" not in html


def test_names_are_text_not_markup_or_formulas():
    html = draw("a", "<b>$x_1$</b>")
    assert "&lt;b&gt;$x_1$&lt;/b&gt;" in html
    assert "<b>" not in html
