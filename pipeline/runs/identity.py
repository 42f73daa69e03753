"""Identity of a training: everything that decides its scores.

That is the recipe, the feature's configuration, the classes, a digest over clips, labels, folds
and the clips' checksums in the store, and what the code decides: a digest of the built network and
the version of the training procedure. Equal identities make a stopped training resume and a
finished one stay as it is.

The number of threads rounds sums differently, but is no part of the identity: it follows from
``--jobs`` when a run's first fold begins, is recorded in fold.json, and stays for every fold of
that identity. So a run begun with ``--jobs 2`` and continued with ``--jobs 1`` ends with the scores
of one that never stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.dataset.tables import Label
from pipeline.runs.fold_folder import FoldFolder
from pipeline.runs.folder import RunFolder, RunRecord
from pipeline.runs.recipe import Recipe
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.files import locked
from pipeline.store.reader import Store
from pipeline.store.schema import FeatureSpec, spec_of

# Grows with every edit of pipeline/training or pipeline/batching that changes a training's scores
# while the recipe and the network stay the same: another order of clips, other crops or seeds,
# another way to validate or to choose the best epoch. Existing runs are retrained then.
TRAINING_VERSION = 1

# Grows with every edit of pipeline/training or pipeline/batching that changes a model's scores of
# test and noisy clips. Existing ones are computed again then.
SCORING_VERSION = 1

# Keys of an identity that run.json repeats.
_RECORDED = ("feature", "classes", "clips", "network_digest", "training_version")

# Keys of a run's identity that have one value per fold, by the fold's number as text.
_PER_FOLD = ("pseudo_labels", "initial_weights")

_EXPLAINED = {
    "initial_weights": "initial_weights: the run to start from has another model",
    "pseudo_labels": "pseudo_labels: the teacher gives other labels",
    "clips": "clips: other clips, labels, folds or audio",
    "network_digest": "network: other layers than the model was trained with",
    "training_version": "training_version: the code trains differently by now",
}


def make_identity(
    recipe: Recipe, store: Store, classes: Sequence[str], labels: Iterable[Label], *,
    pseudo_labels: Mapping[str, str] | None = None,
    initial_weights: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything but the network that decides the scores of a training on these clips, for JSON.

    The caller adds ``network_digest``: :func:`known_network` may have it from an earlier training,
    otherwise :func:`pipeline.training.network.network_digest` computes it, which needs TensorFlow.
    `pseudo_labels` are the digests of a teacher's labels, by the fold's number as text, and
    `initial_weights` those of the models to start from; :func:`fold_identity` picks a fold's own.
    """
    per_fold = {"pseudo_labels": pseudo_labels, "initial_weights": initial_weights}
    digest = hashlib.sha256()
    for label in labels:
        crc32 = int(store.crc32[store.index_of(label.clip_id)])
        digest.update(json.dumps(
            [label.clip_id, label.labels, label.split, label.fold, crc32]
        ).encode())
    return {
        **asdict(recipe), "feature": feature_facts(store.spec), "classes": list(classes),
        "clips": digest.hexdigest(), "training_version": TRAINING_VERSION,
        **{key: dict(value) for key, value in per_fold.items() if value is not None},
    }


def fold_identity(identity: Mapping[str, Any], fold: int) -> dict[str, Any]:
    """Return a run's identity as a fold has it: of what there is one of per fold, its own.

    Examples
    --------
    >>> fold_identity({"seed": 0, "pseudo_labels": {"0": "ab", "1": "cd"}}, 1)
    {'seed': 0, 'pseudo_labels': 'cd'}
    """
    own = {key: identity[key].get(str(fold)) for key in _PER_FOLD if key in identity}
    return {**identity, **own}


def feature_facts(spec: FeatureSpec) -> dict[str, Any]:
    """Return a feature's specification for JSON; its fingerprint follows from the first four."""
    return {
        "name": spec.feature, "version": spec.version, "dtype": spec.dtype, "config": spec.config,
        "width": spec.width, "units": spec.units,
    }


