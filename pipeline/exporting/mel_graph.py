"""Mel power in a TensorFlow graph of float32 that agrees with the extractor's float64.

The graph has additions and matrix products alone, so that it can be converted to any format: LiteRT
has no float64, and converters to ONNX write invalid files of Fourier transforms.

**Transform.** A Fourier transform of length ``n_fft = a * b`` is two steps of matrix products
(Cooley and Tukey: An algorithm for the machine calculation of complex Fourier series, Mathematics
of Computation, 1965): for each of `b` interleaved parts of the frame, `a` samples to ``a // 2 + 1``
complex numbers; then for each of these, `b` complex numbers to `b` bins. The window and the twiddle
factors are part of the first step's tables. A single product with all `n_fft` samples by all bins
would take 17 MB and 10 times as long for 2,048.

**Precision.** Sums in float32 leave noise about 120 dB below the loudest bin, which is heard in the
quiet bands beside a loud tone: 1e-3 dB at 80 dB below it, and 0.7 dB at 110. So numbers are cut
into slices of a few bits, whose products and sums are exact in float32 in whatever order they are
summed (Ozaki, Ogita, Oishi and Rump: Error-free transformations of matrix multiplication by using
fast routines of matrix multiplication, Numerical Algorithms, 2012); only the product of the last
slices, some 2^8 times smaller each, is rounded. With two slices the error is below 1e-4 dB down to
80 dB below the loudest band, with three to 120.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from features.signal.mel_filters import mel_filters
from features.signal.melspectrogram import Mel, hann_window

# Bits of a float32's significand, the first one among them.
_BITS = 24


@dataclass(frozen=True, eq=False)
class Product:
    """A matrix to multiply by, in slices.

    Attributes
    ----------
    slices : tuple of np.ndarray [shape=(..., k, m), dtype=float32]
        Their sum is the matrix; each one but the last has few bits.
    negative : tuple of np.ndarray
        The same with the other sign.
    bits : int
        What a number to be multiplied may have in each slice but the last.
    """

    slices: tuple[NDArray[np.float32], ...]
    negative: tuple[NDArray[np.float32], ...]
    bits: int

    def parts(self, parts: Sequence[Any], axes: Sequence[int]) -> list[Any]:
        """Multiply a sum of tensors by the matrix.

        Parameters
        ----------
        parts : sequence of tf.Tensor [shape=(..., n, k), dtype=float32]
            Largest first, each one some 2^8 times smaller than the one before.
        axes : sequence of int
            Those of a frame, whose largest number decides where slices are cut.

        Returns
        -------
        parts : list of tf.Tensor [shape=(..., n, m), dtype=float32]
            As many as there are slices, largest first.
        """
        x = self._cut(parts, axes)
        return [tf.matmul(x[0], self.slices[0]), *self._smaller(x, self.slices)]

    def total(self, parts: Sequence[Any], axes: Sequence[int]) -> Any:
        """Multiply as :meth:`parts` does, and sum.

        The largest parts cancel where the result is small, so they are summed first, exactly.
        TensorFlow sorts additions as it sees fit, but not subtractions.
        """
        x = self._cut(parts, axes)
        result = tf.matmul(x[0], self.slices[0])
        for part in self._smaller(x, self.negative):
            result = result - part
        return result

    def _smaller(self, x: Sequence[Any], slices: Sequence[NDArray[np.float32]]) -> list[Any]:
        """All parts of the product but the largest; those before the last are exact."""
        n = len(slices)
        exact = [_sum([tf.matmul(x[i], slices[order - i]) for i in range(order + 1)])
                 for order in range(1, n - 1)]
        return [*exact, _sum([tf.matmul(_sum(x[i:]), slices[n - 1 - i]) for i in range(n)])]

    def _cut(self, parts: Sequence[Any], axes: Sequence[int]) -> list[Any]:
        """Cut numbers into slices: adding and subtracting a large number rounds to its last bit."""
        rest, slices = parts[0], []
        largest = tf.reduce_max(tf.abs(rest), axis=axes, keepdims=True)
        large = largest * 2.0 ** (_BITS + 1 - self.bits)
        for i in range(1, len(self.slices)):
            slices.append((rest + large) - large)
            rest = rest - slices[-1]
            rest = rest + parts[i] if i < len(parts) else rest
            large = large * 2.0 ** (1 - self.bits)
        return [*slices, rest]


def product(matrix: NDArray[np.float64], n_slices: int) -> Product:
    """Cut a matrix [shape=(..., k, m)] of numbers from -1 to 1 so that products are exact."""
    bits = (_BITS - math.ceil(math.log2(matrix.shape[-2]))) // 2
    slices, rest = [], matrix
    for i in range(1, n_slices):
        step = 2.0 ** (-i * (bits - 1))
        slices.append(np.round(rest / step) * step)
        rest = rest - slices[-1]
    found = tuple(s.astype(np.float32) for s in (*slices, rest))
    return Product(found, tuple(-s for s in found), bits)


def factors(n: int) -> tuple[int, int]:
    """Factors (a, b) of `n` whose tables have the least numbers: ``n * (a + 2) + (2 * b)**2``."""
    return min(((a, n // a) for a in range(1, n + 1) if n % a == 0),
               key=lambda ab: n * (ab[0] + 2) + 4 * ab[1] ** 2)


class MelPower(tf.Module):
    """Mel power of a centred, Hann-windowed spectrogram, as :class:`features.signal.Mel` has it.

    Parameters
    ----------
    mel : Mel
    n_slices : int
        2 where bands are clipped at 80 dB below the clip's loudest, 3 where they are not.
    """

    def __init__(self, mel: Mel, n_slices: int) -> None:
        super().__init__()
        self._mel = mel
        n, (self._a, self._b) = mel.n_fft, factors(mel.n_fft)
        self._n_kept = self._a // 2 + 1  # of the first step's outputs: the others are conjugates
        first = hann_window(n)[:, None] * _roots(np.arange(n), np.arange(self._n_kept), n)
        first = first.reshape(self._a, self._b, -1).transpose(1, 0, 2)
        second = _roots(np.arange(self._b), np.arange(self._b), self._b)
        self._first = product(np.concatenate([first.real, first.imag], axis=2), n_slices)
        self._second = product(np.block([[second.real, second.imag], [-second.imag, second.real]]),
                               n_slices)
        self._filters = self._filters_by_step(
            mel_filters(mel.sr, n, mel.n_mels, mel.fmin, mel.fmax)
        )

    def _filters_by_step(self, filters: NDArray[np.float32]) -> NDArray[np.float32]:
        """The filters in the order of the second step's outputs. [shape=(n_kept * b, n_mels)]"""
        k = np.arange(self._n_kept)[:, None] + self._a * np.arange(self._b)
        bins = np.minimum(k, self._mel.n_fft - k).reshape(-1)
        result = np.zeros((len(bins), len(filters)), np.float32)
        found, where = np.unique(bins, return_index=True)  # conjugate bins count once
        result[where] = filters[:, found].T
        return result

    def __call__(self, y: Any) -> Any:
        """From samples [shape=(n,), dtype=float32] to power [shape=(n_frames, n_mels)]."""
        b, kept = self._b, self._n_kept
        parts = self._first.parts([tf.transpose(self._frames(y), [2, 0, 1])], axes=[0, 2])
        parts = [
            tf.reshape(tf.transpose(tf.reshape(part, [b, -1, 2, kept]), [1, 3, 2, 0]),
                       [-1, kept, 2 * b])
            for part in parts
        ]
        spectrum = self._second.total(parts, axes=[1, 2])
        spectrum = tf.reshape(spectrum, [-1, kept, 2, b])
        power = tf.reduce_sum(spectrum * spectrum, axis=2)
        return tf.matmul(tf.reshape(power, [-1, kept * b]), self._filters)

    def _frames(self, y: Any) -> Any:
        """Frames around every `hop_length` samples, zeros beyond the ends. [shape=(n, a, b)]"""
        n_fft, hop = self._mel.n_fft, self._mel.hop_length
        block = math.gcd(n_fft, hop)
        length = tf.shape(y)[0] + 2 * (n_fft // 2)
        n_blocks = -(-length // block)
        y = tf.pad(y, [[n_fft // 2, n_fft // 2 + block]])[:n_blocks * block]
        first = tf.range(1 + (length - n_fft) // hop) * (hop // block)
        rows = tf.expand_dims(first, 1) + tf.expand_dims(tf.range(n_fft // block), 0)
        return tf.reshape(tf.gather(tf.reshape(y, [-1, block]), rows), [-1, self._a, self._b])


def _sum(tensors: Sequence[Any]) -> Any:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def _roots(n: NDArray[np.int64], k: NDArray[np.int64], length: int) -> NDArray[np.complex128]:
    """``exp(-2 pi i n k / length)`` for all `n` and `k`; the angles are reduced as integers."""
    return np.exp(-2j * np.pi * (np.outer(n, k) % length) / length)
