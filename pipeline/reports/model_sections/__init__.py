"""The sections of report's page, on models.

May import: runtime, store, dataset, survey, runs, scoring, diagnostics, reports.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.reports.model_sections import (
    calibration,
    classes,
    confusions,
    curves,
    differences,
    gains,
    label_errors,
    scores,
    worst_clips,
)
from pipeline.reports.model_sections.material import Material
from pipeline.reports.page import Section

# In the order of the page. Each returns None if it has nothing to show.
SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    scores.section, gains.section, differences.section, classes.section, curves.section,
    confusions.section, calibration.section, worst_clips.section, label_errors.section,
)


def make_sections(material: Material) -> list[Section]:
    """Make all sections of the page, leaving out those without anything to show."""
    return [made for section in SECTIONS if (made := section(material)) is not None]