def known_network(folder: RunFolder, identity: Mapping[str, Any], sources: str) -> str | None:
    """Digest of the network from a fold trained by the same sources; None if there is none.

    `identity` is without the network.
    """
    return next((r["identity"]["network_digest"] for r in _begun_with(folder, identity)
                 if r.get("sources") == sources and "network_digest" in r["identity"]), None)


def known_threads(folder: RunFolder, identity: Mapping[str, Any]) -> int | None:
    """Threads per fold that a run was begun with; None if it was not begun.

    `identity` is without the network, which cannot be built before the threads are set.
    """
    return next((r["threads"] for r in _begun_with(folder, identity)
                 if type(r.get("threads")) is int), None)


def _begun_with(folder: RunFolder, identity: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Records of the folds with this identity, the network aside."""
    for fold in folder.begun_folds():
        record, wanted = fold.read(), fold_identity(identity, fold.fold)
        if not record:
            continue
        if {k: v for k, v in record["identity"].items() if k != "network_digest"} == wanted:
            yield record


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """A line per key whose values differ, ``key: OLD, now NEW``; nested keys with a dot."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += [f"{key}.{line}" for line in differences(a, b)]
        elif a != b and key in _EXPLAINED:
            lines.append(_EXPLAINED[key])
        elif a != b:
            lines.append(f"{key}: {json.dumps(a)}, now {json.dumps(b)}")
    return lines


def unfinished_folds(
    folder: RunFolder, identity: Mapping[str, Any], folds: Iterable[int], *, resume: bool
) -> tuple[list[int], list[str]]:
    """Find the folds that are not finished with this identity, and what was begun before.

    Parameters
    ----------
    folder : RunFolder
    identity : mapping
    folds : iterable of int
        The wanted ones.
    resume : bool
        Refuse to start from scratch where another training, or none at all, was begun.

    Returns
    -------
    left : list of int
    notes : list of str
        Folds that were begun with other settings, and how these differ.

    Raises
    ------
    UsageError
        If `resume` is refused, with the settings that differ; or if the run is an ensemble.
    """
    if folder.is_ensemble:
        raise UsageError(f"{folder.path} is an ensemble; give the training another --run")
    left = [k for k in folds if not folder.fold(k).is_finished(fold_identity(identity, k))]
    begun = {fold.fold: record["identity"] for fold in folder.begun_folds()
             if (record := fold.read())}
    if left and resume and not begun:
        raise UsageError(f"{folder.path}: nothing to resume: no training was begun. "
                         "Leave --resume out")
    # Where any fold was begun with these settings, the next one may begin under --resume too.
    is_known = any(begun[k] == fold_identity(identity, k) for k in begun)
    relevant = left if is_known or not resume else begun
    others: dict[str, list[int]] = {}
    for k in relevant:
        wanted = fold_identity(identity, k)
        if k in begun and begun[k] != wanted:
            others.setdefault("\n    ".join(differences(begun[k], wanted)), []).append(k)
    notes = [f"begun with other settings, fold {', '.join(map(str, ks))}:\n    {lines}"
             for lines, ks in others.items()]
    if left and notes and resume:
        raise UsageError(f"{folder.path}: " + "\n".join(notes)
                         + "\nResume with the old ones, or leave --resume out to retrain")
    return left, notes


def write_record(
    folder: RunFolder, identity: Mapping[str, Any], spec: FeatureSpec, recipe: Recipe,
    folds: Iterable[int],
) -> None:
    """Write run.json over those of `folds` that are finished, if any.

    Under the run's lock: several processes may train folds of one run.
    """
    with locked(folder.path, flag="--runs-dir", wait=True):
        done = tuple(k for k in folds
                     if folder.fold(k).is_finished(fold_identity(identity, k)))
        for k in done:
            # A kill may have come between the record of the end and the state's deletion.
            folder.fold(k).checkpoint.unlink(missing_ok=True)
        if done:
            folder.write(RunRecord(
                folder.name, "train", recipe.labels, seed=recipe.seed, folds=done,
                settings=asdict(recipe), fingerprint=spec.fingerprint,
                **{key: identity[key] for key in _RECORDED},
            ))


def read_training(folder: RunFolder) -> tuple[RunRecord, FeatureSpec]:
    """Read run.json of a training, whose models can score clips, and the feature it was trained on.

    Raises
    ------
    UsageError
        If there is no such run, or it is an ensemble, which has no models.
    StoreError
        If run.json is damaged.
    """
    record = folder.read()
    if record.kind == "ensemble":
        raise UsageError(f"{folder.path} is an ensemble, without a model of its own; name one of "
                         f"its members: {', '.join(record.members)}")
    try:
        _ = record.recipe
        feature = record.feature
        spec = FeatureSpec(feature["name"], *(
            feature[key] for key in ("version", "dtype", "width", "units", "config")
        ))
        if spec.fingerprint != record.fingerprint:
            raise ValueError("the fingerprint does not match the feature")
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder.record_path}: not a valid run.json ({error!r}); train the run "
                         "again") from None
    return record, spec


