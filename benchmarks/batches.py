"""How fast crops come out of a store, and whether a network ever waits for them.

  python benchmarks/batches.py --stores stores --data prepared
  python benchmarks/batches.py --stores stores --data prepared --features logmel --epochs 7

Three figures, measured side by side in one run, for only their ratios hold on a busy machine:

- crops a second on one core, from memory and mapped, and the same bytes copied by NumPy at once;
- an epoch from the store over an epoch from tensors that are in memory already, alternating; and
  the same for keras.utils.PyDataset, without and with a worker. What the batches of an epoch take
  by themselves is more than they can ever add to it;
- clips a second the notebook's way: librosa.load and librosa.feature.mfcc for every clip of every
  epoch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from pipeline.batching.batches import batch_slices, batches, cut
from pipeline.batching.crops import crop_frames, random_crops
from pipeline.batching.source import open_source
from pipeline.dataset import tables as clips
from pipeline.runs.folder import RunFolder
from pipeline.runs.recipe import Recipe
from pipeline.store.partial import store_path
from pipeline.store.reader import Store, open_store
from pipeline.training import tensorflow_setup as backend
from pipeline.training_data import examples
from pipeline.training_data.fold_data import open_fold_data
from pipeline.training_data.fold_task import FoldTask

SECONDS = 2.0
BATCH = 64
EVERYTHING = 1 << 62


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def best_of(repeats: int, measured: Callable[[], None]) -> float:
    """The shortest of some runs (in seconds)."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        measured()
        times.append(time.perf_counter() - began)
    return min(times)


def measure_cutting(store: Store, repeats: int = 5) -> float:
    """Print crops a second on one core; those from memory."""
    ids = store.contents.clip_ids
    rng = np.random.default_rng(0)
    n_frames = crop_frames(store.spec, SECONDS)
    found = {}
    for name, budget in (("in memory", EVERYTHING), ("mapped", 0)):
        source = open_source(store, ids, n_frames=n_frames, pad="silence", budget=budget)

        def epoch(source=source) -> None:
            crops = random_crops(source.length, rng.permutation(len(ids)), n_frames, rng)
            for _ in batches(source, crops, BATCH):
                pass

        found[name] = len(ids) / best_of(repeats, epoch)
    shape = (BATCH, *source.crop_shape)
    whole = np.resize(source.frames, (4 * BATCH, *source.crop_shape)).astype(np.float32)

    def copies() -> None:
        for first in range(0, len(whole), BATCH):
            result = np.empty(shape, np.float32)
            result[:] = whole[first:first + BATCH]

    copied = len(whole) / best_of(repeats, copies)
    for name, rate in found.items():
        print(f"  {name:10} {rate:10,.0f} crops/s, {rate / copied:5.2f} of copying batches whole")
    return found["in memory"]


