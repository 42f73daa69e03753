"""Read the test scores to submit, and complete them for the clips of a sample submission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.ensembling.means import mean_over_folds
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores
from pipeline.runs.staleness import stale
from pipeline.runtime.errors import BadClipsError, UsageError
from pipeline.submitting.submission import fill_missing, missing_clips


def read_test_scores(runs_dir: Path, name: str, *, fold: int | None = None) -> Scores:
    """Read a run's test scores: the mean of its folds' models, or one of them.

    Parameters
    ----------
    runs_dir : Path
    name : str
        Of the run, an ensemble too.
    fold : int, optional
        The fold whose model's scores are wanted.

    Raises
    ------
    UsageError
        If there are no test scores or no such fold, or an ensemble's members have changed.
    """
    folder = RunFolder(runs_dir, name)
    record = folder.read()
    if errors := stale(runs_dir, name):
        raise UsageError("\n".join(errors))
    _, folds = folder.load()
    if not folds:
        raise UsageError(f"{folder.path} has no test scores; "
                         "`python -m pipeline.predict` writes them")
    if fold is None:
        return mean_over_folds(name, folds, single=record.label_mode == "single")
    if fold not in record.folds:
        known = ", ".join(map(str, record.folds)) or "none, it is an ensemble"
        raise UsageError(f"--fold is {fold}; the folds of {name}: {known}")
    return folds[record.folds.index(fold)]


def complete_scores(scores: Scores, clip_ids: Sequence[str], *, allow_missing: int) -> Scores:
    """Return the scores of the sample's clips, in its order; prints what is filled in or left out.

    Parameters
    ----------
    scores : Scores
    clip_ids : sequence of str
        The clips that the sample asks for.
    allow_missing : int
        Number of clips without scores to accept, see :func:`.submission.fill_missing`.

    Raises
    ------
    BadClipsError
        If more clips have no scores.
    UsageError
        If none has scores: the sample belongs to another data set.
    """
    missing = missing_clips(scores, clip_ids)
    if missing:
        print(f"{len(missing)} test clips have no scores: {', '.join(missing)}")
    if len(missing) == len(clip_ids):
        raise UsageError("none of the sample's clips has scores. Is it of this data set?")
    if len(missing) > allow_missing:
        raise BadClipsError(
            f"{len(missing)} test clips have no scores, {allow_missing} are allowed. "
            "See problems.csv for the reasons, or fill them in with each class's mean score: "
            f"--allow-missing {len(missing)}"
        )
    extra = len(scores.clip_ids) - (len(clip_ids) - len(missing))
    if extra:
        print(f"{extra} clips with scores are not in the sample and are left out")
    return fill_missing(scores, clip_ids)
