"""Log-mel and MFCC together against the sum of their parts, on one core, in one run.

  python benchmarks/kernel.py [FILE …]

Milliseconds a second of 44.1 kHz audio, 2048/512, 128 bands, 40 MFCC; of files if any are given,
else of 5 s of noise over a fading tone. The parts are NumPy's and SciPy's, each alone, in blocks,
with warm buffers; the whole is this project's, its transform in float64.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
import scipy.sparse

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from features.logmel import db_floor  # noqa: E402
from features.mfcc import Mfcc, dct_basis  # noqa: E402
from features.signal.mel_filters import mel_filters  # noqa: E402
from features.signal.melspectrogram import hann_window  # noqa: E402

SR, N_FFT, HOP, B = 44_100, 2048, 512, 64


def clips(paths: list[str]) -> list[np.ndarray]:
    if paths:
        return [librosa.load(path, sr=SR)[0] for path in paths]
    rng = np.random.default_rng(0)
    t = np.arange(5 * SR) / SR
    tone = np.sin(2 * np.pi * 440 * t) * np.exp(-t)
    return [(tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32)]


def ms_a_second(function: Callable[[], object], seconds: float, runs: int = 15) -> float:
    function()
    best = np.inf
    for _ in range(runs):
        began = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - began)
    return best * 1000 / seconds


def main() -> None:
    ys = clips(sys.argv[1:])
    seconds = sum(map(len, ys)) / SR
    mfcc = Mfcc(sr=SR)

    def ours(y: np.ndarray) -> None:
        db = mfcc.front_end.stream().push(y, last=True)
        floor = db_floor(float(db.max()), 80.0)
        np.maximum(db, np.float32(floor))
        mfcc.from_db(db, floor)

    def usual(y: np.ndarray) -> None:
        db = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR, n_mels=128))
        librosa.feature.mfcc(S=db, n_mfcc=40)

    def whole(function: Callable[[np.ndarray], None], runs: int) -> float:
        # A clip at a time: a busy moment of the machine spoils one clip's run, not all.
        each = [ms_a_second(partial(function, y), 1.0, runs) for y in ys]
        return sum(each) / seconds

    frames = np.random.default_rng(0).standard_normal((B, N_FFT)).astype(np.float32)
    block_seconds = B * HOP / SR
    window = hann_window(N_FFT)
    spectrum = scipy.fft.rfft(frames * window)
    power = np.ascontiguousarray((spectrum.real ** 2 + spectrum.imag ** 2).T)
    filters = scipy.sparse.csr_matrix(mel_filters(SR, N_FFT, 128, 0.0, SR / 2))
    bands = filters @ power
    basis = dct_basis(128, 40)
    squares = np.empty((2, *spectrum.shape), np.float32)

    def square() -> None:
        np.multiply(spectrum.real, spectrum.real, out=squares[0])
        np.multiply(spectrum.imag, spectrum.imag, out=squares[1])
        np.add(squares[0], squares[1], out=squares[0])

    parts = {
        "FFT, SciPy in float32": lambda: scipy.fft.rfft(frames),
        "power": square,
        "mel": lambda: filters @ power,
        "log": lambda: np.log(bands),
        "DCT": lambda: bands.T.astype(np.float64) @ basis,
    }
    total = 0.0
    print("| step | ms/s |\n|---|---|")
    for name, part in parts.items():
        each = ms_a_second(part, block_seconds, runs=300)
        total += each
        print(f"| {name} | {each:.3f} |")
    together = whole(ours, 30)
    print(f"| the sum | {total:.3f} |")
    print(f"| log-mel and MFCC together | {together:.3f} ({together / total:.2f} of the sum) |")
    print(f"| librosa, one mel spectrogram for both | {whole(usual, 5):.3f} |")


if __name__ == "__main__":
    main()
