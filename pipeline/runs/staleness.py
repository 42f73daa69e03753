"""What an ensemble was made of, so that a member trained again since does not go unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.dataset.tables import Label
from pipeline.runs.scores import fold_folder, listed, load, read_run, test_path
from pipeline.runtime.errors import UsageError


def digests(runs: Path, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 over each run's files of scores, by name."""
    return {name: _digest(runs, name) for name in names}


def _digest(runs: Path, name: str) -> str:
    folder, folds = runs / name, read_run(runs, name).folds
    paths = [p for k in folds for p in (fold_folder(folder, k) / "oof.npz", test_path(folder, k))]
    result = hashlib.sha256()
    for path in paths or [folder / "oof.npz", folder / "test.npz"]:
        content = path.read_bytes() if path.is_file() else b""
        result.update(hashlib.sha256(content).digest())
    return result.hexdigest()


def stale(runs: Path, name: str) -> list[str]:
    """What is wrong with an ensemble whose members, or theirs, have other scores by now.

    Members that are gone cannot differ; a trained run has none.
    """
    run = read_run(runs, name)
    there = [member for member in run.made_of if (runs / member / "run.json").is_file()]
    errors = [line for member in there for line in stale(runs, member)]
    if old := [m for m, digest in digests(runs, there).items() if digest != run.made_of[m]]:
        errors.append(f"{runs / name} was made of other scores than there are now in "
                     f"{listed(old)}; run `python -m pipeline.ensemble` again")
    return errors


def check_folds(runs: Path, names: Sequence[str], labels: Mapping[str, Label]) -> None:
    """Hold the folds that runs were trained on against those of labels.csv.

    Raises
    ------
    UsageError
        If a run's fold held other clips: its scores are not out of the fold that labels.csv says.
    """
    errors = []
    for name in names:
        run = read_run(runs, name)
        if run.made_of:
            check_folds(runs, [m for m in run.made_of if (runs / m / "run.json").is_file()], labels)
        for fold in run.folds:
            scores = load(fold_folder(runs / name, fold) / "oof.npz",
                          made_by="python -m pipeline.train")
            odd = [c for c in scores.clip_ids if c not in labels or labels[c].fold != fold]
            if odd:
                errors.append(f"{name}, fold {fold}: {len(odd)} clips are of another fold in "
                             f"labels.csv: {listed(odd)}")
    if errors:
        raise UsageError("\n".join(errors) + "\nThe data was prepared anew; train these runs again")
