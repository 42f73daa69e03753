"""Cards: what is heard and shown of a clip, from its file or from the store."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from pipeline.reports.clip_card import Card, ClipSources, anchor, make_cards
from pipeline.store.reader import open_store

HOSTILE = "<img src=x onerror=alert(1)>.wav"


@pytest.fixture(scope="module")
def sources(make_data_set, extract, tmp_path_factory):
    data = make_data_set()
    for k, name in enumerate(("a.wav", HOSTILE)):
        y = np.zeros(44100, np.float32)
        y[11025:33075] = 0.5 * np.sin(2 * np.pi * 1000 * (k + 1) * np.arange(22050) / 44100)
        data.write(name, y)
    data.prepare()
    out = tmp_path_factory.mktemp("stores")
    assert extract(data, out).code == 0
    stores = {path.stem: open_store(path) for path in out.glob("*.h5")}
    return ClipSources(data.root, {"a.wav": "audio/a.wav", HOSTILE: f"audio/{HOSTILE}"}, stores,
                       0.3)


def make(sources, **options):
    card = Card(anchor("clip", 0), options.pop("clip_id", "a.wav"), **options)
    return make_cards([card], sources, jobs=1)["clip-0"]


def heard(html):
    data = base64.b64decode(re.search(r"data:audio/mpeg;base64,([^\"]+)", html)[1])
    return soundfile.read(io.BytesIO(data))


def test_the_sound_begins_where_the_clip_sounds(sources):
    y, sr = heard(make(sources))
    assert sr == 44100
    assert len(y) / sr == pytest.approx(0.3, abs=0.06)
    middle = y[4000:8096]
    peak = np.fft.rfft(middle * np.hanning(4096)).__abs__().argmax() * sr / 4096
    assert peak == pytest.approx(1000, abs=sr / 4096)
    assert np.sqrt(np.mean(middle ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_card_shows_four_plots_and_its_part_of_the_clip(sources):
    html = make(sources, labels=("Bark",), flags=("silent",), notes=("a note",))
    names = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert names == ["waveform of a.wav", "500 samples of a.wav", "log-mel spectrogram of a.wav",
                     "MFCC of a.wav"]
    assert re.search(r"0\.2 to 0\.5 of 1\.0 s", html)
    assert "Bark" in html
    assert "a note" in html


def test_without_the_file_the_store_is_heard_and_the_card_says_so(sources):
    gone = ClipSources(sources.root / "gone", sources.paths, sources.stores, 0.3)
    html = make(gone)
    y, sr = heard(html)
    assert sr == 16000
    assert np.abs(y).max() > 0.4
    assert "from the store, at 16000 Hz" in html
    assert "no such file" in html


def test_without_file_and_store_it_says_that_it_cannot_be_heard(sources):
    stores = {name: store for name, store in sources.stores.items() if name != "waveform"}
    html = make(ClipSources(sources.root / "gone", sources.paths, stores, 0.3))
    assert "cannot be heard" in html
    assert "<audio" not in html
    assert html.count('role="img"') == 2


def test_a_clip_in_no_store_is_heard_from_its_file(sources):
    html = make(ClipSources(sources.root, sources.paths, {}, 0.3))
    assert html.count('role="img"') == 2
    assert "<audio" in html


def test_hostile_names_are_text(sources):
    html = make(sources, clip_id=HOSTILE, labels=("<b>",))
    assert "<img src" not in html
    assert "<b>" not in html


def test_a_player_has_a_duration_and_plays(sources, open_page, tmp_path):
    from markupsafe import Markup

    from pipeline.reports.page import Section, write_page

    path = tmp_path / "page.html"
    write_page(path, "Clips", "", [Section("s", "S", Markup(make(sources)))])
    page = open_page(path)
    page.wait_for_function("document.querySelector('audio').readyState >= 1")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(0.3, abs=0.1)
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("document.querySelector('audio').currentTime > 0")
    assert page.evaluate(
        "[...document.querySelectorAll('image')].every(i => i.getBoundingClientRect().width > 100)")
