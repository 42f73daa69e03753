"""What each ingredient of a recipe adds: trains the recipe and changes of it over several seeds.

  python benchmarks/ablation.py recipes/esc10.yaml --seeds 0 1 2
  python benchmarks/ablation.py recipes/fsd-small.yaml --only recipe "without mixup" --folds 2
  python benchmarks/ablation.py recipes/esc10.yaml --recipes recipes/notebook.yaml

Prepare and extract with the recipes first (``--params``): the changes are trained on their stores.
The changes are read from ``benchmarks/ablation.yaml``: per recipe, the run that is changed, and
changes by name, each of dotted keys of the run and their values. null takes a key out of a
mapping: ``without mixup: {augment.mixup: null}``.

Each change and seed is a run of its own in the work folder, trained by ``pipeline.train`` and,
where there are test clips, scored by ``pipeline.predict``. A run that is finished is not trained
again, so the same command continues after Ctrl-C. The result is a table in Markdown: mean and
standard deviation over seeds of the out-of-fold accuracy and lwlrap and of the test lwlrap; the
paired difference from the recipe itself with its standard error; and seconds of training per fold.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import yaml

from pipeline.cli.params_file import read_params
from pipeline.dataset.tables import read_labels
from pipeline.runs.folder import RunFolder
from pipeline.scoring.evaluation import truth_of
from pipeline.scoring.metrics import accuracy, lwlrap

CHANGES = Path(__file__).with_suffix(".yaml")
UNCHANGED = "recipe"


@dataclass(frozen=True)
class Measured:
    """Scores of one trained run, each 0 to 1; `test` is NaN without test clips."""

    lwlrap: float
    accuracy: float
    test: float
    seconds_per_fold: float


def changed(run: Mapping[str, Any], shared: Mapping[str, Any], changes: Mapping[str, Any]) -> dict:
    """Return a run's settings after `changes`: dotted keys and values; None removes a key.

    Keys within a mapping start from the run's mapping, or from section train's, `shared`.
    """
    result = copy.deepcopy(dict(run))
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        inner: dict[str, Any] = result
        for depth, key in enumerate(path):
            if key not in inner:
                inner[key] = copy.deepcopy(shared.get(key) or {}) if depth == 0 else {}
            inner = inner[key]
        if value is None and path:
            inner.pop(last, None)
        else:
            inner[last] = value
    return result


def train(sections: Mapping[str, Any], run: Mapping[str, Any], name: str, seed: int,
          arguments: argparse.Namespace) -> Measured:
    """Train one run in the work folder, unless it is finished there, and measure it."""
    runs_dir = arguments.work / "runs"
    document = copy.deepcopy(dict(sections))
    document["runs"] = {name: {**run, "seed": seed}}
    for stage in ("train", "predict"):
        document[stage]["runs_dir"] = str(runs_dir)
    params = arguments.work / f"{name}.yaml"
    params.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    folds = ["--folds", str(arguments.folds)] if arguments.folds else []
    folder = RunFolder(runs_dir, name)
    began = time.monotonic()
    _stage("train", params, name, *folds)
    seconds = time.monotonic() - began
    labels = read_labels(Path(document["train"]["data"]))
    by_clip = {label.clip_id: label for label in labels}
    if any(label.split == "test" for label in labels):
        _stage("predict", params, name, "--no-noisy")
    oof, test = folder.load()
    truth = truth_of(by_clip, oof)
    on_test = float("nan")
    if test:
        mean = np.exp(np.mean([np.log(np.maximum(each.values, 1e-7)) for each in test], axis=0))
        on_test = lwlrap(truth_of(by_clip, test[0]), mean)
    one = truth.sum(axis=1) == 1
    return Measured(lwlrap(truth, oof.values), accuracy(truth[one], oof.values[one]), on_test,
                    _recorded_seconds(params, seconds) / len(folder.read().folds))


def _recorded_seconds(params: Path, seconds: float) -> float:
    """Seconds of the first training: a later call finds the run finished and takes no time."""
    file = params.with_suffix(".seconds")
    if file.exists():
        return float(file.read_text(encoding="utf-8"))
    file.write_text(f"{seconds:.1f}", encoding="utf-8")
    return seconds


def _stage(stage: str, params: Path, name: str, *more: str) -> None:
    command = [sys.executable, "-m", f"pipeline.{stage}", "--params", str(params), "--run", name]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join([*command, *more])}\n{done.stderr[-2000:]}")


def table(results: Mapping[str, Sequence[Measured]]) -> str:
    """Write the results as a table in Markdown, the recipe itself first."""
    base = results[UNCHANGED]
    lines = ["| change | accuracy | lwlrap | test lwlrap | difference | s per fold | seeds |",
             "|---|---|---|---|---|---|---|"]
    for name, measured in results.items():
        test = [m.test for m in measured]
        key = "test" if np.isfinite(test).all() else "accuracy"
        pairs = [getattr(m, key) - getattr(b, key) for m, b in zip(measured, base, strict=False)]
        spread = np.std(pairs, ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else float("nan")
        difference = "" if name == UNCHANGED else f"{np.mean(pairs):+.4f} ± {spread:.4f} ({key})"
        lines.append(" | ".join([
            f"| {name}", _mean_and_sd([m.accuracy for m in measured]),
            _mean_and_sd([m.lwlrap for m in measured]),
            _mean_and_sd(test) if key == "test" else "", difference,
            f"{np.mean([m.seconds_per_fold for m in measured]):.0f}", f"{len(measured)} |",
        ]))
    return "\n".join(lines) + "\n"


def _mean_and_sd(values: Sequence[float]) -> str:
    sd = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{sd}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="CHANGE", help="these changes alone")
    parser.add_argument("--recipes", type=Path, nargs="+", default=[],
                        help="other recipes, to train their runs on the same clips beside it")
    parser.add_argument("--folds", type=int, help="train the first N folds alone")
    parser.add_argument("--work", type=Path, default=Path("ablation"), help="folder of its runs")
    parser.add_argument("--out", type=Path, help="file of the table, beside the terminal")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    known = yaml.safe_load(CHANGES.read_text(encoding="utf-8"))[arguments.recipe.stem]
    sections = read_params(arguments.recipe).sections
    base = sections["runs"][known["run"]]
    todo: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {
        UNCHANGED: (sections, dict(base)),
        **{name: (sections, changed(base, sections["train"], change))
           for name, change in known["changes"].items()},
    }
    for path in arguments.recipes:
        other = read_params(path).sections
        todo |= {f"{path.stem}: {name}": (other, dict(run)) for name, run in other["runs"].items()}
    if arguments.only:
        if unknown := set(arguments.only) - set(todo):
            parser.error(f"unknown changes: {', '.join(sorted(unknown))}; known: {', '.join(todo)}")
        todo = {name: each for name, each in todo.items()
                if name in arguments.only or name == UNCHANGED}
    results: dict[str, list[Measured]] = {}
    for seed in arguments.seeds:
        for name, (settings, run) in todo.items():
            slug = "".join(c if c.isalnum() else "-" for c in name)
            print(f"seed {seed}: {name}", file=sys.stderr, flush=True)
            measured = train(settings, run, f"{slug}-{seed}", seed, arguments)
            results.setdefault(name, []).append(measured)
            print(f"  {measured}", file=sys.stderr, flush=True)
            if arguments.out:
                arguments.out.write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
