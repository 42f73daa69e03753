"""The documentation keeps to the code: modules, targets, links, examples."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import subprocess
import sys
import textwrap
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


def without_example(source: str) -> list[str]:
    """The public classes and functions of a module that show no example of their use."""
    return [
        node.name for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        and ">>>" not in (ast.get_docstring(node) or "")
    ]


PUBLIC = public_modules(API)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def folders(page: str) -> dict[str, tuple[set[str], set[str]]]:
    """The table of folders of a page: what each may import, and its modules."""
    rows = re.findall(r"^\| `([\w/]+)/` \|[^|]*\|([^|]*)\|([^|]*)\|$", page, re.MULTILINE)
    return {
        folder: (set(re.findall(r"\w+", may)), set(re.findall(r"`(\w+)`", modules)))
        for folder, may, modules in rows
    }


def folders_there(root: Path) -> dict[str, tuple[set[str], set[str]]]:
    """The same of the packages: what their docstrings say, and the files."""
    found = {}
    for init in sorted(p for top in ("features", "models", "pipeline")
                       for p in (root / top).rglob("__init__.py")):
        doc = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
        may = re.search(r"^May import: (.+?)\.$", doc, re.DOTALL | re.MULTILINE)
        text = may[1].replace("nothing of this project", "") if may else ""
        modules = {p.stem for p in init.parent.glob("*.py")} - {"__init__"}
        name = init.parent.relative_to(root).as_posix()
        found[name] = (set(re.findall(r"\w+", text)), modules)
    return found


def out_of_date(page: str, root: Path) -> list[str]:
    """Where a page's table of folders differs from the folders."""
    table, there = folders(page), folders_there(root)
    found = [f"{folder}: in the table alone" for folder in table.keys() - there.keys()]
    found += [f"{folder}: not in the table" for folder in there.keys() - table.keys()]
    for folder in table.keys() & there.keys():
        both = zip(("import", "module"), table[folder], there[folder], strict=True)
        for kind, said, true in both:
            found += [f"{folder}: {kind} {x}: in the table alone" for x in said - true]
            found += [f"{folder}: {kind} {x}: not in the table" for x in true - said]
    return sorted(found)


def test_the_architecture_names_what_is_there():
    assert out_of_date(ARCHITECTURE, ROOT) == []


def test_a_table_that_is_out_of_date_is_seen(tmp_path):
    store = tmp_path / "pipeline" / "store"
    store.mkdir(parents=True)
    (store / "__init__.py").write_text('"""Stores.\n\nMay import: runtime.\n"""')
    (store / "reader.py").touch()
    page = "| `pipeline/store/` | stores | runtime | `reader` |"
    assert out_of_date(page, tmp_path) == []
    assert out_of_date(page.replace("`reader`", "`writer`"), tmp_path) == [
        "pipeline/store: module reader: not in the table",
        "pipeline/store: module writer: in the table alone",
    ]
    assert out_of_date(page.replace("runtime", "runtime, audio"), tmp_path) == [
        "pipeline/store: import audio: in the table alone"
    ]
    assert out_of_date(page.replace("/store/", "/audio/"), tmp_path) == [
        "pipeline/audio: in the table alone", "pipeline/store: not in the table"
    ]


def test_the_public_modules_are_found():
    assert {"features.logmel", "pipeline.store.reader", "models.build"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_an_example(name):
    path = Path(importlib.util.find_spec(name).origin)
    assert without_example(path.read_text(encoding="utf-8")) == []


def test_a_missing_example_is_seen():
    source = 'def f():\n    """Do."""\ndef g():\n    """>>> g()"""\ndef _h(): ...\nclass C: ...'
    assert without_example(source) == ["f", "C"]


def code_block(page: str) -> str:
    """The first Python block of a page, without its indentation."""
    block = re.search(r"^( *)```python\n(.*?)^\1```", page, re.DOTALL | re.MULTILINE)
    assert block
    return textwrap.dedent(block[2])


def test_the_template_of_a_feature_keeps_the_contract(tmp_path):
    from features.base import check_feature

    file = tmp_path / "energy.py"
    file.write_text(code_block((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    spec = importlib.util.spec_from_file_location("energy", file)
    module = sys.modules["energy"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        check_feature(module.Energy(hop_length=441))
        assert doctest.testmod(module).failed == 0
    finally:
        del sys.modules["energy"]


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
