"""Tag audio files with a trained run, an ensemble or an exported model.

  python -m pipeline.tag dog.wav                        the top tags, by the ensemble
  python -m pipeline.tag recordings/ --run mfcc         a folder and its subfolders, by one run
  python -m pipeline.tag street.flac                    a long file: also which tag is on top when
  python -m pipeline.tag recordings/ --top 5 --min-score 0.3
  python -m pipeline.tag recordings/ --csv tags.csv     a row per file, a column per class
  python -m pipeline.tag *.ogg --json | jq '.files[] | {file, tags}'
  python -m pipeline.tag dog.wav --model mfcc.tflite    a model that export wrote

Any format that libsndfile reads, of any length and sampling rate. Features are computed as extract
computes them, with the run's own settings; a file's scores are those that predict writes of the
same clip: the mean over crops that cover it, and over the run's folds. No store is needed.

A long file is also scored window by window. A window is as long as the crops that the run was
trained on; --hop-seconds sets how far apart windows begin. Neighbouring windows with the same top
tag are shown as one line, with the mean of their scores.

Bad files are listed and the others tagged; the exit code is 3 then. With --json nothing else is
written to the standard output.

exit codes: 0 done, 1 no space left or the like, 2 usage or no audio found, 3 some files are bad,
4 a damaged run or model, or a feature that this version computes differently
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Positional, Section
from pipeline.runtime.choices import NO_JOBS, TimeLineMode


@dataclass(frozen=True)
class Settings:
    paths: Annotated[tuple[Path, ...], Positional(), Help(
        "audio files, and folders to search for them"
    )]
    runs_dir: Annotated[Path, Help("folder of all runs")]
    run: Annotated[str, Help("name of the run that tags, an ensemble too")]
    top: Annotated[int, Ge(1), Help("number of tags to show per file")]
    min_score: Annotated[float, Ge(0), Le(1), Help("show only tags with this score or more")]
    timeline: Annotated[TimeLineMode, Help(
        "score windows of a file too; auto: if it is longer than 4 windows"
    )]
    hop_seconds: Annotated[float | None, Ge(0.01), Help(
        "time from one window to the next (s); none: half a window"
    )]
    jobs: Annotated[int, Ge(-1), Section("machine"), Help(
        "number of workers that decode; -1: one per CPU core"
    )]
    model: Annotated[Path | None, FlagOnly(), Help(
        "tag with this file or folder that pipeline.export wrote, whatever --run says"
    )] = None
    json: Annotated[bool, FlagOnly(), Help(
        "print one JSON document, with the scores of all classes and windows"
    )] = False
    csv: Annotated[Path | None, FlagOnly(), Help(
        "also write this CSV: file, seconds, and the score of each class"
    )] = None


def run(settings: Settings) -> None:
    from pipeline.extraction.environment import set_environment

    set_environment()
    from pipeline.runtime.errors import UsageError
    from pipeline.tagging.audio_files import find_audio
    from pipeline.tagging.report import check_bad, print_notes, report
    from pipeline.tagging.tag_files import tag_files

    if settings.csv and settings.csv.is_dir():
        raise UsageError(f"--csv {settings.csv}: a folder; needs a file to write")
    if settings.jobs == 0:
        raise UsageError(NO_JOBS)
    if settings.model is None:
        from pipeline.tagging.trained import open_run

        tagger = open_run(settings.runs_dir, settings.run)
    else:
        from pipeline.tagging.exported import open_model

        tagger = open_model(settings.model)
    found = find_audio(settings.paths)
    print_notes(found)
    hop_seconds = settings.hop_seconds or tagger.window_seconds / 2
    tagged = tag_files(tagger, found.files, timeline=settings.timeline, hop_seconds=hop_seconds,
                       jobs=settings.jobs)
    tagged.problems[:0] = found.problems
    report(tagger, tagged, top=settings.top, min_score=settings.min_score,
           hop_seconds=hop_seconds, as_json=settings.json, csv=settings.csv)
    check_bad(tagged)


if __name__ == "__main__":
    stage.main("tag", Settings, run, __doc__)
