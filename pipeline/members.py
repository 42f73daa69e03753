"""What an ensemble was made of, so that a member trained again since does not go unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.clips import Label
from pipeline.errors import UsageError
from pipeline.scores import fold_folder, listed, load, read_run, test_path

MADE_OF = "made_of"


def digests(runs: Path, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 over each run's files of scores, by name."""
    return {name: _digest(runs, name) for name in names}


def _digest(runs: Path, name: str) -> str:
    folder, folds = runs / name, read_run(runs, name).folds
    paths = [p for k in folds for p in (fold_folder(folder, k) / "oof.npz", test_path(folder, k))]
    made = hashlib.sha256()
    for path in paths or [folder / "oof.npz", folder / "test.npz"]:
        content = path.read_bytes() if path.is_file() else b""
        made.update(hashlib.sha256(content).digest())
    return made.hexdigest()


def check_current(runs: Path, name: str) -> None:
    """Hold an ensemble against its members as they are now; those that are gone cannot differ.

    Raises
    ------
    UsageError
        If a member has other scores than it was made of.
    """
    facts = json.loads((runs / name / "run.json").read_text(encoding="utf-8"))
    made_of = facts.get(MADE_OF, {})
    there = [member for member in made_of if (runs / member / "run.json").is_file()]
    if old := [m for m, digest in digests(runs, there).items() if digest != made_of[m]]:
        raise UsageError(
            f"{runs / name} was made of other scores than there are now in {listed(old)}; "
            "run `python -m pipeline.ensemble` again"
        )


def check_folds(runs: Path, names: Sequence[str], labels: Mapping[str, Label]) -> None:
    """Hold the folds that runs were trained on against those of labels.csv.

    Raises
    ------
    UsageError
        If a run's fold held other clips: its scores are not out of the fold that labels.csv says.
    """
    wrong = []
    for name in names:
        for fold in read_run(runs, name).folds:
            scores = load(fold_folder(runs / name, fold) / "oof.npz",
                          made_by="python -m pipeline.train")
            odd = [c for c in scores.clip_ids if c not in labels or labels[c].fold != fold]
            if odd:
                wrong.append(f"{name}, fold {fold}: {len(odd)} clips are of another fold in "
                             f"labels.csv: {listed(odd)}")
    if wrong:
        raise UsageError("\n".join(wrong) + "\nThe data was prepared anew; train these runs again")
