"""Paths and records of a run. Nothing else knows the layout of the folder of all runs.

::

    RUNS/NAME/run.json              a training ("kind": "train") or an ensemble of runs
    RUNS/NAME/folds/K/fold.json     identity of fold K's training, thread count, best epoch
    RUNS/NAME/folds/K/training.npz  state after the last epoch, until the fold is finished
    RUNS/NAME/folds/K/model.keras   model of the best epoch
    RUNS/NAME/folds/K/oof.npz       its scores on the fold's validation clips
    RUNS/NAME/folds/K/history.csv   one row per epoch
    RUNS/NAME/folds/K/logs/         the same for TensorBoard
    RUNS/NAME/logs/                 mean curves, pictures and confusion matrix for TensorBoard
    RUNS/NAME/test/K.npz            scores of fold K's model on the test clips
    RUNS/NAME/test/K.json           what these were computed from
    RUNS/NAME/noisy/K.npz, K.json   the same on the noisy clips, of a run not trained on them
    RUNS/NAME/pseudo_labels/K.npz   labels of the noisy clips by the run's teacher, for fold K
    RUNS/NAME/oof.npz, test.npz     scores of an ensemble, which has no folds of its own
    RUNS/.digests/NAME.json         digests of a training's scores, once its test clips have some
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pipeline.runs.fold_folder import FoldFolder
from pipeline.runs.json_files import read_json, write_json
from pipeline.runs.recipe import Recipe
from pipeline.runs.scores import Scores, align, join, load, save
from pipeline.runtime.errors import StoreError, UsageError, listed
from pipeline.runtime.files import locked, read_limited
from pipeline.runtime.json_text import parse_json

_RUN = "run.json"

_TRAIN, _PREDICT, _ENSEMBLE = (
    f"python -m pipeline.{stage}" for stage in ("train", "predict", "ensemble")
)


@dataclass(frozen=True)
class RunRecord:
    """run.json of a training or an ensemble; fields of the other kind are empty.

    Attributes
    ----------
    name : str
        The folder's name, which the file does not repeat.
    kind : {"train", "ensemble"}
    label_mode : {"multi", "single"}
    classes : tuple of str
    seed : int
    folds : tuple of int
        The folds that are trained; none for an ensemble.
    settings, feature : dict
        The recipe and the feature that a training was run with.
    fingerprint : str
        Of the feature.
    clips, network_digest, training_version
        The rest of a training's identity, see :mod:`pipeline.runs.identity`.
    method : str
    members : tuple of str
    weights : tuple of float
    made_of : dict of str to str
        An ensemble's members and the digests of their scores.
    """

    name: str
    kind: str
    label_mode: str
    classes: tuple[str, ...]
    seed: int = 0
    folds: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    feature: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    clips: str = ""
    network_digest: str = ""
    training_version: int = 0
    method: str = ""
    members: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    made_of: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe of a training; raises KeyError if damaged."""
        return Recipe(**{f.name: self.settings[f.name] for f in fields(Recipe)})


# What run.json holds, in this order.
_KEYS = {
    "train": ("kind", "label_mode", "seed", "folds", "fingerprint", "settings", "feature",
              "classes", "clips", "network_digest", "training_version"),
    "ensemble": ("kind", "method", "members", "weights", "label_mode", "classes", "seed",
                 "made_of"),
}


