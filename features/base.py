"""The declaration of a feature: what extraction, stores, crops, plots and training ask of it.

A feature is a frozen dataclass whose fields are its settings. Derive it from :class:`Feature`,
give it the class attributes and methods listed there, add a line to :data:`features.FEATURES`, and
everything else works: ``pipeline.extract`` writes its store, ``pipeline.inspect`` draws it,
``pipeline.train`` cuts crops of it. :func:`check_feature` tells whether the declaration is sound.

Audio goes through a feature in two steps. A *front end* turns samples into frames; features with
equal front ends share its work, as log-mel and MFCC share one mel spectrogram. The feature then
turns these frames into its own, either at once or, where they depend on the clip's loudest value,
after the clip's last sample. Both steps take a clip in pieces, so that a clip of any length needs
the same memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from features.signal.checks import check_audio
from features.signal.settings_check import bound_errors, type_errors


class Stream(Protocol):
    """One step of the way from a clip's samples to its frames, which come in pieces.

    Examples
    --------
    >>> from features.logmel import LogMel
    >>> stream = LogMel().front_end.stream()
    >>> pieces = np.zeros(4000, np.float32), np.zeros(100, np.float32)
    >>> [len(stream.push(y, last=last)) for y, last in zip(pieces, (False, True))]
    [6, 3]
    """

    def push(self, y: NDArray, *, last: bool) -> NDArray:
        """Take the next samples or frames, and return the frames that are complete now.

        How the clip is cut into pieces changes no value.

        Parameters
        ----------
        y : np.ndarray [shape=(n, ...)]
            The next piece of the clip, time first; it may be empty.
        last : bool
            Whether the clip ends with this piece. Nothing may be pushed after it.

        Returns
        -------
        frames : np.ndarray [shape=(n_frames, width) or (n_frames,)]
            The frames that were not returned before; with `last`, all that are left.
        """
        ...


class FrontEnd(Protocol):
    """How samples become frames; hashable, and equal where the frames are.

    Examples
    --------
    >>> from features.logmel import LogMel
    >>> from features.mfcc import Mfcc
    >>> LogMel().front_end == Mfcc().front_end  # computed once for both
    True
    """

    @property
    def takes_int16(self) -> bool:
        """Whether 16-bit samples are taken as they are, not as float32."""
        ...

    def stream(self) -> Stream:
        """A stream from one clip's samples to frames [shape=(n, width) or (n,)]."""
        ...


class Map:
    """A stream whose frames each depend on one frame alone.

    Parameters
    ----------
    function : callable
        From frames [shape=(n, ...)] to as many frames; n may be 0.

    Examples
    --------
    >>> Map(np.square).push(np.array([1.0, 2.0]), last=True)
    array([1., 4.])
    """

    def __init__(self, function: Callable[[NDArray], NDArray]) -> None:
        self._function = function

    def push(self, y: NDArray, *, last: bool) -> NDArray:
        """Apply the function to the next frames.

        Parameters
        ----------
        y : np.ndarray [shape=(n, ...)]
            The next frames.
        last : bool
            Whether the clip ends here; without effect.

        Returns
        -------
        frames : np.ndarray [shape=(n, ...)]
        """
        return self._function(y)


@dataclass(frozen=True)
class Samples:
    """The front end of features that are computed from samples: it returns them unchanged.

    Attributes
    ----------
    takes_int16 : bool
        Keep 16-bit samples as int16, full scale at 32768; otherwise all are float32.

    Examples
    --------
    >>> Samples().stream().push(np.ones(2, np.float32), last=True)
    array([1., 1.], dtype=float32)
    """

    takes_int16: bool = False

    def stream(self) -> Stream:
        """A stream that returns its input."""
        return Map(lambda y: y)


