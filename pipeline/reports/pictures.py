"""Small plots of one clip as light SVG: waveform, samples, and spectrograms with real axes.

Matplotlib would take 50 ms and 15 kB for each; a page has hundreds.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from features.base import Axis
from pipeline.reports.templating import render

# The plotting area, in the units of the SVG.
WIDTH, HEIGHT = 280.0, 84.0

_COLUMNS = 280  # of an envelope or a picture: more would not be seen
_ROWS = 96
_WEBP_QUALITY = 60
_HZ = (62.5, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)


@dataclass(frozen=True)
class Ticks:
    """Tick marks of an axis: positions in the units of the SVG, and their labels."""

    positions: tuple[float, ...]
    labels: tuple[str, ...]


def waveform(y: NDArray[np.float32], sr: int, *, start: float, name: str) -> Markup:
    """Plot samples over time, as the range that they take in each column.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), dtype=float32]
    sr : int
        Sampling rate (in Hz).
    start : float
        Time of the first sample (in seconds).
    name : str
        What the plot shows, for readers who do not see it.
    """
    peak = _peak(y)
    edges = np.linspace(0, len(y), min(_COLUMNS, len(y)) + 1).astype(int)
    high, low = np.maximum.reduceat(y, edges[:-1]), np.minimum.reduceat(y, edges[:-1])
    x = (edges[:-1] + edges[1:]) / 2 * (WIDTH / len(y))
    there, back = zip(x, high, strict=True), zip(x[::-1], low[::-1], strict=True)
    points = [f"{a:.1f} {_height(b, peak):.1f}" for a, b in (*there, *back)]
    return _plot(
        f'<path class="envelope" d="M{"L".join(points)}Z"/>', name,
        seconds_ticks(start, start + len(y) / sr), _amplitudes(peak), "s",
    )


def samples(y: NDArray[np.float32], sr: int, *, start: float, name: str) -> Markup:
    """Plot some hundred samples one by one; parameters as of :func:`waveform`."""
    peak = _peak(y)
    x = np.arange(len(y)) * (WIDTH / max(1, len(y) - 1))
    points = [f"{a:.1f} {_height(b, peak):.1f}" for a, b in zip(x, y, strict=True)]
    return _plot(
        f'<path class="signal" d="M{"L".join(points)}"/>', name,
        seconds_ticks(start, start + (len(y) - 1) / sr), _amplitudes(peak), "s",
    )


def spectrogram(
    frames: NDArray[np.float32], axis: Axis, seconds_per_frame: float, *, start: float, low: float,
    high: float, colours: str, name: str,
) -> Markup:
    """Show frames as a picture, with time to the right and the frames' values upwards.

    Parameters
    ----------
    frames : np.ndarray [shape=(n_frames, width), dtype=float32]
    axis : Axis
        What a frame's values are; Hz are marked if it has them.
    seconds_per_frame : float
    start : float
        Time of the first frame (in seconds).
    low, high : float
        Values shown in the first and the last colour.
    colours : str
        One of matplotlib's colour maps.
    name : str
        What the picture shows, for readers who do not see it.
    """
    scaled = np.clip((frames - low) / (high - low or 1.0), 0, 1)
    pooled = _pooled(_pooled(scaled, _COLUMNS).T, _ROWS)[::-1]
    pixels = (matplotlib.colormaps[colours](pooled)[..., :3] * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=_WEBP_QUALITY, method=4)
    data = base64.b64encode(file.getvalue()).decode()
    image = (f'<image width="{WIDTH:g}" height="{HEIGHT:g}" preserveAspectRatio="none" '
             f'href="data:image/webp;base64,{data}"/>')
    return _plot(
        image, name, seconds_ticks(start, start + len(frames) * seconds_per_frame),
        _values(axis, frames.shape[1]), "s",
    )


def seconds_ticks(start: float, end: float) -> Ticks:
    """Return ticks at round times between `start` and `end` (in seconds)."""
    times = [t for t in MaxNLocator(5).tick_values(start, end) if start - 1e-9 <= t <= end + 1e-9]
    digits = next((d for d in range(6) if np.allclose(times, np.round(times, d), atol=1e-9)), 6)
    scale = WIDTH / max(end - start, 1e-9)
    return Ticks(tuple((t - start) * scale for t in times),
                 tuple(f"{t:.{digits}f}" for t in times))


def _values(axis: Axis, width: int) -> Ticks:
    """Ticks at octaves of Hz where the axis has frequencies, else at numbers of values."""
    row = HEIGHT / width
    if axis.hz is None:
        rows = [k for k in MaxNLocator(4, integer=True).tick_values(0, width - 1)
                if 0 <= k <= width - 1]
        return Ticks(tuple(HEIGHT - (k + 0.5) * row for k in rows), tuple(f"{k:g}" for k in rows))
    hz = np.asarray(axis.hz, float)
    marks = [f for f in _HZ if hz[0] <= f <= hz[-1]]
    heights = HEIGHT - (np.interp(marks, hz, np.arange(len(hz))) + 0.5) * row
    kept: list[tuple[float, str]] = []
    for height, f in zip(heights, marks, strict=True):
        if not kept or kept[-1][0] - height >= 11:
            kept.append((float(height), f"{f / 1000:g}k" if f >= 1000 else f"{f:g}"))
    return Ticks(tuple(height for height, _ in kept), tuple(label for _, label in kept))


def _pooled(values: NDArray, most: int) -> NDArray:
    """Mean over groups of rows, so that at most `most` are left."""
    if len(values) <= most:
        return values
    edges = np.linspace(0, len(values), most + 1).astype(int)[:-1]
    return np.add.reduceat(values, edges) / np.diff([*edges, len(values)])[:, None]


def _peak(y: NDArray) -> float:
    return max(float(np.abs(y).max()), 1e-9)


def _height(value: float, peak: float) -> float:
    return HEIGHT / 2 * (1 - value / peak)


def _amplitudes(peak: float) -> Ticks:
    return Ticks((0.0, HEIGHT / 2, HEIGHT), (f"{peak:.2g}", "0", f"−{peak:.2g}"))


def _plot(content: str, name: str, x: Ticks, y: Ticks, unit: str) -> Markup:
    def pairs(ticks: Ticks) -> Sequence[tuple[float, str]]:
        return list(zip(ticks.positions, ticks.labels, strict=True))

    return render(
        "templates/plot.html", content=Markup(content), name=name, x=pairs(x), y=pairs(y),
        unit=unit, width=WIDTH, height=HEIGHT,
    )
