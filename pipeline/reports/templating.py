"""Render the HTML templates that lie beside the modules of this folder; values are escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.runtime.progress import hours, size


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.reports", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters.update(count=count, counted=counted, hours=hours, size=size)
    return environment


def render(template: str, **values: Any) -> Markup:
    """Render a template.

    Parameters
    ----------
    template : str
        Its path from ``pipeline/reports``, such as ``data_sections/lengths.html``.
    **values
        Its variables. Everything but :class:`Markup` is escaped; a missing one is an error.

    Returns
    -------
    Markup
    """
    return Markup(_environment().get_template(template).render(**values))


def source(template: str) -> Markup:
    """Return a file of this folder as it is, such as the style sheet."""
    environment = _environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, template)[0])


def count(n: float) -> str:
    """Format a whole number with thousands separators: ``19,815``."""
    return f"{n:,.0f}"


def counted(n: float, noun: str) -> str:
    """Format a number of things: ``1 clip``, ``19,815 clips``; the plural takes an s."""
    return f"{count(n)} {noun}" + ("" if n == 1 else "s")
