"""The same extraction as it is usually written, to compare with: one HDF5 file, joblib, librosa.

  python benchmarks/peer.py WAVS OUT.h5 --how librosa|shared|torchaudio --jobs 2

Waveform at 44.1 kHz, 128-band log-mel and 40 MFCC (2048/512) of every wav below WAVS; workers send
arrays back, the parent appends them to chunked, resizable datasets.
"""

from __future__ import annotations

import argparse
import functools
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import h5py
import joblib
import numpy as np

SR, N_MELS, N_MFCC = 44_100, 128, 40


def with_librosa(path: Path, shared: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import librosa

    y, _ = librosa.load(path, sr=SR)
    db = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR, n_mels=N_MELS))
    if shared:
        mfcc = librosa.feature.mfcc(S=db, n_mfcc=N_MFCC)
    else:
        mfcc = librosa.feature.mfcc(y=y, sr=SR, n_mfcc=N_MFCC)
    return y, db.T, mfcc.T


@functools.cache
def torchaudio_parts() -> tuple:
    import torch
    import torchaudio

    torch.set_num_threads(1)
    mel = torchaudio.transforms.MelSpectrogram(
        SR, 2048, hop_length=512, n_mels=N_MELS, mel_scale="slaney", norm="slaney"
    )
    db = torchaudio.transforms.AmplitudeToDB(top_db=80)
    return torch, mel, db, torchaudio.functional.create_dct(N_MFCC, N_MELS, "ortho")


def with_torchaudio(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import soundfile

    torch, mel, to_db, dct = torchaudio_parts()
    y, _ = soundfile.read(path, dtype="float32")
    db = to_db(mel(torch.from_numpy(y))).T
    return y, db.numpy(), (db @ dct).numpy()


HOW = {
    "librosa": functools.partial(with_librosa, shared=False),
    "shared": functools.partial(with_librosa, shared=True),
    "torchaudio": with_torchaudio,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wavs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--how", choices=HOW, default="librosa")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    paths = sorted(args.wavs.rglob("*.wav"))
    parallel = joblib.Parallel(n_jobs=args.jobs, return_as="generator")
    with h5py.File(args.out, "w") as file:
        datasets = [
            file.create_dataset(name, (0, *row), "f4", maxshape=(None, *row), chunks=(rows, *row))
            for name, row, rows in (
                ("waveform", (), 65536), ("logmel", (N_MELS,), 256), ("mfcc", (N_MFCC,), 256),
            )
        ]
        for arrays in parallel(joblib.delayed(HOW[args.how])(path) for path in paths):
            for dataset, array in zip(datasets, arrays, strict=True):
                n = len(dataset)
                dataset.resize(n + len(array), axis=0)
                dataset[n:] = array


if __name__ == "__main__":
    main()
