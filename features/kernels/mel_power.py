"""Mel power of the frames of a signal, with no array of frames or spectra in between.

Frames overlap, so the samples are laid out first as a matrix of one hop a column: then the same
sample of neighbouring frames stands side by side, as :mod:`features.kernels.power_spectrum` wants
its lanes, and each sample is moved once, however many frames see it. FFT lengths other than powers
of two go through SciPy, a few frames at a time.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.kernels.compiled import compiled
from features.kernels.power_spectrum import (
    Transform,
    make_scratch,
    make_transform,
    power_spectra,
    sample_order,
)
from features.kernels.simd import LANES, load, store, transpose4

# Of samples in the matrix, and of frames handed to SciPy: they stay in the nearest caches.
_CACHED_BYTES = 32 << 10


class Bands(NamedTuple):
    """Triangular filters, seen from the bins: each lies on the rising side of one band and on the
    falling side of the one below.

    Attributes
    ----------
    first : np.ndarray [shape=(n_mels + 1,), dtype=int64]
        The first bin that rises in each band; those of the last band end with the last of these.
    rising, falling : np.ndarray [shape=(first[-1] - first[0],), dtype=float64]
        The weight of each bin, from ``first[0]`` on, in its band and in the one below.
    """

    first: np.ndarray
    rising: np.ndarray
    falling: np.ndarray


def make_bands(filters: np.ndarray) -> Bands:
    """Mel filters without their zeros.

    Parameters
    ----------
    filters : np.ndarray [shape=(n_mels, 1 + n_fft // 2), dtype=float32]
        Triangles in ascending order, each with at least one bin, no bin in more than two.
    """
    heard = np.flatnonzero(filters.any(axis=0))
    bins = np.arange(heard[0], heard[-1] + 1)
    highest = len(filters) - 1 - (filters[::-1, bins] > 0).argmax(axis=0)
    below = np.where(highest > 0, filters[highest - 1, bins], 0)
    first = bins[0] + np.searchsorted(highest, np.arange(len(filters) + 1))
    return Bands(
        first.astype(np.int64), filters[highest, bins].astype(np.float64), below.astype(np.float64)
    )


class Plan(NamedTuple):
    """All that is known of mel power before there are samples.

    Attributes
    ----------
    n_fft, hop_length : int
    group : int
        Frames whose samples are in the matrix together; a multiple of the lanes.
    stride : int
        Float32 values between two of the matrix's rows.
    places : np.ndarray [shape=(n_fft,), dtype=int32]
        Where each sample of a frame is in the matrix, seen from its first.
    transform : Transform
    bands : Bands
    """

    n_fft: int
    hop_length: int
    group: int
    stride: int
    places: np.ndarray
    transform: Transform
    bands: Bands


def make_plan(window: np.ndarray, hop_length: int, filters: np.ndarray) -> Plan:
    """A plan for frames of a length that :func:`features.kernels.power_spectrum.fits`.

    Parameters
    ----------
    window : np.ndarray [shape=(n_fft,), dtype=float64]
    hop_length : int
    filters : np.ndarray [shape=(n_mels, 1 + n_fft // 2), dtype=float32]
        No row is all zeros.
    """
    n_fft = len(window)
    hops = -(-n_fft // hop_length)
    columns = _CACHED_BYTES // 4 // hop_length
    group = max(1, (columns - hops) // LANES) * LANES
    stride = group + hops + 3  # the matrix is filled by fours
    order = sample_order(n_fft)
    return Plan(
        n_fft, hop_length, group, stride,
        places=(order % hop_length * stride + order // hop_length).astype(np.int32),
        transform=make_transform(window),
        bands=make_bands(filters),
    )


class SimdMelPower:
    """Mel power by compiled loops, several frames at once. Not to be shared between threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._scratch = make_scratch(plan.transform)
        # Zeros: what no frame needs is computed with, too, and should be ordinary numbers.
        self._matrix = np.zeros(plan.hop_length * plan.stride + LANES, np.float32)
        self._n_mels = len(plan.bands.first) - 1
        self._sums = np.empty(self._n_mels * LANES, np.float32)

    def __call__(self, samples: np.ndarray, start: int, n_frames: int) -> np.ndarray:
        """The power of frames, the first of which begins at ``samples[start]``.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), dtype=float32]
            Contiguous. There are zeros before and after them.
        start : int
            May be negative.
        n_frames : int

        Returns
        -------
        power : np.ndarray [shape=(n_frames, n_mels), dtype=float32]
        """
        power = np.empty((n_frames, self._n_mels), np.float32)
        _mel_power(
            np.ascontiguousarray(samples), start, self._plan, self._matrix, self._scratch,
            self._sums, power,
        )
        return power


class ReferenceMelPower:
    """The same for FFTs of any length, by SciPy, in float64 too."""

    def __init__(self, window: np.ndarray, hop_length: int, filters: np.ndarray) -> None:
        self._window, self._hop, self._filters = window, hop_length, filters
        self._step = max(1, _CACHED_BYTES // (8 * len(window)))
        # On first use: it takes a fifth of a second, and the usual lengths do without.
        import scipy.fft

        self._rfft = scipy.fft.rfft

    def __call__(self, samples: np.ndarray, start: int, n_frames: int) -> np.ndarray:
        """As :meth:`SimdMelPower.__call__`."""
        power = np.empty((n_frames, len(self._filters)), np.float32)
        end = start + (n_frames - 1) * self._hop + len(self._window)
        samples = np.pad(samples[max(0, start):end], (max(0, -start), max(0, end - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(samples, len(self._window))
        for first in range(0, n_frames, self._step):
            last = min(first + self._step, n_frames)
            block = frames[first * self._hop:(last - 1) * self._hop + 1:self._hop]
            spectra = self._rfft(block * self._window, axis=1)
            powers = spectra.real ** 2 + spectra.imag ** 2
            power[first:last] = powers @ self._filters.T
        return power


@compiled
def _mel_power(samples, start, plan, matrix, scratch, sums, power):
    """Fill ``power [shape=(n_frames, n_mels)]``."""
    n_frames = power.shape[0]
    hop, group, stride = plan.hop_length, plan.group, plan.stride
    places, transform, bands = plan.places, plan.transform, plan.bands
    hops = -(-plan.n_fft // hop)
    for t in range(0, n_frames, group):
        n = min(group, n_frames - t)
        _lay_out(samples, start + t * hop, hop, n + hops - 1, matrix, stride)
        for lane in range(0, n, LANES):
            power_spectra(matrix, lane, places, transform, scratch)
            _sum_bands(scratch.power, bands.first, bands.rising, bands.falling, sums)
            for f in range(min(LANES, n - lane)):
                for b in range(power.shape[1]):
                    power[t + lane + f, b] = sums[b * LANES + f]


@compiled
def _lay_out(samples, start, hop, n_columns, matrix, stride):
    """A hop a column: ``matrix[i * stride + j] = samples[start + j * hop + i]``."""
    j = 0
    while j < n_columns:
        at = start + j * hop
        if at >= 0 and at + 4 * hop <= len(samples):
            for i in range(0, hop - 3, 4):
                transpose4(samples, at + i, hop, matrix, i * stride + j, stride)
            for i in range(hop - hop % 4, hop):
                for k in range(4):
                    matrix[i * stride + j + k] = samples[at + k * hop + i]
            j += 4
        else:
            for i in range(hop):
                inside = 0 <= at + i < len(samples)
                matrix[i * stride + j] = samples[at + i] if inside else np.float32(0)
            j += 1


@compiled
def _sum_bands(power, first, rising, falling, sums):
    """The bands of each lane, out of its bins. Two sums of each kind, for one waits for itself."""
    zero = load(power, 0) * 0.0
    up, start = zero, first[0]
    for b in range(len(first) - 1):
        below, up, down, up2, down2 = up, zero, zero, zero, zero
        for k in range(first[b], first[b + 1] - 1, 2):
            even, odd, i = load(power, k * LANES), load(power, (k + 1) * LANES), k - start
            up, down = up + even * rising[i], down + even * falling[i]
            up2, down2 = up2 + odd * rising[i + 1], down2 + odd * falling[i + 1]
        if (first[b + 1] - first[b]) % 2:
            k = first[b + 1] - 1
            last, i = load(power, k * LANES), k - start
            up, down = up + last * rising[i], down + last * falling[i]
        up = up + up2
        if b > 0:
            store(sums, (b - 1) * LANES, below + (down + down2))
    store(sums, (len(first) - 2) * LANES, up)
