"""Frames of another feature with their deltas and delta-deltas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from features.base import Axis, Feature, FrontEnd, Stream
from features.logmel import LogMel


@dataclass(frozen=True)
class Delta(Feature):
    """``librosa.feature.delta`` of every order up to `order`, behind the frames themselves.

    A frame holds the values of `of`, then their deltas, then their delta-deltas: `channels` images
    of the same width. A delta is the slope (or curvature) of a polynomial fitted to `n_context`
    frames (Savitzky and Golay: Smoothing and Differentiation of Data by Simplified Least Squares
    Procedures, Analytical Chemistry, 1964). At a clip's ends it is that of the first or last
    `n_context` frames, as with librosa's ``mode="interp"``. Clips with fewer frames than that,
    which librosa refuses, are continued by their first and last frame (``mode="nearest"``).

    Attributes
    ----------
    of : Feature
        What to take deltas of: any feature whose frames have several values.
    order : {1, 2}
        1 for deltas, 2 for delta-deltas too.
    n_context : int
        Frames that a delta is computed from; odd, at least 3 (librosa's `width`).
    dtype : {"float32", "float16"}
        Of the stored frames.

    Raises
    ------
    ValueError
        If a setting is not valid, or `of` has one value per frame or deltas of its own; all
        errors are listed.

    Examples
    --------
    >>> feature = Delta(LogMel(n_mels=64))
    >>> feature(np.zeros(44100, np.float32)).shape, feature.channels
    ((87, 192), 3)
    """

    of: Feature = field(default_factory=LogMel)
    order: Annotated[int, Ge(1), Le(2)] = 2
    n_context: Annotated[int, Ge(3)] = 9
    dtype: Literal["float32", "float16"] = "float32"

    kind = "delta"
    version = 1

    def contradictions(self) -> list[str]:
        """Settings that do not go together."""
        errors = []
        if self.n_context % 2 == 0:
            errors.append(f"n_context is {self.n_context}: needs an odd number")
        if self.of.width == 0 or isinstance(self.of, Delta):
            errors.append(f"of is of kind {self.of.kind}: needs a feature of several values per "
                          "frame, and not a delta")
        return errors

    @property
    def units(self) -> str:
        """Those of `of`; deltas are per frame."""
        return self.of.units

    @property
    def sr(self) -> int:
        """Sampling rate (in Hz)."""
        return self.of.sr

    @property
    def frame_samples(self) -> int:
        """Samples from one frame to the next."""
        return self.of.frame_samples

    @property
    def needs_loudest(self) -> bool:
        """Whether `of` needs the clip's loudest value."""
        return self.of.needs_loudest

    @property
    def silence_error(self) -> float:
        """That of `of` (in `units`)."""
        return self.of.silence_error

    @property
    def channels(self) -> int:
        """The frames, and one image per order."""
        return 1 + self.order

    @property
    def width(self) -> int:
        """Values per frame: `channels` times those of `of`."""
        return self.channels * self.of.width

    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a clip: those of `of`."""
        return self.of.n_frames(n_samples)

    @property
    def front_end(self) -> FrontEnd:
        """The one of `of`."""
        return self.of.front_end

    def stream(self, loudest: float | None) -> _DeltaStream:
        """Compute the frames of `of`, and their deltas behind them."""
        return _DeltaStream(self.of.stream(loudest), self.order, self.n_context)

    def silent_frame(self, frames: NDArray) -> NDArray[np.float32]:
        """The silent frame of `of`; in silence nothing changes, so deltas are 0."""
        silent = self.of.silent_frame(frames[:, :self.of.width])
        return np.concatenate([silent, np.zeros(self.order * self.of.width, np.float32)])

    @property
    def axis(self) -> Axis:
        """The axis of `of`, once for each channel."""
        return Axis(f"{self.of.axis.label}, then deltas" if not self.of.axis.hz
                    else "band, then deltas")


class _DeltaStream:
    """Frames of one clip that come in pieces, with their deltas behind them."""

    def __init__(self, stream: Stream, order: int, n_context: int) -> None:
        self._stream, self._order, self._n = stream, order, n_context
        # Frames whose deltas are not complete, and those before them that are needed for it.
        self._frames: NDArray | None = None
        self._at_start = True

    def push(self, y: NDArray, *, last: bool) -> NDArray:
        """Take the next front-end frames; see :class:`features.base.Stream`."""
        # Here, because SciPy takes a fifth of a second and most features do without.
        from scipy.signal import savgol_filter

        new = self._stream.push(y, last=last)
        frames = new if self._frames is None else np.concatenate([self._frames, new])
        half = self._n // 2
        # The whole clip, and shorter than the context.
        short = self._at_start and len(frames) < self._n
        if short and not last:
            self._frames = frames
            return np.empty((0, (1 + self._order) * frames.shape[1]), np.float32)
        if not len(frames):
            return np.empty((0, (1 + self._order) * frames.shape[1]), np.float32)
        # In float64: float32 would leave an error of some units of the last place of the level.
        images = [frames.astype(np.float64)] + [
            savgol_filter(frames.astype(np.float64), self._n, deriv=k, polyorder=k, axis=0,
                          mode="nearest" if short else "interp")
            for k in range(1, self._order + 1)
        ]
        first = 0 if self._at_start else half
        end = len(frames) if last else len(frames) - half
        self._frames, self._at_start = frames[max(0, end - half):], False
        return np.concatenate([image[first:end] for image in images], axis=1).astype(np.float32)
