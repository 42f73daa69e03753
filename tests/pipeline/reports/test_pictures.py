"""Small plots: ticks at the right places, and pictures whose pixels are the frames."""

import base64
import io
import re

import matplotlib
import numpy as np
import pytest
from PIL import Image

from features.base import Axis
from features.logmel import LogMel
from pipeline.reports import pictures
from pipeline.reports.pictures import HEIGHT, WIDTH


@pytest.mark.parametrize(("start", "end", "labels"), [
    (0, 3, ["0.0", "0.6", "1.2", "1.8", "2.4", "3.0"]),
    (10, 20, ["10", "12", "14", "16", "18", "20"]),
    (2.735, 2.7463, ["2.7350", "2.7375", "2.7400", "2.7425", "2.7450"]),
])
def test_seconds_are_marked_at_round_times(start, end, labels):
    ticks = pictures.seconds_ticks(start, end)
    assert list(ticks.labels) == labels
    expected = [(float(label) - start) / (end - start) * WIDTH for label in labels]
    assert ticks.positions == pytest.approx(expected, abs=0.01)


def decode(svg):
    data = re.search(r"data:image/webp;base64,([^\"]+)", svg)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), float)


def test_low_bands_are_at_the_bottom_and_early_frames_on_the_left():
    frames = np.full((40, 32), -80, np.float32)
    frames[:20, :16] = 0  # the low half of the first half
    svg = pictures.spectrogram(frames, Axis("band"), 0.01, start=0, low=-80, high=0,
                               colours="magma", name="x")
    pixels = decode(svg)
    bright, dark = (np.array(matplotlib.colormaps["magma"](v)[:3]) * 255 for v in (1.0, 0.0))
    assert pixels.shape == (32, 40, 3)
    assert np.abs(pixels[24, 10] - bright).max() < 12
    for row, column in ((8, 10), (8, 30), (24, 30)):
        assert np.abs(pixels[row, column] - dark).max() < 12


def test_hertz_are_marked_where_their_band_is():
    feature = LogMel(sr=44100)
    svg = pictures.spectrogram(np.zeros((5, 128), np.float32), feature.axis, 0.01, start=0, low=-80,
                               high=0, colours="magma", name="x")
    marks = {label: float(y) - 3 for y, label in re.findall(
        r'<text x="-5" y="([\d.-]+)" text-anchor="end">([^<]+)<', svg)}
    nearest = int(np.argmin(np.abs(np.array(feature.axis.hz) - 4000)))
    assert marks["4k"] == pytest.approx(HEIGHT * (1 - (nearest + 0.5) / 128), abs=HEIGHT / 128)


def test_a_waveform_spans_its_extremes():
    y = np.zeros(1000, np.float32)
    y[500], y[600] = 0.5, -0.25
    svg = pictures.waveform(y, 1000, start=0, name='"<b>')
    heights = [float(pair.split()[1])
               for pair in re.search(r'd="M([^Z]+)Z', svg)[1].split("L")]
    assert min(heights) == 0
    assert max(heights) == pytest.approx(HEIGHT * 0.75)
    assert 'aria-label="&#34;&lt;b&gt;"' in svg
    assert "0.5<" in svg


@pytest.mark.parametrize("n", [1, 2, 3, 280, 281, 5000])
def test_any_length_and_silence_are_drawn(n):
    y = np.zeros(n, np.float32)
    for svg in (pictures.waveform(y, 100, start=0, name="x"),
                pictures.samples(y, 100, start=0, name="x")):
        assert "nan" not in svg
        assert "inf" not in svg
    assert "nan" not in pictures.spectrogram(
        np.zeros((n, 3), np.float32), Axis("band"), 0.1, start=0, low=0, high=0, colours="magma",
        name="x")
