"""Sample clips: which ones each batch of an epoch has.

Whatever goes on from one epoch to the next is a function of the seed and of how many clips were
drawn before, so that a training that resumes draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.batches import batch_slices
from pipeline.batching.crops import Ints

# Kinds of draws, told apart by the last number of a seed. Not 0, which NumPy pads seeds with.
_NOISY, _CLASSES, _FIRST_CLASS = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Sampling:
    """How the clips of a training make up batches.

    Attributes
    ----------
    seed : tuple of int
        Of this fold's training.
    batch_size : int
        Maximum number of clips per batch.
    rows : np.ndarray [shape=(n,), dtype=int64]
        Clips that an epoch is one pass over.
    classes : tuple of np.ndarray of int, or None
        Of each class, its clips among `rows`. An epoch then draws ``len(rows)`` clips, each class
        equally often, instead of each clip once: :func:`balanced`.
    noisy : np.ndarray of int
        Clips that are mixed into every batch, one permutation of them after the other, whatever
        the epoch.
    n_noisy : int
        Their number per batch.

    Examples
    --------
    >>> sampling = Sampling((0,), 4, np.arange(6), noisy=np.array([6, 7, 8]), n_noisy=1)
    >>> parts = sampling.batches(epoch=1, rng=np.random.default_rng(0))
    >>> [len(part) for part in parts], sorted(np.concatenate(parts).tolist())
    ([4, 4], [0, 1, 2, 3, 4, 5, 7, 8])
    """

    seed: tuple[int, ...]
    batch_size: int
    rows: Ints
    classes: tuple[Ints, ...] | None = None
    noisy: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    n_noisy: int = 0

    @property
    def _slices(self) -> list[slice]:
        return batch_slices(len(self.rows), self.batch_size - self.n_noisy)

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches per epoch."""
        return len(self._slices)

    def batches(self, epoch: int, rng: np.random.Generator) -> list[Ints]:
        """Draw the clips of each batch of an epoch.

        Parameters
        ----------
        epoch : int > 0 [scalar]
            Counted from 1.
        rng : np.random.Generator
            Decides the order within this epoch.

        Returns
        -------
        batches : list of np.ndarray of int
            The clips of each batch.
        """
        n, before = len(self.rows), epoch - 1
        if self.classes is None:
            order = self.rows[rng.permutation(n)]
        else:
            order = balanced(self.classes, before * n, n, self.seed)
        parts = [order[part] for part in self._slices]
        if not self.n_noisy:
            return parts
        count = len(parts) * self.n_noisy
        drawn = cycled(len(self.noisy), before * count, count, self.seed, _NOISY)
        return [rng.permutation(np.concatenate([part, clips])) for part, clips in zip(
            parts, self.noisy[drawn].reshape(len(parts), -1), strict=True
        )]


def cycled(n: int, first: int, count: int, seed: Sequence[int], stream: int) -> Ints:
    """Cut a piece out of an endless sequence of permutations of 0 to n - 1.

    Parameters
    ----------
    n : int > 0 [scalar]
        Length of a permutation.
    first : int >= 0 [scalar]
        Where in the sequence the piece begins.
    count : int >= 0 [scalar]
        Length of the piece.
    seed : sequence of int
        With `stream` and its number, it decides each permutation.
    stream : int > 0 [scalar]
        Another sequence of the same seed.

    Returns
    -------
    values : np.ndarray [shape=(count,), dtype=int64]

    Examples
    --------
    >>> whole = cycled(3, 0, 9, (0,), stream=1)
    >>> sorted(whole[:3].tolist()), sorted(whole[3:6].tolist())
    ([0, 1, 2], [0, 1, 2])
    >>> bool((cycled(3, 2, 4, (0,), stream=1) == whole[2:6]).all())
    True
    """
    begin, end = first // n, -(-(first + count) // n)
    drawn = [np.random.default_rng([*seed, k, stream]).permutation(n) for k in range(begin, end)]
    whole = np.concatenate([np.empty(0, np.int64), *drawn])
    return whole[first - begin * n:][:count]


def balanced(classes: Sequence[Ints], first: int, count: int, seed: Sequence[int]) -> Ints:
    """Cut a piece out of an endless sequence of clips in which all classes are equally frequent.

    Classes come one permutation after the other, and so do the clips of each class. A clip of
    several classes is drawn for each of them, so it comes as often as it has classes, and the
    classes that go with a frequent one come more often by that. Jeong and Lim (2018) train with
    class-balanced batches.

    Parameters
    ----------
    classes : sequence of np.ndarray of int
        The clips of each class; one without clips is left out.
    first, count : int >= 0 [scalar]
        Where in the sequence the piece begins, and its length.
    seed : sequence of int
        The same seed gives the same sequence.

    Returns
    -------
    clips : np.ndarray [shape=(count,), dtype=int64]

    References
    ----------
    Jeong and Lim, "Audio tagging system using densely connected convolutional networks",
    DCASE 2018.

    Examples
    --------
    >>> clips = balanced([np.array([0, 1, 2, 3]), np.array([4])], 0, 8, seed=(0,))
    >>> np.bincount(clips).tolist()
    [1, 1, 1, 1, 4]
    """
    known = [c for c, clips in enumerate(classes) if len(clips)]
    of_class = cycled(len(known), first, count, seed, _CLASSES)
    n_passes, n_begun = divmod(first, len(known))
    begun = cycled(len(known), first - n_begun, n_begun, seed, _CLASSES)
    result = np.empty(count, np.int64)
    for i, c in enumerate(known):
        where = np.flatnonzero(of_class == i)
        drawn_before = n_passes + int(np.count_nonzero(begun == i))
        result[where] = classes[c][cycled(
            len(classes[c]), drawn_before, len(where), seed, _FIRST_CLASS + c
        )]
    return result


def clips_by_class(targets: NDArray[np.float32], rows: Ints) -> tuple[Ints, ...]:
    """Sort clips by their classes, for :func:`balanced`.

    Parameters
    ----------
    targets : np.ndarray [shape=(n_clips, n_classes), dtype=float32]
        0 to 1. A clip has the classes of at least 0.5, else the most likely one.
    rows : np.ndarray of int
        The clips to sort.

    Returns
    -------
    classes : tuple of np.ndarray of int
        For each class its clips, in the order of `rows`.

    Examples
    --------
    >>> targets = np.array([[1, 1], [0, 1], [.4, .2]], np.float32)
    >>> clips_by_class(targets, np.arange(3))
    (array([0, 2]), array([0, 1]))
    """
    chosen = targets[rows]
    likeliest = (chosen == chosen.max(axis=1, keepdims=True)) & (chosen > 0)
    has = np.where((chosen >= 0.5).any(axis=1, keepdims=True), chosen >= 0.5, likeliest)
    return tuple(rows[has[:, c]] for c in range(targets.shape[1]))