def measure_epochs(store: Store, data: Path, model_name: str, epochs: int) -> None:
    """Print an epoch from the store, over one from tensors in memory."""
    backend.start()
    import keras
    import tensorflow as tf

    from pipeline.training.network import make_model
    from pipeline.training.trainer import BATCH as BATCH_KEYS

    dataset, labels = clips.read_dataset(data), clips.read_labels(data)
    chosen, _ = examples.select(labels, dataset, store, label_mode="multi", noisy=True)
    training, validation = examples.split(chosen, examples.folds_of(chosen)[0])
    recipe = Recipe(
        features=store.spec.feature, model=model_name, labels="multi", noisy=True, seconds=SECONDS,
        pad="silence",
        normalization="min-max" if store.spec.feature == "waveform" else "standardize",
        crops="clip", seconds_max=None, overlap=0.0, score_seconds=None, curated=True,
        noisy_share=None, balance=False, teacher=None, batch_size=BATCH, epochs=epochs,
        learning_rate=1e-3, patience=epochs, monitor="loss", seed=0, network={},
        start_from=None, augment={},
        loss={"kind": "cross-entropy", "label_smoothing": 0.0}, noisy_loss=None, noisy_head=False,
        optimizer={"kind": "adam"}, schedule={"kind": "constant"}, averaging={"kind": "none"},
        keep="best", validate_every=1, precision="float32",
    )
    task = FoldTask(
        recipe, {}, "", RunFolder(Path(), "benchmark").fold(0), store.path, store.digest,
        dataset.classes, training, validation, threads=1, side_by_side=1,
    )
    moments = store.moments(x.clip_id for x in training)
    model = make_model(recipe, store.spec, len(dataset.classes), fold=0, mean=moments.mean,
                       variance=moments.variance)
    fold = open_fold_data(task, store)
    rng = np.random.default_rng(0)
    crops = random_crops(
        fold.source.length, rng.permutation(len(training)), fold.source.n_frames, rng
    )
    x, y = tf.constant(cut(fold.source, crops)), tf.constant(fold.targets[crops.row])
    memory = {"features": x, "targets": y, "noisy": tf.constant(fold.noisy[crops.row])}
    parts = batch_slices(len(crops), BATCH)

    class Sequence(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(parts)

        def __getitem__(self, i: int) -> tuple[dict[str, np.ndarray]]:
            part = crops[parts[i]]
            return ({"features": cut(fold.source, part), "targets": fold.targets[part.row],
                     "noisy": fold.noisy[part.row]},)

    def fit_store() -> None:
        arrays = backend.dataset(lambda: fold.training_batches(1), *fold.batch_shapes)
        model.fit(
            arrays.map(lambda *each: dict(zip(BATCH_KEYS, each, strict=True))),
            steps_per_epoch=len(parts), verbose=0, shuffle=False,
        )

    ways = {
        "tensors in memory": lambda: model.fit(
            memory, batch_size=BATCH, shuffle=False, verbose=0),
        "store": fit_store,
        "PyDataset, no worker": lambda: model.fit(Sequence(workers=0), shuffle=False, verbose=0),
        "PyDataset, a worker": lambda: model.fit(Sequence(workers=1), shuffle=False, verbose=0),
    }
    def feed() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for where, features in batches(fold.source, crops, BATCH):
            yield features, fold.targets[crops.row[where]]

    def only_feed() -> None:
        for _ in backend.dataset(feed, fold.source.crop_shape, y.shape[1:], n_batches=len(parts)):
            pass

    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # compiles
    for _ in range(epochs):
        for name, way in ways.items():
            began, worked = time.perf_counter(), time.process_time()
            way()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - worked)
    print(f"  {len(training)} clips; all batches without a network: {best_of(3, only_feed):.3f} s")
    for name in ways:
        print(f"  {name:21} best {min(wall[name]):7.3f} s, over tensors:"
              f" {_ratio(wall, name)} by the clock, {_ratio(cpu, name)} in processor time")


def _ratio(times: dict[str, list[float]], name: str) -> str:
    base = times["tensors in memory"]
    pairs = statistics.median(a / b for a, b in zip(times[name], base, strict=True))
    return f"{min(times[name]) / min(base):5.3f} (median of pairs {pairs:5.3f})"


def measure_notebook(data: Path, rate: float, most: int = 40) -> None:
    """Print clips a second the notebook's way, on one core, and how much faster a store is."""
    import librosa

    dataset, all_clips = clips.read_clips(data)
    paths = [dataset.root / c.path for c in all_clips[:: max(1, len(all_clips) // most)]]
    rng = np.random.default_rng(0)

    def load(path: Path) -> None:
        y, sr = librosa.load(path, sr=44100)
        n = int(SECONDS * sr)
        first = rng.integers(max(1, len(y) - n + 1))
        librosa.feature.mfcc(
            y=librosa.util.fix_length(y[first:first + n], size=n), sr=sr, n_mfcc=40
        )

    load(paths[0])
    with one_core():
        taken = best_of(2, lambda: [load(path) for path in paths] and None)
    slow = len(paths) / taken
    print(f"  librosa    {slow:10,.0f} clips/s; the store gives {rate / slow:,.0f} times as many")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=Path, default=Path("stores"))
    parser.add_argument("--data", type=Path, default=Path("prepared"))
    parser.add_argument("--features", nargs="+", default=["mfcc", "logmel"])
    parser.add_argument("--model", help="conv1d for waveforms, else conv2d")
    parser.add_argument("--epochs", type=int, default=5, help="of each way")
    given = parser.parse_args()
    for feature in given.features:
        store = open_store(store_path(given.stores, feature))
        print(f"{feature}: {len(store)} clips, crops of {SECONDS:g} s, batches of {BATCH}")
        with one_core():
            rate = measure_cutting(store)
        if feature == "mfcc":
            measure_notebook(given.data, rate)
        model = given.model or ("conv1d" if feature == "waveform" else "conv2d")
        print(f" an epoch of {model}, {os.cpu_count()} cores")
        measure_epochs(store, given.data, model, given.epochs)


if __name__ == "__main__":
    main()
