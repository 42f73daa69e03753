"""Paths and records of one fold of a run; :mod:`pipeline.runs.folder` has the whole layout."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runs.json_files import read_json, write_json
from pipeline.runs.scores import Scores, save
from pipeline.runtime.files import locked

if TYPE_CHECKING:
    from pipeline.runs.folder import RunFolder

# Splits that predict scores with the model of every fold.
PREDICTED = ("test", "noisy")


@dataclass(frozen=True)
class FoldFolder:
    """RUNS/NAME/folds/K.

    Attributes
    ----------
    run : RunFolder
    fold : int
    """

    run: RunFolder
    fold: int

    @property
    def path(self) -> Path:
        """RUNS/NAME/folds/K."""
        return self.run.path / "folds" / str(self.fold)

    @property
    def model(self) -> Path:
        """The model of the epoch that is kept."""
        return self.path / "model.keras"

    @property
    def oof(self) -> Path:
        """Scores of the validation clips."""
        return self.path / "oof.npz"

    @property
    def history(self) -> Path:
        """One row per epoch."""
        return self.path / "history.csv"

    @property
    def checkpoint(self) -> Path:
        """The state after the last epoch, until the fold is finished."""
        return self.path / "training.npz"

    @property
    def logs(self) -> Path:
        """For TensorBoard."""
        return self.path / "logs"

    @property
    def test(self) -> Path:
        """Scores of the test clips."""
        return self.predicted("test")

    def predicted(self, split: str) -> Path:
        """Scores of the clips of a split that the fold's model was not trained on."""
        return self.run.path / split / f"{self.fold}.npz"

    @property
    def pseudo_labels(self) -> Path:
        """Labels of the noisy clips by the run's teacher: a score file."""
        return self.run.pseudo_labels / f"{self.fold}.npz"

    @property
    def record_path(self) -> Path:
        """fold.json."""
        return self.path / "fold.json"

    def read(self) -> dict[str, Any] | None:
        """Read fold.json; None without a readable one: the fold is retrained then."""
        record = read_json(self.record_path)
        return record if record and isinstance(record.get("identity"), dict) else None

    def is_finished(self, identity: Mapping[str, Any]) -> bool:
        """Whether the fold is trained to its end with this identity and no file is missing."""
        record = self.read()
        return bool(
            record and record["identity"] == identity and record.get("finished")
            and all(path.is_file() for path in (self.model, self.oof, self.history))
        )

    def is_resumable(self, identity: Mapping[str, Any]) -> bool:
        """Whether a training with this identity was stopped after at least one epoch."""
        record = self.read()
        return bool(
            record and record["identity"] == identity and not record.get("finished")
            and self.checkpoint.is_file()
        )

    def begin(self, identity: Mapping[str, Any], **record: Any) -> None:
        """Delete what an earlier training left, and record the new one.

        A run.json that names the fold goes too, so that nothing reads a half-replaced run.
        """
        with locked(self.run.path, flag="--runs-dir", wait=True):
            folds = (read_json(self.run.record_path) or {}).get("folds")
            if isinstance(folds, list) and self.fold in folds:
                self.run.record_path.unlink()
            self.record_path.unlink(missing_ok=True)
        predicted = [self.predicted(split) for split in PREDICTED]
        for path in (self.checkpoint, self.model, self.oof, self.history,
                     *predicted, *map(_inputs_of, predicted)):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.logs, ignore_errors=True)
        write_json(self.record_path, {"identity": identity, "finished": False, **record})

    def finish(self, **results: Any) -> None:
        """Record that the fold is finished, and delete its state."""
        write_json(self.record_path, {**(self.read() or {}), "finished": True, **results})
        self.checkpoint.unlink(missing_ok=True)

    def locked(self) -> AbstractContextManager[None]:
        """Hold the fold's lock; raises a PipelineError if another training holds it."""
        return locked(self.path, flag="--run")

    def save_predicted(self, split: str, scores: Scores, inputs: Mapping[str, Any]) -> None:
        """Write the fold's scores of a split, and the inputs that they were computed from."""
        path = self.predicted(split)
        _inputs_of(path).unlink(missing_ok=True)
        save(path, scores)
        write_json(_inputs_of(path), inputs)

    def is_predicted(self, split: str, inputs: Mapping[str, Any]) -> bool:
        """Whether the fold's scores of a split were computed from these inputs."""
        path = self.predicted(split)
        return path.is_file() and read_json(_inputs_of(path)) == inputs


def _inputs_of(scores: Path) -> Path:
    """The record beside a file of predicted scores."""
    return scores.with_suffix(".json")
