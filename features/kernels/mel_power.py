"""Mel power of the frames of a signal, with no array of frames or spectra in between.

Frames overlap, so the samples are first laid out as a matrix with one hop per column: the same
sample of neighbouring frames is then contiguous, as :mod:`features.kernels.power_spectrum` reads
its lanes, and each sample is moved once, however many frames contain it.
:mod:`features.kernels.reference` is the same in NumPy and SciPy, for FFTs of any length.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from features.kernels.compiled import compiled, subroutine
from features.kernels.power_spectrum import (
    Transform,
    make_scratch,
    make_transform,
    power_spectra,
    sample_order,
)
from features.kernels.simd import LANES, load, store, transpose4

# Bytes of samples in the matrix: they stay in the first-level cache.
_CACHED_BYTES = 32 << 10


class Bands(NamedTuple):
    """Triangular filters without their zeros, bin by bin.

    Each bin is on the rising side of one band and on the falling side of the band below.

    Attributes
    ----------
    first : np.ndarray [shape=(n_mels + 1,), dtype=int64]
        First bin on the rising side of each band, and one past the last band's last bin.
    rising, falling : np.ndarray [shape=(first[-1] - first[0],), dtype=float64]
        The weight of each bin, from ``first[0]`` on, in its band and in the one below.
    """

    first: np.ndarray
    rising: np.ndarray
    falling: np.ndarray


def make_bands(filters: np.ndarray) -> Bands:
    """Take the zeros out of mel filters.

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
    """Constants of mel power frames, shared by all clips.

    Attributes
    ----------
    n_fft, hop_length : int
    group : int
        Frames whose samples are in the matrix together; a multiple of the lanes.
    stride : int
        Float32 values between two of the matrix's rows.
    offsets : np.ndarray [shape=(n_fft,), dtype=int32]
        Offset of each sample of a frame in the matrix, from the frame's first sample.
    transform : Transform
    bands : Bands
    """

    n_fft: int
    hop_length: int
    group: int
    stride: int
    offsets: np.ndarray
    transform: Transform
    bands: Bands


def make_plan(window: np.ndarray, hop_length: int, filters: np.ndarray) -> Plan:
    """Compute the constants for frames of a length that the kernel supports.

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
        offsets=(order % hop_length * stride + order // hop_length).astype(np.int32),
        transform=make_transform(window),
        bands=make_bands(filters),
    )


class SimdMelPower:
    """Compute mel power by compiled loops, several frames at once. Not thread-safe."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._scratch = make_scratch(plan.transform)
        # Zeros, because lanes without a frame are computed too and should hold ordinary numbers.
        self._matrix = np.zeros(plan.hop_length * plan.stride + LANES, np.float32)
        self._n_mels = len(plan.bands.first) - 1
        self._sums = np.empty(self._n_mels * LANES, np.float32)

    def __call__(self, samples: np.ndarray, start: int, n_frames: int) -> np.ndarray:
        """Compute the mel power of frames, the first of which begins at ``samples[start]``.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), dtype=float32]
            Samples before and after them count as zeros.
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


@compiled
def _mel_power(samples, start, plan, matrix, scratch, sums, power):
    """Fill ``power [shape=(n_frames, n_mels)]``."""
    n_frames = power.shape[0]
    hop, group, stride = plan.hop_length, plan.group, plan.stride
    offsets, transform, bands = plan.offsets, plan.transform, plan.bands
    hops = -(-plan.n_fft // hop)
    for t in range(0, n_frames, group):
        n = min(group, n_frames - t)
        _lay_out(samples, start + t * hop, hop, n + hops - 1, matrix, stride)
        for lane in range(0, n, LANES):
            power_spectra(matrix, lane, offsets, transform, scratch)
            _sum_bands(scratch.power, bands.first, bands.rising, bands.falling, sums)
            for f in range(min(LANES, n - lane)):
                for b in range(power.shape[1]):
                    power[t + lane + f, b] = sums[b * LANES + f]


@subroutine
def _lay_out(samples, start, hop, n_columns, matrix, stride):
    """Lay out one hop per column: ``matrix[i * stride + j] = samples[start + j * hop + i]``."""
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


@subroutine
def _sum_bands(power, first, rising, falling, sums):
    """Sum the bins of each lane to bands.

    Two accumulators of each kind hide the latency of the addition.
    """
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
