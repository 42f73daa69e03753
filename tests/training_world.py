"""A prepared folder and tiny stores of random features to train on, and recipes for them."""

import csv

import numpy as np

from features.signal.moments import moments_of
from pipeline.dataset.tables import Dataset, Label, read_labels, write_dataset, write_labels
from pipeline.runs.recipe import Recipe
from pipeline.store.partial import JournalEntry, PartialStore
from pipeline.store.reader import open_store
from pipeline.store.schema import Contents, FeatureSpec
from pipeline.store.writer import ClipWriter

CLASSES = ("Bark", "Meow", "Rain")


N_CLIPS = 24


WIDTH = 6


SPEC = FeatureSpec(
    "mfcc", 1, "float32", WIDTH, "dB",
    {"sr": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 16, "n_mfcc": WIDTH,
     "fmin": 0.0, "fmax": None, "top_db": 80.0},
)


WAVES = FeatureSpec("waveform", 1, "int16", 0, "full scale", {"sr": 8000})


# 8 frames; dummy2d trains in no time.
TINY = ("--model", "dummy2d", "--seconds", 0.1125, "--epochs", 2, "--batch-size", 8,
        "--jobs", 1)


def make_store(folder, spec, arrays, excluded=()):
    folder.mkdir(parents=True, exist_ok=True)
    contents = Contents(tuple(arrays), tuple(map(len, arrays.values())), tuple(excluded))
    filling = PartialStore(folder, spec.feature, spec, contents)
    for i, a in enumerate(arrays.values()):
        with ClipWriter(filling.offsets, spec, i, filling.start(i), len(a)) as writer:
            writer.write(a)
            writer.finish("0" * 64, (0, len(a)), moments_of(a, spec.scale))
        filling.record(JournalEntry(i, 0, 0, "0" * 64))
    return open_store(filling.seal())


class World:
    """A prepared folder, stores of random features, and a folder for runs."""

    def __init__(self, root):
        self.root = root
        self.data, self.stores, self.runs = root / "prepared", root / "stores", root / "runs"
        rng = np.random.default_rng(0)
        self.labels, self.frames, self.waves = [], {}, {}
        for i in range(N_CLIPS + 6):
            clip_id = f"{i:02}.wav"
            names = tuple(CLASSES[k] for k in ([i % 3] if i % 5 else [i % 3, (i + 1) % 3]))
            split = "curated" if i < N_CLIPS else ("noisy" if i < N_CLIPS + 3 else "test")
            fold = i % 2 if split == "curated" else None
            self.labels.append(Label(clip_id, names, split, fold, ""))
            # The class shows in its own coefficient; from shorter than a crop to three of them.
            frames = rng.normal(size=(4 + i % 20, WIDTH))
            for name in names:
                frames[:, CLASSES.index(name)] += 3
            self.frames[clip_id] = (frames * 10 - 20).astype(np.float32)
            self.waves[clip_id] = rng.integers(-9999, 9999, 1700 + 10 * i).astype(np.int16)

    def write(self):
        self.data.mkdir()
        write_labels(self.data, self.labels)
        write_dataset(self.data, Dataset(self.root, "csv", CLASSES, "multi"))
        make_store(self.stores, SPEC, self.frames)
        make_store(self.stores, WAVES, self.waves)
        return self

    @property
    def where(self):
        return "--data", self.data, "--stores", self.stores, "--runs-dir", self.runs

    def relabel(self, change):
        """Rewrite labels.csv with every row changed, or left out."""
        write_labels(self.data, [y for x in read_labels(self.data) if (y := change(x))])

    def truth_of(self, scores):
        labels = {x.clip_id: x.labels for x in read_labels(self.data)}
        return np.array([[c in labels[i] for c in CLASSES] for i in scores.clip_ids])

    def bytes_of(self, run, name):
        """A file of every fold, and the folds' test scores, by their paths in the run."""
        found = (p for p in (self.runs / run).glob(f"**/{name}") if p.name != "run.json")
        return {p.relative_to(self.runs / run).as_posix(): p.read_bytes()
                for p in sorted(found) if "logs" not in p.parts}


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def recipe(**other):
    return Recipe(**{
        "features": "mfcc", "model": "dummy2d", "labels": "multi", "noisy": False, "seconds": 0.1,
        "pad": "silence", "normalization": "standardize", "crops": "clip", "seconds_max": None,
        "overlap": 0.0, "score_seconds": None, "curated": True, "noisy_share": None,
        "balance": False, "teacher": None, "batch_size": 8, "epochs": 10,
        "learning_rate": 0.1, "patience": 3, "monitor": "loss", "seed": 0,
        "network": {}, "start_from": None, "augment": {},
        "loss": {"kind": "cross-entropy", "label_smoothing": 0.0}, "noisy_loss": None,
        "noisy_head": False, "optimizer": {"kind": "adam"}, "schedule": {"kind": "constant"},
        "averaging": {"kind": "none"}, "keep": "best", "validate_every": 1,
        "precision": "float32", **other,
    })


class Killed(BaseException):
    pass


def covering(frames, n):
    """Evenly spaced crops of a clip that is no shorter than one."""
    k = -(-len(frames) // n)
    starts = [j * (len(frames) - n) // max(k - 1, 1) for j in range(k)]
    return np.stack([frames[s:s + n] for s in starts])
