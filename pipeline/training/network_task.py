"""The task of building a network, and the digest of the networks' sources. No TensorFlow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

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
