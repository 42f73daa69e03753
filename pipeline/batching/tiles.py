"""Tiles: the crops that a clip is scored by, the mean of whose scores is the clip's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.batching.crops import Crops, Ints, covering_crops


@dataclass(frozen=True)
class Tiling:
    """How clips are covered by tiles.

    Attributes
    ----------
    least, most : int
        Frames per tile. Where both are the same, all tiles are that long. Otherwise a clip is one
        tile, unless it is longer than `most`; a shorter one than `least` is padded.
    overlap : float
        Least share of a tile that the next one has too, from 0 to below 1.
    sound_only : bool
        Cover what is not leading or trailing silence.

    Examples
    --------
    >>> lengths = np.array([25, 4])
    >>> Tiling(10, 10).crops(lengths).first
    array([ 0,  7, 15, -3])
    >>> whole = Tiling(10, 100).crops(lengths)
    >>> whole.first, whole.n_frames
    (array([ 0, -3]), array([25, 10]))
    """

    least: int
    most: int
    overlap: float = 0.0
    sound_only: bool = False

    def crops(
        self, lengths: Ints, *, rows: Ints | None = None, sound: Ints | None = None
    ) -> Crops:
        """Cover clips.

        Parameters
        ----------
        lengths : np.ndarray [shape=(n_clips,), dtype=int64]
            Frames of every clip.
        rows : np.ndarray [shape=(n_rows,), dtype=int64], optional
            The clips to cover, as indices into `lengths`; all unless given.
        sound : np.ndarray [shape=(n_clips, 2), dtype=int64], optional
            First frame of every clip's sound and one past its last; needed for `sound_only`.

        Returns
        -------
        crops : Crops
            At least one per row, clip after clip.

        Raises
        ------
        ValueError
            If `sound` is needed and missing.
        """
        if not self.sound_only:
            sound = None
        elif sound is None:
            raise ValueError("the bounds of the sound are needed to cover it alone")
        rows = np.arange(len(lengths)) if rows is None else rows
        covered = lengths[rows] if sound is None else sound[rows, 1] - sound[rows, 0]
        # A clip without any sound is covered like any other.
        covered = np.where(covered > 0, covered, lengths[rows])
        n_frames = np.clip(covered, self.least, self.most)
        return covering_crops(lengths, rows, n_frames, overlap=self.overlap, sound=sound)
