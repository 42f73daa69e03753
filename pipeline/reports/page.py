"""Put sections together to a page: one HTML file with its style, script, pictures and sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pipeline.reports.templating import render, source
from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import atomic_write


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes
    ----------
    key : str
        Its anchor on the page: lower-case letters, digits and hyphens.
    title : str
        Its heading, also in the page's table of contents.
    body : Markup
        HTML without the heading; headings in it begin at ``h3``.
    """

    key: str
    title: str
    body: Markup


def check_output(path: Path) -> None:
    """Check before the work that a page can be written to a path.

    Parameters
    ----------
    path : Path
        What ``--out`` names; its folder need not exist.

    Raises
    ------
    UsageError
        If it is a folder, or would lie in a file.
    """
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; needs the name of an HTML file")
    for parent in path.parents:
        if parent.exists():
            if not parent.is_dir():
                raise UsageError(f"--out {path} cannot be written: {parent} is not a folder")
            break


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> int:
    """Write a page atomically.

    Parameters
    ----------
    path : Path
    title : str
        Of the page.
    lead : str
        A sentence or two below it.
    sections : sequence of Section
        In their order.

    Returns
    -------
    size : int
        Of the file (in bytes).
    """
    html = render(
        "templates/page.html", title=title, lead=lead, sections=sections,
        style=source("templates/style.css"), script=source("templates/script.js"),
    )
    # Names of clips may hold bytes that are not UTF-8, which Python keeps as lone surrogates.
    data = html.encode("utf-8", "replace")
    with atomic_write(path) as partial:
        partial.write_bytes(data)
    return len(data)
