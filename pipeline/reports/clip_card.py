"""Cards that show clips: a player, the waveform, 500 of its samples, log-mel and MFCC."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from markupsafe import Markup

from pipeline.audio.decode import DecodeError
from pipeline.audio.excerpt import encode_mp3, read_excerpt
from pipeline.reports import pictures
from pipeline.reports.templating import counted, render
from pipeline.runtime.parallel import imap
from pipeline.store.reader import Store
from pipeline.survey.clip_table import store_of

# Samples that are shown one by one, around the loudest.
ZOOM = 500


@dataclass(frozen=True)
class Card:
    """What to show of a clip besides its sound.

    Attributes
    ----------
    key : str
        Its anchor on the page, different for each card: :func:`anchor` makes one.
    clip_id : str
    labels : tuple of str
    flags : tuple of str
        Shown like labels, in another colour.
    notes : tuple of str
        Lines below.
    """

    key: str
    clip_id: str
    labels: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ClipSources:
    """Where sound and frames of clips come from.

    Attributes
    ----------
    root : Path
        The data set's folder.
    paths : mapping of str to str
        Path of each clip's file, relative to `root`.
    stores : mapping of str to Store
        By the features' names; those of waveform, logmel and mfcc are used if they are there.
    seconds : float
        Length of the part that is shown and played, from where a clip's sound begins.
    """

    root: Path
    paths: Mapping[str, str]
    stores: Mapping[str, Store]
    seconds: float


def anchor(prefix: str, index: int) -> str:
    """Return an anchor for a card: clip ids may hold characters that anchors must not."""
    return f"{prefix}-{index}"


def make_cards(cards: Iterable[Card], sources: ClipSources, *, jobs: int) -> dict[str, Markup]:
    """Make cards in parallel.

    A clip whose file cannot be read is heard from the waveform store; without one, its card says
    that it cannot be heard.

    Parameters
    ----------
    cards : iterable of Card
    sources : ClipSources
    jobs : int
        Number of threads; -1: one per CPU core.

    Returns
    -------
    dict of str to Markup
        By :attr:`Card.key`, in the order of `cards`.
    """
    wanted = list(cards)
    # Threads: decoding, encoding and NumPy release the interpreter.
    made = dict(imap(partial(_make, sources), wanted, jobs=jobs, backend="threading"))
    return {card.key: made[card.key] for card in wanted}


def _make(sources: ClipSources, card: Card) -> tuple[str, Markup]:
    stores = {kind: store for kind in ("waveform", "logmel", "mfcc")
              if (store := store_of(sources.stores, kind)) is not None and card.clip_id in store}
    start = _sound_start(stores.values(), card.clip_id)
    y, sr, note = _sound(sources, card.clip_id, start, stores.get("waveform"))
    plots: list[tuple[str, Markup]] = []
    if len(y):
        plots += _sound_plots(y, sr, start, card.clip_id)
    for kind, draw in (("logmel", _logmel), ("mfcc", _mfcc)):
        if kind in stores:
            plots.append(draw(stores[kind], card.clip_id, start, sources.seconds))
    sound = base64.b64encode(encode_mp3(y, sr)).decode() if len(y) else ""
    return card.key, render(
        "templates/clip_card.html", card=card, sound=sound, plots=plots, note=note, start=start,
        end=start + len(y) / sr if len(y) else start, length=_length(stores.values(), card.clip_id),
    )


def _sound(
    sources: ClipSources, clip_id: str, start: float, waveform: Store | None
) -> tuple[np.ndarray, int, str]:
    """The samples to hear, their sampling rate, and a note if they are not the file's own."""
    try:
        y, sr = read_excerpt(sources.root / sources.paths[clip_id], start, sources.seconds)
        if len(y):
            return y, sr, ""
        reason = "the file ends before its sound begins"
    except (DecodeError, OSError, KeyError) as error:
        reason = "not in clips.csv" if isinstance(error, KeyError) else str(error)
    if waveform is None:
        return np.empty(0, np.float32), 1, f"cannot be heard: {reason}"
    sr = waveform.spec.declaration.sr
    y = _part(waveform, clip_id, start, sources.seconds)
    return y, sr, f"from the store, at {sr} Hz: {reason}"


def _part(store: Store, clip_id: str, start: float, seconds: float) -> np.ndarray:
    step = store.spec.declaration.seconds_per_frame
    length = int(store.length[store.index_of(clip_id)])
    first = min(round(start / step), max(0, length - 1))
    return store.crop(clip_id, first, min(max(1, round(seconds / step)), length - first))


def _sound_start(stores: Iterable[Store], clip_id: str) -> float:
    for store in stores:
        step = store.spec.declaration.seconds_per_frame
        return float(store.sound[store.index_of(clip_id), 0]) * step
    return 0.0


def _length(stores: Iterable[Store], clip_id: str) -> float | None:
    for store in stores:
        step = store.spec.declaration.seconds_per_frame
        return float(store.length[store.index_of(clip_id)]) * step
    return None


def _sound_plots(
    y: np.ndarray, sr: int, start: float, clip_id: str
) -> Sequence[tuple[str, Markup]]:
    loudest = int(np.abs(y).argmax())
    first = max(0, min(loudest - ZOOM // 2, len(y) - ZOOM))
    zoom = y[first:first + ZOOM]
    return [
        ("Waveform", pictures.waveform(y, sr, start=start, name=f"waveform of {clip_id}")),
        (f"{counted(len(zoom), 'sample')} around the loudest", pictures.samples(
            zoom, sr, start=start + first / sr, name=f"{len(zoom)} samples of {clip_id}"
        )),
    ]


def _logmel(store: Store, clip_id: str, start: float, seconds: float) -> tuple[str, Markup]:
    frames, feature = _part(store, clip_id, start, seconds), store.spec.declaration
    high = float(frames.max())
    low = max(float(frames.min()), high - 80)
    return f"Log-mel, Hz, {low:.0f} to {high:.0f} dB", pictures.spectrogram(
        frames, feature.axis, feature.seconds_per_frame, start=start, low=low, high=high,
        colours="magma", name=f"log-mel spectrogram of {clip_id}",
    )


def _mfcc(store: Store, clip_id: str, start: float, seconds: float) -> tuple[str, Markup]:
    frames, feature = _part(store, clip_id, start, seconds), store.spec.declaration
    mean, std = store.mean_std()
    # The first coefficients would leave no colour to the others.
    scaled = ((frames - mean) / np.maximum(std, 1e-9)).astype(np.float32)
    return "MFCC by number, ±3 standard deviations", pictures.spectrogram(
        scaled, feature.axis, feature.seconds_per_frame, start=start, low=-3, high=3,
        colours="viridis", name=f"MFCC of {clip_id}",
    )