@dataclass(frozen=True)
class RunFolder:
    """RUNS/NAME, which need not exist yet.

    Attributes
    ----------
    runs_dir : Path
    name : str
    """

    runs_dir: Path
    name: str

    @property
    def path(self) -> Path:
        """RUNS/NAME."""
        return self.runs_dir / self.name

    @property
    def record_path(self) -> Path:
        """run.json."""
        return self.path / _RUN

    @property
    def logs(self) -> Path:
        """For TensorBoard, what concerns the whole run."""
        return self.path / "logs"

    @property
    def is_logged(self) -> bool:
        """Whether `logs` was written since the last fold of the run was finished."""
        written = [path.stat().st_mtime_ns for path in self.logs.glob("*.tfevents.*.run")]
        folds = [self.fold(k).record_path.stat().st_mtime_ns for k in self.read().folds]
        return bool(written) and max(written) >= max(folds)

    @property
    def pseudo_labels(self) -> Path:
        """Labels that the run's teacher gives the noisy clips.

        Beside the folds and not in them: dvc.yaml knows the folds as written by the training alone.
        """
        return self.path / "pseudo_labels"

    @property
    def digest(self) -> Path:
        """Digests of the scores: what DVC watches for an ensemble of runs that it cannot name.

        Beside the runs and not in them, because dvc.yaml cannot list the files of all runs that
        params.yaml names, and the folder of all runs holds the ensemble itself.
        """
        return self.runs_dir / ".digests" / f"{self.name}.json"

    @property
    def is_run(self) -> bool:
        """Whether there is a run.json."""
        return is_folder_name(self.name) and self.record_path.is_file()

    @property
    def is_ensemble(self) -> bool:
        """Whether run.json is that of an ensemble."""
        return (read_json(self.record_path) or {}).get("kind") == "ensemble"

    def fold(self, fold: int) -> FoldFolder:
        """The files of one fold."""
        return FoldFolder(self, fold)

    def begun_folds(self) -> list[FoldFolder]:
        """All folds with a folder, whatever they were trained with."""
        names = (p.name for p in (self.path / "folds").glob("*"))
        return [self.fold(k) for k in sorted(int(n) for n in names if n.isdecimal())]

    def read(self) -> RunRecord:
        """Read run.json.

        Raises
        ------
        UsageError
            If there is no such run; lists the known ones.
        StoreError
            If run.json is damaged.
        """
        if not self.is_run:
            if is_folder_name(self.name) and self.begun_folds():
                raise UsageError(f"{self.path}: no fold is finished; run `{_TRAIN} --run "
                                 f"{self.name}` again to resume")
            known = sorted(p.parent.name for p in self.runs_dir.glob(f"*/{_RUN}"))
            near = difflib.get_close_matches(self.name, known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"{self.runs_dir} has no run {self.name!r}; {hint}there are: "
                             f"{', '.join(known) or f'none; `{_TRAIN}` makes one'}")
        path = self.record_path
        try:
            facts = parse_json(read_limited(path))
            if not isinstance(facts, dict):
                raise TypeError("no JSON object")
            kind = facts.get("kind", "train")
            keys = [key for key in _KEYS[kind] if key in facts]
            values: dict[str, Any] = {
                key: tuple(facts[key]) if isinstance(facts[key], list) else facts[key]
                for key in keys
            }
            record = RunRecord(self.name, **{**values, "kind": kind})
            if not isinstance(record.classes, tuple) or not isinstance(record.folds, tuple):
                raise TypeError("classes and folds must be lists")
            if kind == "train" and "folds" not in facts:
                raise KeyError("folds")
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise StoreError(f"{path}: damaged ({error}); train the run again"
                             ) from None
        if (not all(type(k) is int for k in record.folds)
                or record.label_mode not in ("multi", "single")):
            raise StoreError(f"{path}: folds are {list(record.folds)}, label_mode is "
                             f"{record.label_mode!r}; needs whole numbers, and multi or single; "
                             "train the run again")
        return record

    def write(self, record: RunRecord) -> None:
        """Write run.json."""
        write_json(self.record_path, {k: getattr(record, k) for k in _KEYS[record.kind]})

    def write_ensemble(self, record: RunRecord, oof: Scores, test: Scores | None) -> None:
        """Replace the folder's scores by those of an ensemble; `test` is None without any.

        run.json is deleted first and written last: without it nothing reads the folder.
        """
        with locked(self.path, flag="--runs-dir", wait=True):
            self.record_path.unlink(missing_ok=True)
            (self.path / "test.npz").unlink(missing_ok=True)
            save(self.path / "oof.npz", oof)
            if test is not None:
                save(self.path / "test.npz", test)
            self.write(record)

    def score_files(self) -> list[Path]:
        """All files of scores that the run should have, in a fixed order."""
        folds = [self.fold(k) for k in self.read().folds]
        return ([path for fold in folds for path in (fold.oof, fold.test)]
                or [self.path / "oof.npz", self.path / "test.npz"])

    def load(self) -> tuple[Scores, list[Scores]]:
        """Read the out-of-fold scores, and the test scores per fold (one entry for an ensemble).

        The test scores are an empty list before ``pipeline.predict`` has run at all.

        Raises
        ------
        UsageError
            If there is no such run, or some of its folds have scores and others do not.
        StoreError
            If a file is damaged, or has other classes than run.json.
        """
        oof, record = self.load_out_of_fold(), self.read()
        files = self.score_files()[1::2]
        tests: list[tuple[str, Scores]] = []
        if any(path.exists() for path in files):
            tests = self._load(record, files, _PREDICT if record.folds else _ENSEMBLE)
        return oof, align(tests) if tests else []

    def load_out_of_fold(self) -> Scores:
        """Read the out-of-fold scores alone.

        Raises
        ------
        UsageError
            If there is no such run, or a fold has no scores.
        StoreError
            If a file is damaged, or has other classes than run.json.
        """
        record = self.read()
        made_by = _TRAIN if record.folds else _ENSEMBLE
        return join(self._load(record, self.score_files()[::2], made_by))

    def load_noisy(self) -> list[Scores]:
        """Read the noisy clips' scores per fold; an empty list if some fold has none.

        Raises
        ------
        UsageError
            If there is no such run.
        StoreError
            If a file is damaged, or has other classes than run.json.
        """
        record = self.read()
        files = [self.fold(k).predicted("noisy") for k in record.folds]
        if not files or not all(path.is_file() for path in files):
            return []
        return align(self._load(record, files, _PREDICT))

    def _load(
        self, record: RunRecord, paths: Sequence[Path], made_by: str
    ) -> list[tuple[str, Scores]]:
        loaded = [(f"{path}", load(path, made_by=made_by)) for path in paths]
        for path, scores in loaded:
            if odd := sorted(set(scores.classes) ^ set(record.classes)):
                raise StoreError(
                    f"{path}: its classes are not those of run.json ({listed(odd)}); "
                    "train and predict the run again"
                )
        return loaded


def is_folder_name(name: str) -> bool:
    """Whether a run's name is the name of a folder in RUNS, not hidden and not a path elsewhere."""
    return bool(name) and not name.startswith(".") and Path(name).name == name
