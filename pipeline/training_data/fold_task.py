"""The task of training a fold, which train sends to its workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dataset.tables import Label
from pipeline.runs.fold_folder import FoldFolder
from pipeline.runs.recipe import Recipe


@dataclass(frozen=True)
class FoldTask:
    """What a process needs to train a fold.

    Attributes
    ----------
    recipe : Recipe
    identity : dict
        What the fold is recorded under, see :mod:`pipeline.runs.identity`.
    sources : str
        From :func:`pipeline.training.network_task.sources_digest`, recorded beside it.
    folder : FoldFolder
    store : Path
    store_digest : str
        Of the store when the run began, see :attr:`pipeline.store.reader.Store.digest`.
    classes : tuple of str
    training, validation : tuple of Label
    threads : int
        Threads per operation.
    side_by_side : int
        Folds that are trained at a time and share the memory.
    teacher : Path or None
        File of the labels that the noisy clips get in place of their own, see
        :mod:`pipeline.pseudo_labelling.student`.
    initial : Path or None
        Model file with the initial weights; None: random ones.
    """

    recipe: Recipe
    identity: dict[str, Any]
    sources: str
    folder: FoldFolder
    store: Path
    store_digest: str
    classes: tuple[str, ...]
    training: tuple[Label, ...]
    validation: tuple[Label, ...]
    threads: int
    side_by_side: int
    teacher: Path | None = None
    initial: Path | None = None

    @property
    def fold(self) -> int:
        """The fold's number."""
        return self.folder.fold
