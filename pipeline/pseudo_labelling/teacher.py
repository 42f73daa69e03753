"""Write the labels that a teacher gives the noisy clips, for the training of its student."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.pseudo_labelling.methods import Method, given_labels, make_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import load, save
from pipeline.runs.staleness import check_folds
from pipeline.runtime.errors import UsageError, listed
from pipeline.runtime.rows import read_table, write_rows

if TYPE_CHECKING:
    from pipeline.dataset.tables import Label

_COLUMNS = ("fold", "teacher", *asdict(Method("")), "clips", "kept", "agreement", "confidence",
            "scores_sha256")


def check_teacher(teacher: RunFolder) -> None:
    """Check that no network of a run has seen a label of a noisy clip.

    Raises
    ------
    UsageError
        If the run is an ensemble, or was trained on noisy clips or on weights that were.
    """
    name, seen = teacher.name, list[str]()
    while name not in seen:
        seen.append(name)
        record = RunFolder(teacher.runs_dir, name).read()
        if record.kind != "train":
            raise UsageError(f"{teacher.path} is an ensemble, without a network per fold; name one "
                             f"of its members: {', '.join(record.members)}")
        if record.settings.get("noisy"):
            begun = "" if name == teacher.name else f" begins with the weights of {name}, which"
            raise UsageError(
                f"{teacher.path}{begun} was trained on the noisy clips, whose labels it knows by "
                "heart; name a run that was trained on curated clips alone")
        name = record.settings.get("start_from") or name


def write_labels(
    student: RunFolder, teacher: RunFolder, labels: Mapping[str, Label], method: Method
) -> list[str]:
    """Write the labels of the noisy clips for each of the teacher's folds, and a summary.

    Parameters
    ----------
    student : RunFolder
        Need not be trained yet.
    teacher : RunFolder
        As :func:`check_teacher` wants it.
    labels : mapping of str to Label
        By clip id.
    method : Method

    Returns
    -------
    lines : list of str
        One per fold: the clips that are kept, the share of clips whose own labels are those that
        the teacher scores highest, and the mean of the highest labels.

    Raises
    ------
    UsageError
        If the teacher has no scores of the noisy clips, labels.csv does not know the clips, or it
        has other folds than the teacher, whose networks would have seen the student's validation
        clips.
    """
    check_folds(teacher.runs_dir, [teacher.name], labels)
    record = teacher.read()
    single, rows, lines, made = record.label_mode == "single", [], [], {}
    for fold in record.folds:
        path = teacher.fold(fold).predicted("noisy")
        if not path.is_file():
            raise UsageError(f"{path}: no such file; `python -m pipeline.predict --run "
                             f"{teacher.name} --noisy` writes it")
        scores = load(path, made_by=f"python -m pipeline.predict --run {teacher.name} --noisy")
        odd = [c for c in scores.clip_ids if c not in labels or labels[c].split != "noisy"]
        if odd:
            raise UsageError(f"{path}: labels.csv has no such noisy clips: {listed(odd)}. The data "
                             "was prepared again since; predict again")
        given = given_labels(labels, scores)
        result = make_labels(scores, given, method, single=single)
        agreement = make_labels(scores, given, Method("agreement", threshold=2), single=single)
        n, kept = len(scores.clip_ids), len(result.clip_ids)
        share = len(agreement.clip_ids) / n if n else 0.0
        confidence = float(result.values.max(axis=1).mean()) if kept else 0.0
        made[fold] = result
        rows.append([fold, teacher.name, *asdict(method).values(), n, kept, f"{share:.4f}",
                     f"{confidence:.4f}", _digest(path)])
        lines.append(f"fold {fold}: {kept} of {n} clips kept; the teacher's highest scores are "
                     f"their labels in {share:.0%}; highest label {confidence:.2f} on average")
    clear(student)
    for fold, result in made.items():
        save(student.fold(fold).pseudo_labels, result)
    write_rows(student.pseudo_labels / "summary.csv", _COLUMNS, rows)
    return lines


def check_labels(student: RunFolder, teacher: RunFolder, labels: Mapping[str, Label]) -> None:
    """Check that the labels of a student are what its teacher says now, of the folds there are.

    Labels without a summary.csv are nobody's, and a teacher that is gone cannot be asked.

    Raises
    ------
    UsageError
        If another teacher wrote them, it has other scores or folds by now, or was retrained.
    """
    summary, errors = student.pseudo_labels / "summary.csv", list[str]()
    if not summary.is_file():
        return
    again = (f"`python -m pipeline.pseudolabel --run {student.name} --teacher {teacher.name}` "
             "writes them again")
    rows = read_table(summary, _COLUMNS, _summary_row, advice=again)
    others = sorted({name for _, name, _ in rows} - {teacher.name})
    if others:
        errors.append(f"{summary}: the labels are those of {', '.join(others)}, not of the teacher "
                      f"{teacher.name}")
    elif teacher.is_run:
        check_folds(teacher.runs_dir, [teacher.name], labels)
        for fold, _, digest in rows:
            path = teacher.fold(fold).predicted("noisy")
            if not path.is_file() or _digest(path) != digest:
                errors.append(f"{summary}: the labels of fold {fold} are made of other scores than "
                              f"{path} has now")
    if errors:
        raise UsageError("\n".join([*errors, again]))


def _summary_row(cells: list[str]) -> tuple[int, str, str]:
    """Read the fold, the teacher and the digest of a row of summary.csv."""
    fold = cells[_COLUMNS.index("fold")]
    if not (fold.isascii() and fold.isdecimal() and len(fold) < 10):
        raise ValueError(f"fold is {fold!r}; needs a whole number from 0")
    return int(fold), cells[_COLUMNS.index("teacher")], cells[_COLUMNS.index("scores_sha256")]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clear(student: RunFolder) -> None:
    """Make the folder of a run's labels, and delete those of an earlier teacher."""
    student.pseudo_labels.mkdir(parents=True, exist_ok=True)
    for path in (*student.pseudo_labels.glob("*.npz"), student.pseudo_labels / "summary.csv"):
        path.unlink(missing_ok=True)
