"""dvc.yaml names every first-party module that a stage imports, and every setting it reads.

DVC does not follow imports: without this, an edited module would silently leave stale outputs.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
# What a matrix gives on the command line instead.
FROM_THE_MATRIX = {("train", "features"), ("train", "run"), ("predict", "run")}


def stage_body(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


def module_of(stage: str) -> str:
    words = stage_body(stage)["cmd"].split()
    return words[words.index("-m") + 1]


def path_of(module: str) -> Path | None:
    base = ROOT / Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {m for m in found if m.split(".")[0] in ("features", "models", "pipeline")}


def closure(module: str) -> set[str]:
    """Every first-party file that importing `module` may run, relative to the project."""
    todo, seen = [module], set()
    while todo:
        name = todo.pop()
        path = path_of(name)
        if path is None or path in seen:
            continue
        seen.add(path)
        todo += imports_of(path)
        if "." in name:
            todo.append(name.rpartition(".")[0])
    return {path.relative_to(ROOT).as_posix() for path in seen}


def covered(file: str, deps: list[str]) -> bool:
    return any(file == dep or file.startswith(dep.rstrip("/") + "/") for dep in deps)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_import(stage: str) -> None:
    deps = stage_body(stage)["deps"]
    # Empty modules: nothing in them can make an output stale.
    files = {f for f in closure(module_of(stage)) if ast.parse((ROOT / f).read_text()).body[1:]}
    missing = sorted(f for f in files if not covered(f, deps))
    assert not missing, f"add to {stage}'s deps in dvc.yaml: {missing}"
    code = {d for d in deps if d.endswith(".py")}
    assert not (code - files), f"{stage} does not import these deps: {sorted(code - files)}"


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_tracked_key_by_key(stage: str) -> None:
    section = module_of(stage).rpartition(".")[2]
    tracked = set()
    for entry in stage_body(stage)["params"]:
        name, _, key = entry.partition(".")
        tracked |= {(name, key)} if key else {(name, k) for k in PARAMS[name]}
    needed = {(section, key) for key in PARAMS[section]}
    needed -= FROM_THE_MATRIX
    assert not needed - tracked, f"add to {stage}'s params: {sorted(needed - tracked)}"
    # It changes how a stage runs, and nothing that it writes.
    assert "machine" not in {name for name, _ in tracked}


def test_the_closure_follows_imports() -> None:
    assert "pipeline/audio/decode.py" in closure("pipeline.extract")
    assert "features/signal/mel_filters.py" in closure("pipeline.extract")
    assert not covered("pipeline/audio.py", ["pipeline/audio", "features"])
