"""Tasks that train sends to its workers, and the digest of the networks' sources. No TensorFlow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from pipeline.dataset.tables import Label
from pipeline.runs.fold_folder import FoldFolder
from pipeline.runs.recipe import Recipe
from pipeline.store.schema import FeatureSpec


@dataclass(frozen=True)
class NetworkTask:
    """What a process needs to build a run's network.

    Attributes
    ----------
    recipe : Recipe
    spec : FeatureSpec
    n_classes : int
    threads : int
        See :func:`pipeline.training.tensorflow_setup.start`.
    """

    recipe: Recipe
    spec: FeatureSpec
    n_classes: int
    threads: int


@dataclass(frozen=True)
class FoldTask:
    """What a process needs to train a fold.

    Attributes
    ----------
    recipe : Recipe
    identity : dict
        What the fold is recorded under, see :mod:`pipeline.runs.identity`.
    sources : str
        From :func:`sources_digest`, recorded beside it.
    folder : FoldFolder
    store : Path
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


def sources_digest() -> str:
    """SHA-256 over the files of ``models`` and the version of Keras.

    Where it is the same as before, a network is known to be the same without importing TensorFlow
    (4 s). Where it differs, the network is built and compared, so that an edited comment or another
    network's new layer retrains nothing.
    """
    spec = util.find_spec("models")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package models is not installed")
    root = Path(spec.submodule_search_locations[0])
    digest = hashlib.sha256(metadata.version("keras").encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
