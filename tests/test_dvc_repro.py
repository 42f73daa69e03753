"""A real `dvc repro`, in a copy of the project: what a changed setting runs again, and what not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
STORES = ("waveform", "mfcc", "logmel")

pytestmark = pytest.mark.skipif(shutil.which("dvc") is None, reason="dvc is not installed")


class Project:
    """A copy of the project with a tiny demo, under Git and DVC of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("features", "models", "pipeline", "dvc.yaml", "params.yaml", ".dvcignore"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name,
                                ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)
        subprocess.run(["dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
        self.set("demo", curated=16, noisy=4, test=4)
        self.set("prepare", folds=2)

    def set(self, section: str, **values: object) -> None:
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params[section].update(values)
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def repro(self, target: str = "extract") -> set[str]:
        """Run it; the stages that ran."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(["dvc", "repro", target], cwd=self.folder, text=True,
                              capture_output=True, env={**os.environ, "PATH": path})
        assert done.returncode == 0, done.stdout + done.stderr
        return set(re.findall(r"Running stage '([\w@-]+)'", done.stdout + done.stderr))

    def stores(self) -> dict[str, tuple[int, bytes]]:
        return {
            name: ((path := self.folder / "stores" / f"{name}.h5").stat().st_mtime_ns,
                   path.read_bytes())
            for name in STORES
        }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    result = Project(tmp_path_factory.mktemp("project"))
    assert result.repro() == {"demo", "prepare", "extract"}
    return result


def changed(before: dict, after: dict) -> set[str]:
    """The stores that were rewritten, each with other bytes."""
    rewritten = {name for name in STORES if before[name][0] != after[name][0]}
    assert rewritten == {name for name in STORES if before[name][1] != after[name][1]}
    return rewritten


def test_nothing_changed_nothing_runs(project: Project) -> None:
    assert project.repro() == set()


@pytest.mark.parametrize(("values", "expected"), [
    ({"n_mfcc": 20}, {"mfcc"}),
    ({"n_mels": 64}, {"mfcc", "logmel"}),
    ({"waveform_sr": 8000}, {"waveform"}),
    ({"feature_dtype": "float16"}, {"mfcc", "logmel"}),
    ({"trim_db": 40.0}, set(STORES)),
])
def test_a_setting_of_extract_remakes_the_stores_that_hang_on_it(
    project: Project, values: dict, expected: set[str]
) -> None:
    before = project.stores()
    project.set("extract", **values)
    assert project.repro() == {"extract"}
    assert changed(before, project.stores()) == expected


def test_circumstances_run_nothing(project: Project) -> None:
    project.set("machine", jobs=1, backend="threading")
    assert project.repro() == set()


def test_folds_and_label_mode_never_extract(project: Project) -> None:
    before = project.stores()
    project.set("prepare", folds=3)
    assert project.repro() == {"prepare"}
    assert changed(before, project.stores()) == set()


@pytest.mark.slow
def test_a_learning_rate_retrains_and_nothing_before_it(project: Project) -> None:
    project.set("train", epochs=1, model="dummy2d")
    assert project.repro("train@mfcc") == {"train@mfcc"}
    before = project.stores()
    project.set("train", learning_rate=0.01)
    assert project.repro("train@mfcc") == {"train@mfcc"}
    assert changed(before, project.stores()) == set()


def test_an_edited_clip_is_extracted_again(project: Project) -> None:
    # Of a data set of the user's own: DVC would make the demo's again.
    shutil.copytree(project.folder / "data/demo", project.folder / "data/own")
    before = project.stores()
    project.set("prepare", data="data/own")
    assert project.repro() == {"prepare", "extract"}
    assert changed(before, project.stores()) == set()
    clip = sorted((project.folder / "data/own/train_curated").glob("*.wav"))[0]
    data = bytearray(clip.read_bytes())
    data[-2000:-1000] = bytes(1000)
    clip.write_bytes(data)
    assert "extract" in project.repro()
    assert changed(before, project.stores()) == set(STORES)
