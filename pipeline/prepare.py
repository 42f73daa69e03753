"""Read a data set's tables, check every audio file's header, and split the clips into folds.

  python -m pipeline.prepare                                  # as params.yaml says
  python -m pipeline.prepare --data ~/FSDKaggle2019 --folds 5
  python -m pipeline.prepare --data recordings/meta.csv       # fname,labels beside a folder
  python -m pipeline.prepare --data recordings                # a folder per class
  python -m pipeline.prepare --data ESC-50-master --subset esc10
  python -m pipeline.prepare --relabel corrections.csv        # clip_id,action,new_labels

Reads FSDKaggle2019 and FSDKaggle2018, from Kaggle or from Zenodo; ESC-50 and UrbanSound8K; a folder
per class, also in train/, validation/ and test/, or with a metadata.csv (file_name, label); and any
CSV with the columns fname, labels (or label) and optionally fold, beside a folder of audio. Folds
that a data set has of its own win over --folds.

--relabel corrects labels of training clips or drops clips, by a CSV: clip_id, action (keep,
correct or drop) and new_labels (separated by commas). No clip changes its fold.

Writes into --out: clips.csv (what to decode), labels.csv (labels, split, fold), dataset.json (the
classes) and problems.csv (what was left out, and why). Headers and folds are cached in a hidden
folder beside --out, so that unchanged files are not opened again. If more clips are bad than
--allow-failures accepts, all are listed and only problems.csv is written (exit code 3).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import Help
from pipeline.runtime.choices import LabelMode
from pipeline.runtime.errors import BadClipsError, UsageError


@dataclass(frozen=True)
class Settings:
    data: Annotated[Path, Help("folder of the data set, or one CSV file in it")]
    out: Annotated[Path, Help("folder to write the tables to")]
    labels: Annotated[LabelMode, Help(
        "labels per clip; multi: any number, single: train only on clips with exactly one"
    )]
    folds: Annotated[int, Ge(2), Help("number of cross-validation folds of the curated clips")]
    subset: Annotated[str | None, Help(
        "part of the data set to take, such as esc10 of ESC-50; none: all"
    )]
    relabel: Annotated[Path | None, Help(
        "CSV of labels to correct and clips to drop: clip_id, action, new_labels; none: no changes"
    )]
    seed: Annotated[int, Ge(0), Le(2**32 - 1), Help("random seed of the fold split")]
    drop_known_bad: Annotated[bool, Help(
        "leave out the clips that FSDKaggle2019's organisers listed as bad"
    )]
    allow_failures: Annotated[int, Ge(0), Help(
        "number of bad clips to accept and leave out; with more, nothing is written"
    )]


def run(settings: Settings) -> None:
    from pipeline.dataset import preparation
    from pipeline.runtime import problems

    out = settings.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: not a folder; --out needs one to write into")
    if out.exists() and settings.data.exists() and out.samefile(settings.data):
        raise UsageError(f"{out} is the data set itself; give --out another folder")
    cache = out.parent / f".{out.name}_cache" / "headers.csv"
    found = preparation.prepare(
        settings.data, labels=settings.labels, folds=None, seed=settings.seed,
        drop_known_bad=settings.drop_known_bad, subset=settings.subset, header_cache=cache,
    )
    bad = preparation.bad(found.problems)
    path = out / preparation.PROBLEMS
    problems.print_problems(bad, path)
    if len(bad) > settings.allow_failures:
        out.mkdir(parents=True, exist_ok=True)
        problems.write_csv(path, found.problems)
        for note in found.notes:
            print(f"  note: {note}", file=sys.stderr)
        raise BadClipsError(
            f"{len(bad)} bad clips or rows, {settings.allow_failures} are allowed; all are in "
            f"{path}. Fix them, or leave them out with --allow-failures {len(bad)}"
        )
    prepared = preparation.with_folds(found, folds=settings.folds, seed=settings.seed,
                                      relabel=settings.relabel, header_cache=cache)
    preparation.write(prepared, out)
    for line in preparation.summary(prepared):
        print(line)
    for note in prepared.notes:
        print(f"  note: {note}")
    if bad:
        print(f"  {len(bad)} bad clips or rows are left out: {path}")
    print(f"prepare: {out} is ready")


if __name__ == "__main__":
    stage.main("prepare", Settings, run, __doc__)
