"""A real `dvc repro`, in a copy of the project: what a changed setting runs again, and what not."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize(("section", "values", "expected"), [
    ("features", {"mfcc": {"kind": "mfcc", "n_mfcc": 20}}, {"mfcc"}),
    ("extract", {"n_mels": 64}, {"mfcc", "logmel"}),
    ("features", {"waveform": {"kind": "waveform", "sr": 8000}}, {"waveform"}),
    ("features", {"logmel": {"kind": "logmel", "dtype": "float16"}}, {"logmel"}),
    ("extract", {"trim_db": 40.0}, set(STORES)),
])
def test_a_setting_remakes_the_stores_that_depend_on_it(
    project: Project, section: str, values: dict, expected: set[str]
) -> None:
    before = project.stores()
    project.set(section, **values)
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


def test_an_edit_of_the_corrections_prepares_again_and_extracts_nothing(project: Project) -> None:
    before = project.stores()
    pipeline, table = project.folder / "dvc.yaml", project.folder / "corrections.csv"
    text = pipeline.read_text()
    assert text.count("relabel: pipeline/prepare.py") == 1
    labels = (project.folder / "prepared/labels.csv").read_text().splitlines()
    clips = [line.split(",")[0] for line in labels if ",curated," in line and '"' not in line]
    other = labels[1].split(",")[1].strip('"')
    try:
        pipeline.write_text(text.replace("relabel: pipeline/prepare.py", f"relabel: {table.name}"))
        project.set("prepare", relabel=table.name)
        for n in (1, 2):
            rows = [f"{clip},correct,{other}" for clip in clips[-n:]]
            table.write_text("\n".join(["clip_id,action,new_labels", *rows, ""]))
            assert project.repro() == {"prepare"}
            after = (project.folder / "prepared/labels.csv").read_text()
            assert all(f"{clip},{other},curated," in after for clip in clips[-n:])
    finally:
        pipeline.write_text(text)
        project.set("prepare", relabel=None)
        project.repro()
    assert changed(before, project.stores()) == set()


@pytest.mark.slow
def test_a_new_feature_and_run_in_params_go_all_the_way(project: Project) -> None:
    """Trained, predicted, combined and measured, and nothing of the others is made again."""
    project.set("train", epochs=1)
    project.set("runs", waveform={"features": "waveform", "model": "dummy1d"},
                mfcc={"features": "mfcc", "model": "dummy2d"},
                cnn={"features": "logmel", "model": "dummy2d"})
    everything = {*(f"{stage}@{run}" for stage in ("train", "predict")
                    for run in ("waveform", "mfcc", "cnn")), "ensemble", "evaluate", "submit"}
    assert project.repro("submit") | project.repro("evaluate") == everything
    before = project.stores()
    project.set("features", small={"kind": "logmel", "n_mels": 20, "hop_length": 1024})
    project.set("runs", **{"small-dummy": {"features": "small", "model": "dummy2d"}})
    ran = project.repro("submit") | project.repro("evaluate")
    assert ran == {"extract", "train@small-dummy", "predict@small-dummy", "ensemble", "evaluate",
                   "submit"}
    assert changed(before, project.stores()) == set()
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())
    assert list(metrics) == ["waveform", "mfcc", "cnn", "small-dummy", "ensemble"]
    record = json.loads((project.folder / "runs/ensemble/run.json").read_text())
    assert record["members"] == ["waveform", "mfcc", "cnn", "small-dummy"]
    assert project.repro("submit") | project.repro("evaluate") == set()


@pytest.mark.slow
def test_an_edited_network_is_trained_again(project: Project) -> None:
    network = project.folder / "models/networks/notebook.py"
    text = network.read_text()
    project.set("runs", mfcc={"features": "mfcc", "model": "dummy2d"})
    project.set("train", epochs=1)
    project.repro("train@mfcc")
    model = project.folder / "runs/mfcc/folds/0/model.keras"
    before = model.read_bytes()
    assert text.count("return layers.GlobalMaxPooling2D()(x)") == 1
    network.write_text(text.replace("return layers.GlobalMaxPooling2D()(x)",
                                    "return layers.GlobalAveragePooling2D()(x)"))
    assert "train@mfcc" in project.repro("train@mfcc")
    assert model.read_bytes() != before
    network.write_text(text)


@pytest.mark.slow
def test_a_learning_rate_retrains_and_nothing_before_it(project: Project) -> None:
    project.set("train", epochs=2, model="dummy2d")
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
