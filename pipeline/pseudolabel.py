"""Label the noisy clips for a run by what its teacher thinks of them, between two trainings.

  python -m pipeline.pseudolabel --run student                   its teacher, as params.yaml says
  python -m pipeline.pseudolabel --run student --teacher mfcc --method pseudo --temperature 0.5

The teacher is a run that was trained on curated clips alone and has scored the noisy ones
(`pipeline.predict` with --noisy). Then train the student: a run with `teacher` and `noisy`.

Writes RUNS/STUDENT/pseudo_labels/K.npz, the labels of fold K, and summary.csv beside it. They are
made by the teacher's network of fold K alone, which has seen neither the noisy clips nor the
curated clips of fold K: nothing of the student's validation clips leaks into what it learns from.

Methods: agreement keeps the clips with labels that the teacher agrees with, by --threshold and
--keep. pseudo replaces labels by the teacher's scores, sharpened by --temperature, and leaves out
clips below --min-confidence. mix takes the mean of a clip's labels and the sharpened scores.

exit codes: 0 done, 1 no space left or the like, 2 usage, 4 a corrupt run or score file
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.cli.params_file import PARAMS, file_of, read_values
from pipeline.runtime.choices import PseudoLabelMethod
from pipeline.runtime.errors import UsageError, suggestion


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    data: Annotated[Path, Help("folder that prepare wrote, with the labels")]
    method: Annotated[PseudoLabelMethod, Help(
        "how to label; agreement: keep labels that the teacher agrees with, pseudo: its sharpened "
        "scores, mix: the mean of both"
    )]
    threshold: Annotated[float, Ge(0), Le(1), Help(
        "agreement: lowest score of a clip's labels, where they are not the highest ones"
    )]
    keep: Annotated[float | None, Gt(0), Le(1), Help(
        "agreement: largest share of each class's clips; none: all that agree"
    )]
    temperature: Annotated[float, Gt(0), Help(
        "pseudo and mix: below 1 moves scores towards 0 and 1, 1 leaves them"
    )]
    min_confidence: Annotated[float, Ge(0), Le(1), Help(
        "pseudo: leave out clips whose highest sharpened score is below"
    )]
    run: Annotated[str | None, FlagOnly(), Help("name of the run to make labels for")] = None
    teacher: Annotated[str | None, FlagOnly(), Help(
        "name of the run that labels; none: as section follow_ups says"
    )] = None
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings, or those that differ from params.yaml; a flag wins over its key"
    )] = PARAMS


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_labels
    from pipeline.pseudo_labelling.methods import Method
    from pipeline.pseudo_labelling.teacher import check_teacher, clear, write_labels
    from pipeline.runs.folder import RunFolder, is_folder_name

    known = read_values(settings.params, "follow_ups")
    if settings.run is None or not is_folder_name(settings.run):
        what = "no run is named" if settings.run is None else f"--run is {settings.run!r}"
        raise UsageError(f"{what}; needs the name of a run of section follow_ups: "
                         f"{', '.join(known) or '(it is empty)'}")
    if settings.teacher is None and settings.run not in known:
        file = file_of(settings.params, "follow_ups")
        raise UsageError(f"no run {settings.run!r} in section follow_ups of {file}; "
                         f"{suggestion(settings.run, known) if known else 'it is empty'}. "
                         "Another run needs --teacher too")
    student = RunFolder(settings.runs_dir, settings.run)
    name = settings.teacher or (known[settings.run] or {}).get("teacher")
    if name is None:
        clear(student)  # dvc.yaml expects the folder
        print(f"pseudolabel: nothing to do: {settings.run} has no teacher")
        return
    teacher = RunFolder(settings.runs_dir, name)
    check_teacher(teacher)
    labels = {label.clip_id: label for label in read_labels(settings.data)}
    method = Method(settings.method, settings.threshold, settings.keep, settings.temperature,
                    settings.min_confidence)
    for line in write_labels(student, teacher, labels, method):
        print(line)
    print(f"Wrote {student.pseudo_labels}")


if __name__ == "__main__":
    stage.main("pseudolabel", Settings, run, __doc__)
