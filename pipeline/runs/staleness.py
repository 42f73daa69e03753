"""Detect ensembles older than their members, and runs trained on other folds than labels.csv."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.dataset.tables import Label
from pipeline.runs.folder import RunFolder
from pipeline.runs.json_files import read_json, write_json
from pipeline.runs.scores import load
from pipeline.runtime.errors import UsageError, listed


def digests(runs: Path, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 over each run's files of scores, by name."""
    return {name: _digest(RunFolder(runs, name)) for name in names}


def _digest(folder: RunFolder) -> str:
    return _digest_of(folder.score_files())


def _digest_of(paths: Iterable[Path]) -> str:
    result = hashlib.sha256()
    for path in paths:
        content = path.read_bytes() if path.is_file() else b""
        result.update(hashlib.sha256(content).digest())
    return result.hexdigest()


def write_digest(folder: RunFolder) -> None:
    """Write the digests of a run's scores beside the runs; see :attr:`RunFolder.digest`.

    Those of noisy clips have a digest of their own, because no ensemble is made of them.
    """
    noisy = [folder.fold(k).predicted("noisy") for k in folder.read().folds]
    content = {"scores": _digest(folder), "noisy": _digest_of(noisy)}
    if read_json(folder.digest) != content:
        write_json(folder.digest, content)


def stale(runs: Path, name: str) -> list[str]:
    """Errors of an ensemble whose members, or theirs, have other scores by now.

    Deleted members cannot differ; a trained run has no members.
    """
    folder = RunFolder(runs, name)
    made_of = folder.read().made_of
    available = [member for member in made_of if RunFolder(runs, member).is_run]
    errors = [line for member in available for line in stale(runs, member)]
    if old := [m for m, digest in digests(runs, available).items() if digest != made_of[m]]:
        errors.append(f"{folder.path} was made from scores that have changed since in "
                      f"{listed(old)}; run `python -m pipeline.ensemble` again")
    return errors


def check_folds(runs: Path, names: Sequence[str], labels: Mapping[str, Label]) -> None:
    """Check that runs were trained on the folds of labels.csv.

    Raises
    ------
    UsageError
        If a run's fold held other clips, so that its scores are not out of fold any more.
    """
    errors = []
    for name in names:
        folder = RunFolder(runs, name)
        record = folder.read()
        if record.made_of:
            check_folds(runs, [m for m in record.made_of if RunFolder(runs, m).is_run], labels)
        for fold in record.folds:
            scores = load(folder.fold(fold).oof, made_by="python -m pipeline.train")
            odd = [c for c in scores.clip_ids if c not in labels or labels[c].fold != fold]
            if odd:
                errors.append(f"{name}, fold {fold}: {len(odd)} clips are in another fold in "
                              f"labels.csv: {listed(odd)}")
    if errors:
        raise UsageError("\n".join(errors)
                         + "\nThe data was prepared again since; train these runs again")
