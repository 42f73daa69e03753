"""What is printed and written, of made-up scores."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.tagging.audio_files import AudioFile
from pipeline.tagging.report import report
from pipeline.tagging.tag_files import FileTags, Tagged, TimeLine
from pipeline.tagging.tagger import Tagger

CLASSES = ("Hundegebell_(groß)", "<script>")


@pytest.fixture
def tagged():
    scores = np.array([0.1, 1 / 3], np.float32)
    line = TimeLine(np.arange(3.0), np.array([[.9, .1], [.7, .2], [.1, .8]], np.float32))
    return Tagged([FileTags(AudioFile(Path("a.wav")), 4.0, scores, line),
                   FileTags(AudioFile(Path("b\n.wav")), 0.25, scores)])


@pytest.fixture
def tagger(monkeypatch):
    monkeypatch.setattr(Tagger, "window_seconds", 2.0)
    return Tagger("r", "run", "conv2d on mfcc", "multi", CLASSES, "0 to 1", (), None)


def call(tagger, tagged, **options):
    report(tagger, tagged, **{"top": 2, "min_score": 0.0, "hop_seconds": 1.0, "as_json": False,
                              "csv": None, **options})


def test_the_table(tagger, tagged, capsys):
    call(tagger, tagged)
    assert capsys.readouterr().out == """\
r: run, conv2d on mfcc
2 tags; 0 to 1
a.wav  4.0 s
   0.33 ██▋      <script>
   0.10 ▊        Hundegebell_(groß)
  top tag over time, 3 windows of 2 s:
  0.0-2.5 s   0.80 ██████▍  Hundegebell_(groß)
  2.5-4.0 s   0.80 ██████▍  <script>
b\\n.wav  0.2 s
   0.33 ██▋      <script>
   0.10 ▊        Hundegebell_(groß)
"""


def test_a_terminal_without_blocks_and_umlauts(tagger, tagged, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", out := io.TextIOWrapper(raw, "ascii"))
    call(tagger, tagged)
    out.flush()
    assert b"   0.33 ###      <script>\n   0.10 #        Hundegebell_(gro\\xdf)\n" in (
        raw.getvalue())


def test_json_has_the_same_float32s(tagger, tagged, capsys):
    call(tagger, tagged, as_json=True, top=1, min_score=0.75)
    document = json.loads(capsys.readouterr().out)
    first, second = document["files"]
    assert first["scores"] == [0.1, 0.33333334]
    assert np.array_equal(np.array(first["scores"], np.float32), tagged.files[0].scores)
    assert first["tags"] == []
    assert first["timeline"]["stretches"] == [
        {"start": 0.0, "end": 1.5, "tag": CLASSES[0], "score": 0.9},
        {"start": 1.5, "end": 2.5, "tag": None, "score": 0.7},
        {"start": 2.5, "end": 4.0, "tag": CLASSES[1], "score": 0.8},
    ]
    assert first["timeline"]["windows"][2] == {"start": 2.0, "end": 4.0, "scores": [0.1, 0.8]}
    assert second["file"] == "b\n.wav"
    assert second["timeline"] is None
    assert document["problems"] == []


def test_tags_are_printed_even_where_the_csv_cannot_be_written(tagger, tagged, tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        call(tagger, tagged, csv=tmp_path / "file" / "tags.csv")
    assert "a.wav" in capsys.readouterr().out


def test_a_long_time_line_is_cut_and_says_so(tagger, capsys):
    scores = np.tile(np.array([[.9, .1], [.1, .9]], np.float32), (50, 1))
    line = TimeLine(np.arange(100.0), scores)
    call(tagger, Tagged([FileTags(AudioFile(Path("a.wav")), 101.0, scores[0], line)]))
    out = capsys.readouterr().out
    assert "… 40 more until 101.0 s; --json has them all" in out
    assert len(out.splitlines()) == 2 + 3 + 1 + 60 + 1
