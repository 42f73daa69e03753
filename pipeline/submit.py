"""Write a run's test scores as a submission in the form of sample_submission.csv, and check it.

  python -m pipeline.submit --run ensemble
  python -m pipeline.submit --run mfcc --top 3       # fname,label rows (2018), any sample
  python -m pipeline.submit --run mfcc --fold 0      # the model of one fold
  python -m pipeline.submit --check submission.csv   # any file, whoever made it

Columns, rows and their order follow the sample; names, order, duplicates and finite numbers are
checked before anything is written, and everything wrong is listed. A trained run's scores are the
geometric mean of its folds; --fold K submits the scores of fold K's model alone.

A column that the run has no class for ranks last, and is named. A test clip without scores (its
audio was bad) is an error, exit code 3. With --allow-missing N, up to N of them get each class's
mean score over all test clips, because Kaggle refuses a file that lacks a row. Clips with scores
that the sample does not ask for are left out, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    run: Annotated[str, Help("name of the run to submit, an ensemble too")]
    data: Annotated[Path, Help("folder that prepare wrote")]
    sample: Annotated[Path | None, Help(
        "sample submission file; none: sample_submission.csv in the data set's folder"
    )]
    out: Annotated[Path, Help("CSV file to write")]
    top: Annotated[int, Ge(0), Help(
        "write this many labels per clip (2018: 3); 0: write a score per class (2019)"
    )]
    fold: Annotated[int | None, Ge(0), FlagOnly(), Help(
        "submit the scores of this fold's model alone; without it, the mean over all folds"
    )] = None
    check: Annotated[Path | None, FlagOnly(), Help(
        "only check this submission file; write nothing"
    )] = None
    allow_missing: Annotated[int, Ge(0), FlagOnly(), Help(
        "number of test clips without scores to accept; they get each class's mean score"
    )] = 0


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_dataset
    from pipeline.runtime.rows import read_rows
    from pipeline.submitting import submission
    from pipeline.submitting.submitted_scores import complete_scores, read_test_scores

    path = settings.sample or read_dataset(settings.data).root / "sample_submission.csv"
    sample = submission.read_sample(path)
    if settings.check:
        if not settings.check.is_file():
            raise UsageError(f"{settings.check}: no such file")
        rows, classes = read_rows(settings.check), tuple[str, ...]()
        if settings.top or sample.of_labels:
            classes = read_dataset(settings.data).classes
            sample = sample.as_labels(classes)
        submission.check(f"{settings.check}", rows, sample, classes=classes,
                         top=settings.top or 3)
        print(f"{settings.check} is valid: {len(rows) - 1} clips, as {sample.path} asks for")
        return
    scores = complete_scores(
        read_test_scores(settings.runs_dir, settings.run, fold=settings.fold), sample.clip_ids,
        allow_missing=settings.allow_missing,
    )
    if settings.top:
        sample = sample.as_labels(scores.classes)
        result = submission.rows_of_labels(sample, scores, settings.top)
    else:
        result = submission.rows_of_scores(sample, scores)
        if unknown := [c for c in sample.columns if c not in scores.classes]:
            print(f"Columns that the run has no class for rank last: {', '.join(unknown)}")
    submission.check(f"{settings.out}", list(enumerate(result, 1)), sample, classes=scores.classes,
                     top=settings.top)
    submission.write(settings.out, result)
    fold = "" if settings.fold is None else f", fold {settings.fold}"
    print(f"Wrote {settings.out}: {len(sample.clip_ids)} clips, {len(sample.columns)} columns, "
          f"from {settings.run}{fold}")


if __name__ == "__main__":
    stage.main("submit", Settings, run, __doc__)
