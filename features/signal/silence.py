"""Where a clip's leading and trailing silence ends: librosa's rule, block by block."""

from __future__ import annotations

import numpy as np

# librosa.effects.trim's defaults, whatever the feature's own frames are.
FRAME_LENGTH = 2048
HOP_LENGTH = 512

# librosa.amplitude_to_db's floor of amplitude, squared.
_AMIN = 1e-10


class SilenceStream:
    """The bounds that ``librosa.effects.trim(y, top_db=trim_db)`` would cut one clip at.

    A frame is silent when its root mean square is `trim_db` or more below that of the loudest
    frame. A clip of digital silence has no quieter frame than its loudest: all of it is kept.
    """

    def __init__(self) -> None:
        self._pending = np.zeros(0, np.float32)
        self._energies: list[np.ndarray] = []
        self._n_samples = 0

    def push(self, y: np.ndarray) -> None:
        """Take the next samples. [shape=(n,), dtype=float32]"""
        self._n_samples += len(y)
        if len(self._pending):
            y = np.concatenate([self._pending, y])
        n = len(y) // HOP_LENGTH
        hops = y[:n * HOP_LENGTH].reshape(n, HOP_LENGTH)
        self._energies.append(np.einsum("ij,ij->i", hops, hops))
        self._pending = y[n * HOP_LENGTH:].copy()

    def bounds(self, trim_db: float) -> tuple[int, int]:
        """First sample and one past the last sample that are kept, after the last push."""
        rest = np.array([np.dot(self._pending, self._pending)], np.float32)
        n_hops = FRAME_LENGTH // HOP_LENGTH
        # A centred frame t covers the hops t - 2 to t + 1.
        padding = np.zeros(n_hops // 2)
        hops = np.concatenate([padding, *self._energies, rest, padding]).astype(np.float64)
        total = np.convolve(hops, np.ones(n_hops), mode="valid")[:1 + self._n_samples // HOP_LENGTH]
        power = np.maximum(total / FRAME_LENGTH, _AMIN)
        kept = np.flatnonzero(10 * np.log10(power / power.max()) > -trim_db)
        return int(kept[0]) * HOP_LENGTH, min(self._n_samples, (int(kept[-1]) + 1) * HOP_LENGTH)


def trim(y: np.ndarray, trim_db: float = 60.0) -> tuple[int, int]:
    """Bounds of the sound in one clip.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), dtype=float32]
    trim_db : float
        How far below the loudest frame silence begins (in dB).

    Returns
    -------
    first, last : int
        ``y[first:last]`` is what ``librosa.effects.trim(y, top_db=trim_db)[0]`` returns.
    """
    stream = SilenceStream()
    stream.push(y)
    return stream.bounds(trim_db)
