"""Time the compiled kernel on one core, against librosa and against the sum of its parts.

  python benchmarks/kernel.py [FILE …]

Milliseconds per second of 44.1 kHz audio: of files if any are given, else of 5 s of noise over a
fading tone. All rows of a table are timed in turn, round by round, so that a busy moment of the
machine hits all of them; each takes its best round.

The first table is log-mel at several FFT lengths and hops (those of 2019's winners among them),
with the same parameters here and in librosa. The second is log-mel and MFCC together (2048/512,
128 bands, 40 MFCC) and its parts, each alone, by NumPy and SciPy, in blocks, with warm buffers.
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

from features.kernels.power_spectrum import is_supported  # noqa: E402
from features.logmel import LogMel  # noqa: E402
from features.mfcc import Mfcc, dct_basis  # noqa: E402
from features.signal.mel_filters import mel_filters  # noqa: E402
from features.signal.melspectrogram import hann_window  # noqa: E402

SR, N_FFT, HOP, B = 44_100, 2048, 512, 64

# FFT length, hop, bands. The kernel does not serve the last three lengths: they go through SciPy.
SETTINGS = [
    (512, 441, 40), (1000, 250, 40), (1280, 347, 64), (1764, 882, 128), (1920, 480, 128),
    (2048, 512, 128), (2560, 347, 128), (2560, 690, 128), (3000, 1000, 128),
    (1102, 441, 40), (1323, 441, 64), (2205, 441, 128),
]


def clips(paths: list[str]) -> list[np.ndarray]:
    if paths:
        return [librosa.load(path, sr=SR)[0] for path in paths]
    rng = np.random.default_rng(0)
    t = np.arange(5 * SR) / SR
    tone = np.sin(2 * np.pi * 440 * t) * np.exp(-t)
    return [(tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32)]


def ms_per_second(
    functions: dict[str, Callable[[], object]], seconds: float, rounds: int = 15
) -> dict[str, float]:
    """Time functions in turn, and take each one's best round."""
    best = dict.fromkeys(functions, np.inf)
    for _ in range(rounds + 1):  # the first one compiles
        for name, function in functions.items():
            for _ in range(3):  # the first one finds other functions' data in the caches
                began = time.perf_counter()
                function()
                best[name] = min(best[name], time.perf_counter() - began)
    return {name: each * 1000 / seconds for name, each in best.items()}


def time_lengths(ys: list[np.ndarray]) -> None:
    seconds = sum(map(len, ys)) / SR

    def ours(feature: LogMel) -> None:
        for y in ys:
            feature.front_end.stream().push(y, last=True)

    def theirs(n_fft: int, hop: int, n_mels: int) -> None:
        for y in ys:
            librosa.power_to_db(librosa.feature.melspectrogram(
                y=y, sr=SR, n_fft=n_fft, hop_length=hop, n_mels=n_mels,
            ))

    functions: dict[str, Callable[[], object]] = {}
    for n_fft, hop, n_mels in SETTINGS:
        feature = LogMel(sr=SR, n_fft=n_fft, hop_length=hop, n_mels=n_mels)
        functions[f"ours {n_fft}/{hop}"] = partial(ours, feature)
        functions[f"librosa {n_fft}/{hop}"] = partial(theirs, n_fft, hop, n_mels)
    best = ms_per_second(functions, seconds)
    usual = best["ours 2048/512"] * 512
    print("| n_fft/hop | by | ms/s | librosa | ratio | per frame, 2048/512 = 1 |")
    print("|---|---|---|---|---|---|")
    for n_fft, hop, _ in SETTINGS:
        mine, other = best[f"ours {n_fft}/{hop}"], best[f"librosa {n_fft}/{hop}"]
        by = "kernel" if is_supported(n_fft) else "SciPy"
        print(
            f"| {n_fft}/{hop} | {by} | {mine:.3f} | {other:.3f} | {mine / other:.2f} "
            f"| {mine * hop / usual:.2f} |"
        )
    print()


def time_parts(ys: list[np.ndarray]) -> None:
    seconds = sum(map(len, ys)) / SR
    logmel, mfcc = LogMel(sr=SR), Mfcc(sr=SR)

    def ours(y: np.ndarray) -> None:
        db = mfcc.front_end.stream().push(y, last=True)
        for feature in (logmel, mfcc):
            feature.stream(float(db.max())).push(db, last=True)

    def usual(y: np.ndarray) -> None:
        db = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SR, n_mels=128))
        librosa.feature.mfcc(S=db, n_mfcc=40)

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
    best = ms_per_second(parts, block_seconds, rounds=300)
    total = sum(best.values())
    whole = ms_per_second({
        "ours": lambda: [ours(y) for y in ys], "usual": lambda: [usual(y) for y in ys],
    }, seconds)
    print("| step | ms/s |\n|---|---|")
    for name, each in best.items():
        print(f"| {name} | {each:.3f} |")
    print(f"| the sum | {total:.3f} |")
    share = whole["ours"] / total
    print(f"| log-mel and MFCC together | {whole['ours']:.3f} ({share:.2f} of the sum) |")
    print(f"| librosa, one mel spectrogram for both | {whole['usual']:.3f} |")


def main() -> None:
    ys = clips(sys.argv[1:])
    time_lengths(ys)
    time_parts(ys)


if __name__ == "__main__":
    main()