@dataclass(frozen=True)
class Axis:
    """What the values of a frame are, for plots.

    Attributes
    ----------
    label : str
        The axis's label.
    hz : tuple of float, optional
        The frequency of each value (in Hz), where each has one.

    Examples
    --------
    >>> from features.mfcc import Mfcc
    >>> Mfcc().axis
    Axis(label='coefficient', hz=None)
    """

    label: str
    hz: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Feature(ABC):
    """What a feature declares.

    A subclass is a frozen dataclass. Its fields are settings with types and bounds
    (``Annotated[int, Ge(1)]``, ``Literal[...]``); `sr` and `dtype` must be among them, and a
    `hop_length` (in samples) where a frame is more than a sample. The first type of `dtype` is
    what is stored by default.

    Attributes
    ----------
    kind : str
        The feature's name in params.yaml and in stores.
    version : int
        Grows when a value moves, so that older stores are extracted again.

    Raises
    ------
    ValueError
        If a setting has another type or is out of its bounds, or settings contradict each other;
        all errors are listed.

    Examples
    --------
    >>> from features.mfcc import Mfcc
    >>> feature = Mfcc(sr=16000, hop_length=160)
    >>> feature.width, feature.units, feature.seconds_per_frame, feature.n_frames(16000)
    (40, 'dB', 0.01, 101)
    >>> Mfcc(n_mfcc=200)
    Traceback (most recent call last):
        ...
    ValueError: mfcc: n_mfcc is 200; it cannot exceed n_mels, 128
    """

    kind: ClassVar[str]
    version: ClassVar[int]

    def __post_init__(self) -> None:
        if errors := type_errors(self) or bound_errors(self) + self.contradictions():
            raise ValueError(f"{self.kind}: " + "; ".join(errors))

    def contradictions(self) -> list[str]:
        """What is wrong with the settings together, each of them valid by itself."""
        return []

    # A subclass may override these properties by fields (sr) and class attributes (units).

    @property
    @abstractmethod
    def sr(self) -> int:
        """Sampling rate of the samples that it takes (in Hz)."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """Of the frames as they are stored: int16, float16 or float32."""

    @property
    @abstractmethod
    def units(self) -> str:
        """Of the values."""

    @property
    def needs_loudest(self) -> bool:
        """Whether frames depend on the largest value of the clip's front-end frames."""
        return False

    @property
    def silence_error(self) -> float:
        """How far :meth:`silent_frame` may be from what silence gives (in `units`)."""
        return 1e-3

    @property
    @abstractmethod
    def width(self) -> int:
        """Values per frame; 0 where a frame is a single number, as a sample is."""

    @abstractmethod
    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a clip.

        Parameters
        ----------
        n_samples : int > 0 [scalar]
            Samples of the clip at `sr` Hz.

        Returns
        -------
        n_frames : int > 0 [scalar]
        """

    @property
    def front_end(self) -> FrontEnd:
        """How samples become the frames that :meth:`stream` takes."""
        return Samples()

    @abstractmethod
    def stream(self, loudest: float | None) -> Stream:
        """A stream from one clip's front-end frames to the feature's.

        Parameters
        ----------
        loudest : float or None
            The largest value of the clip's front-end frames, if `needs_loudest`.

        Returns
        -------
        Stream
            For one clip; its frames are float32, in `units`.
        """

    @abstractmethod
    def silent_frame(self, frames: NDArray) -> NDArray[np.float32]:
        """The frame that digital silence beside a clip's sound has: what pads short clips.

        Parameters
        ----------
        frames : np.ndarray [shape=(n_frames, width) or (n_frames,)]
            All frames of the clip, as stored; at least one.

        Returns
        -------
        frame : np.ndarray [shape=(width,) or (), dtype=float32]
            In `units`.
        """

    @property
    def axis(self) -> Axis:
        """What a frame's values are, for plots."""
        return Axis("value")

    @property
    def channels(self) -> int:
        """Images in a frame, one after the other: 3 for values, deltas and delta-deltas."""
        return 1

    @property
    def frame_samples(self) -> int:
        """Samples from one frame to the next."""
        return getattr(self, "hop_length", 1)

    @property
    def seconds_per_frame(self) -> float:
        """Time from one frame to the next (in seconds)."""
        return self.frame_samples / self.sr

    @property
    def config(self) -> dict[str, Any]:
        """All settings but `dtype`, as JSON has them; a feature inside has its kind and version."""
        return {
            f.name: {"kind": value.kind, "version": value.version, **value.config}
            if isinstance(value := getattr(self, f.name), Feature) else value
            for f in fields(self) if f.name != "dtype"
        }

    def __call__(self, y: NDArray) -> NDArray[np.float32]:
        """Compute the frames of one clip.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,), dtype=floating]
            Samples at `sr` Hz, full scale at 1.0.

        Returns
        -------
        frames : np.ndarray [shape=(n_frames, width) or (n_frames,), dtype=float32]
            Time first, in `units`.

        Raises
        ------
        ValueError
            If `y` is not one-dimensional, not of floating point, empty, not finite or beyond 1e12.
        """
        frames = self.front_end.stream().push(check_audio(y), last=True)
        loudest = float(frames.max()) if self.needs_loudest else None
        return self.stream(loudest).push(frames, last=True)


