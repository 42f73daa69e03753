# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour
#
# From a sound file to a trained network and its mistakes, in two minutes on two cores. The
# notebook makes its own data, so it runs as it is: `make notebook` writes it to
# `docs/_build/tour.ipynb`, with its output.

# %%
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Audio, Markdown, display

import pipeline

warnings.filterwarnings("ignore", message="IProgress")  # of tqdm: text will do for progress bars
ROOT = Path(pipeline.__file__).parents[1]
work = tempfile.TemporaryDirectory()  # deleted when the notebook ends
os.chdir(work.name)
shutil.copy(ROOT / "params.yaml", ".")  # all settings; each is a flag, too
python = sys.executable

# %% [markdown]
# ## 1. A data set
#
# `demo` synthesises clips in the layout of Freesound Audio Tagging 2019: folders of wavs, and
# CSVs of names and labels. `prepare` reads them, checks every file, and writes tables of
# clips, labels and folds.

# %%
# !{python} -m pipeline.demo --curated 96 --noisy 24 --test 12
# !{python} -m pipeline.prepare

# %%
labels = pd.read_csv("prepared/labels.csv")
labels.head()

# %% [markdown]
# ## 2. A clip, seen and heard

# %%
import librosa

clip_id = labels["clip_id"][0]
y, sr = librosa.load(f"data/demo/train_curated/{clip_id}", sr=44100)
print(clip_id, labels["labels"][0], f"{len(y) / sr:.2f} s")
Audio(y, rate=sr)

# %% [markdown]
# A feature is a frozen dataclass: its fields are its settings, and calling it computes
# frames. The numbers are librosa's.

# %%
from features.logmel import LogMel

logmel = LogMel(sr=44100, n_mels=128)
frames = logmel(y)
power = librosa.feature.melspectrogram(y=y, sr=sr, n_fft=2048, hop_length=512, n_mels=128)
expected = librosa.power_to_db(power, top_db=80).T
print(frames.shape, f"at most {np.abs(frames - expected).max():.1e} dB from librosa")

figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.5), sharex=True, layout="constrained")
above.plot(np.arange(len(y)) / sr, y, lw=0.5)
below.imshow(frames.T, origin="lower", aspect="auto", cmap="magma",
             extent=(0, len(frames) * logmel.seconds_per_frame, 0, 128))
below.set(xlabel="s", ylabel="mel band")
plt.show()

# %% [markdown]
# ## 3. A store
#
# `extract` decodes every clip once, in parallel, and writes one HDF5 file per feature. A
# store is a mapping of clips to frames; a random crop is one read, and the moments of any set
# of clips need no read at all.

# %%
# !{python} -m pipeline.extract

# %%
from pipeline.store import open_store

store = open_store("stores/mfcc.h5")
training = labels["clip_id"][(labels["split"] == "curated") & (labels["fold"] != 0)]
mean, std = store.mean_std(training)
print(f"{len(store)} clips; {clip_id} has {store[clip_id].shape} frames and coefficients,")
print(f"a crop of it {store.crop(clip_id, 5, 10).shape}")
print(f"mean and standard deviation of the first coefficient: {mean[0]:.1f}, {std[0]:.1f}")

# %% [markdown]
# ## 4. Three epochs
#
# One network per fold; the best epoch's scores of each fold's validation clips are the
# *out-of-fold* scores. Three epochs are far too few, so there will be mistakes to listen to.

# %%
# !{python} -m pipeline.train --run mfcc --epochs 3

# %%
history = pd.concat(
    pd.read_csv(path).assign(fold=path.parent.name)
    for path in sorted(Path("runs/mfcc/folds").glob("*/history.csv"))
)
history.pivot(index="epoch", columns="fold", values=["loss", "val_loss", "val_lwlrap"]).round(3)

# %% [markdown]
# ## 5. Mistakes
#
# The clips with the lowest lwlrap: those whose labels the network ranks lowest.

# %%
from pipeline.runs.folder import RunFolder
from pipeline.scoring.metrics import lwlrap

scores, _ = RunFolder(Path("runs"), "mfcc").load()
of_clip = labels.set_index("clip_id")["labels"].str.split(",")
truth = np.array([[name in of_clip[c] for name in scores.classes] for c in scores.clip_ids])
print(f"lwlrap {lwlrap(truth, scores.values):.3f} over {len(truth)} clips, out of fold")

per_clip = [lwlrap(truth[i:i + 1], scores.values[i:i + 1]) for i in range(len(truth))]
for i in np.argsort(per_clip)[:3]:
    clip_id, best = scores.clip_ids[i], scores.classes[int(scores.values[i].argmax())]
    display(Markdown(f"**{clip_id}**: {', '.join(of_clip[clip_id])}; the network says {best}"))
    y, sr = librosa.load(f"data/demo/train_curated/{clip_id}", sr=None)
    display(Audio(y, rate=sr))

# %% [markdown]
# ## And then
#
# - `dvc repro` runs all stages as `params.yaml` says: a network on waveforms too, test
#   scores, the ensemble of both, metrics, `submission.csv`, and two pages to look at:
#   `reports/explore.html` on the data and `reports/report.html` on the models.
# - `python -m pipeline.tag FILE` tags any sound file with a trained run, and `python -m
#   pipeline.export` writes one model file with the front end inside.