def check_store(folder: RunFolder, spec: FeatureSpec, store: Store) -> None:
    """Check that a store holds the feature that a run was trained on.

    Raises
    ------
    StoreError
        If its fingerprint is another; lists the differences, key by key.
    """
    if store.spec.fingerprint == spec.fingerprint:
        return
    lines = differences(feature_facts(spec), feature_facts(store.spec))
    raise StoreError(
        f"{store.path} holds another feature than {folder.path} was trained on "
        f"({spec.fingerprint[:16]}, now {store.spec.fingerprint[:16]}):\n  "
        + "\n  ".join(lines)
        + "\nExtract with the run's settings, or train again from this store"
    )


def check_feature(folder: RunFolder, spec: FeatureSpec, *, use: str) -> None:
    """Check that this version computes a run's feature as it was computed for the training.

    Parameters
    ----------
    folder : RunFolder
    spec : FeatureSpec
        From :func:`read_training`.
    use : str
        What the run is wanted for, a verb for the error.

    Raises
    ------
    StoreError
        If the feature is unknown or of another version by now; lists the differences.
    """
    advice = (f"Extract and train the run again with this version, or {use} with the version of "
              "the package that trained it")
    try:
        now = spec_of(spec.declaration, spec.config["trim_db"])
    except StoreError as error:
        raise StoreError(f"{folder.path}: its feature {spec.feature} is not known as it was "
                         f"trained on: {error}. {advice}") from None
    if lines := differences(feature_facts(spec), feature_facts(now)):
        raise StoreError(
            f"{folder.path} was trained on another feature than this version computes:\n  "
            + "\n  ".join(lines) + f"\n{advice}"
        )


def make_predict_inputs(
    fold: FoldFolder, trained: RunRecord, store: Store, clip_ids: Sequence[str]
) -> dict[str, Any]:
    """Collect everything that decides a fold's scores of some clips, for JSON."""
    crc32 = [int(store.crc32[store.index_of(clip_id)]) for clip_id in clip_ids]
    clips = json.dumps([list(clip_ids), crc32])
    model = fold.model.read_bytes() if fold.model.is_file() else b""
    recipe = trained.recipe
    return {
        "model": hashlib.sha256(model).hexdigest(), "fingerprint": store.spec.fingerprint,
        "clips": hashlib.sha256(clips.encode()).hexdigest(), "classes": list(trained.classes),
        "seconds": recipe.seconds, "pad": recipe.pad, "crops": recipe.crops,
        "overlap": recipe.overlap, "score_seconds": recipe.score_seconds,
        "batch_size": recipe.batch_size, "scoring_version": SCORING_VERSION,
    }
