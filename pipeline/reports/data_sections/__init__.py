"""The sections of explore's page, on data.

May import: runtime, store, dataset, survey, reports.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.reports.data_sections import (
    classes,
    examples,
    label_sets,
    lengths,
    levels,
    overview,
    problems,
    suspicious,
)
from pipeline.reports.data_sections.material import Material
from pipeline.reports.page import Section

# In the order of the page. Each returns None if it has nothing to show.
SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    overview.section, classes.section, label_sets.section, lengths.section, levels.section,
    problems.section, suspicious.section, examples.section,
)


def make_sections(material: Material) -> list[Section]:
    """Make all sections of the page, leaving out those without anything to show."""
    return [made for section in SECTIONS if (made := section(material)) is not None]