def check_feature(feature: Feature) -> None:
    """Check that a feature keeps what it declares, as scikit-learn's ``check_estimator`` does.

    It is computed for clips from one sample to some seconds, whole and cut into pieces.

    Parameters
    ----------
    feature : Feature
        With any settings; 40 frames of it are computed, and 4 seconds.

    Raises
    ------
    AssertionError
        With the first promise that is broken: number of frames, shape and dtype, the same values
        however a clip is cut, finite values, or the frame that silence has.

    Examples
    --------
    >>> from features.logmel import LogMel
    >>> check_feature(LogMel(n_mels=64))
    """
    rng = np.random.default_rng(0)
    hop = feature.frame_samples
    frame = (feature.width,) if feature.width else ()
    for n in (1, 2, hop, hop + 1, 5 * hop - 1, 40 * hop + 7):
        y = (0.1 * rng.standard_normal(n)).astype(np.float32)
        whole = feature(y)
        promised = (feature.n_frames(n), *frame)
        assert whole.shape == promised, (
            f"{feature.kind}: {n} samples give frames of shape {whole.shape}; "
            f"n_frames and width promise {promised}"
        )
        assert whole.dtype == np.float32, (
            f"{feature.kind}: frames are {whole.dtype}; they must be float32"
        )
        assert np.isfinite(whole).all(), f"{feature.kind}: NaN or infinity for {n} samples of noise"
        cuts = np.sort(rng.integers(0, n + 1, 5))
        pieces = _in_pieces(feature, np.split(y, cuts))
        assert np.array_equal(pieces, whole), (
            f"{feature.kind}: {n} samples cut at {cuts.tolist()} give other frames than uncut ones"
        )
    _check_silence(feature)


def _in_pieces(feature: Feature, pieces: list[NDArray]) -> NDArray:
    front = feature.front_end.stream()
    ends = [False] * (len(pieces) - 1) + [True]
    frames = [front.push(y, last=last) for y, last in zip(pieces, ends, strict=True)]
    loudest = max(float(f.max()) for f in frames if len(f)) if feature.needs_loudest else None
    stream = feature.stream(loudest)
    made = [stream.push(f, last=last) for f, last in zip(frames, ends, strict=True)]
    return np.concatenate([f for f in made if len(f)])


def _check_silence(feature: Feature) -> None:
    """Hold `silent_frame` to what a clip gives that ends in three seconds of zeros."""
    sr = feature.sr
    rng = np.random.default_rng(1)
    sound = (0.1 * rng.standard_normal(sr)).astype(np.float32)
    with_silence = feature(np.concatenate([sound, np.zeros(3 * sr, np.float32)]))
    silent = feature.silent_frame(with_silence[:feature.n_frames(sr)])
    assert silent.shape == with_silence.shape[1:], (
        f"{feature.kind}: silent_frame has shape {silent.shape}; "
        f"a frame has {with_silence.shape[1:]}"
    )
    # The middle of the silence, which sees neither the sound nor the clip's end.
    off = float(np.abs(with_silence[-len(with_silence) // 4] - silent).max())
    assert off <= feature.silence_error, (
        f"{feature.kind}: silent_frame is off by {off:g} {feature.units}; "
        f"silence_error promises {feature.silence_error:g}"
    )


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Make a feature's settings from its `config`, with nested features constructed.

    Parameters
    ----------
    config : mapping of str to object
        As in :attr:`Feature.config`, from JSON or not.

    Returns
    -------
    settings : dict of str to object
        Keyword arguments of the feature's class, all but `dtype`.

    Raises
    ------
    ValueError
        If a nested feature is of an unknown kind or has an invalid setting.

    Examples
    --------
    >>> from features.delta import Delta
    >>> feature = Delta(n_context=5)
    >>> Delta(**settings_of(feature.config)) == feature
    True
    """
    from features import make_feature

    return {
        name: make_feature(value["kind"], **settings_of(
            {k: v for k, v in value.items() if k not in ("kind", "version")}
        )) if isinstance(value, Mapping) else value
        for name, value in config.items()
    }
