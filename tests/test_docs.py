"""The documentation keeps to the code: modules, targets, links, examples."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api"
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def public_modules(api: Path) -> list[str]:
    """The modules that have a page of their own in the documentation."""
    return [
        name for page in sorted(api.glob("*.rst"))
        for name in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(), re.MULTILINE)
    ]


def incomplete() -> re.Pattern[str]:
    """What pyproject.toml says of modules whose docstrings are still to be completed."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        files = tomllib.load(file)["tool"]["numpydoc_validation"]["exclude_files"]
    return re.compile("|".join(files) or "(?!)")


def without_example(source: str) -> list[str]:
    """The public classes and functions of a module that show no example of their use."""
    return [
        node.name for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        and ">>>" not in (ast.get_docstring(node) or "")
    ]


PUBLIC = public_modules(API)


def test_the_public_modules_are_found():
    assert {"features.logmel", "pipeline.store.reader", "models.build"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_an_example(name):
    path = f"{name.replace('.', '/')}.py"
    missing = without_example((ROOT / path).read_text(encoding="utf-8"))
    assert missing == [] or incomplete().match(path)


def test_a_missing_example_is_seen():
    source = 'def f():\n    """Do."""\ndef g():\n    """>>> g()"""\ndef _h(): ...\nclass C: ...'
    assert without_example(source) == ["f", "C"]


def targets(makefile: str) -> set[str]:
    """The targets that a Makefile declares to be no files."""
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    return set(phony[1].split()) if phony else set()


def test_make_help_lists_every_target():
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True,
        check=True, timeout=60,
    )
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    # This one stands for a .venv of another version and is never asked for.
    assert listed == targets((ROOT / "Makefile").read_text()) - {"other-python"}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead nowhere."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    return [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#b) [c](https://example.org) [d](missing.md)")
    assert broken_links(page) == ["missing.md"]
