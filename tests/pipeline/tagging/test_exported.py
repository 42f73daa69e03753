"""Exported models as taggers, by a made-up model that keeps the contract."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.tagging import exported
from pipeline.tagging.audio_files import find_audio
from pipeline.tagging.documents import json_document
from pipeline.tagging.tag_files import tag_files


@dataclass
class Levels:
    """Scores: the mean and the greatest absolute sample, and whether there are as many as said."""

    name: str = "levels"
    format: str = "onnx"
    classes: tuple = ("Mean", "Peak")
    sr: int = 16000
    seconds: float = 0.5
    label_mode: str = "multi"
    lengths: list = field(default_factory=list)

    def scores(self, y):
        assert y.dtype == np.float32
        assert y.ndim == 1
        self.lengths.append(len(y))
        y = np.abs(y)
        return np.array([y.mean(), y.max()], np.float32)


@pytest.fixture
def file(tmp_path, tone):
    """4 s at the model's rate; the second one is loud."""
    y = 0.1 * tone(4.0, sr=16000)
    y[16000:32000] *= 10
    path = tmp_path / "x.wav"
    soundfile.write(path, y, 16000, "FLOAT")
    return path, y


def tagged(model, path, **options):
    tagger = exported.tagger_of(model, Path("model.onnx"))
    options = {"timeline": "auto", "hop_seconds": 0.5, "jobs": 1, **options}
    result = tag_files(tagger, find_audio([path]).files, **options)
    assert result.problems == []
    return tagger, result


def test_the_model_is_given_the_whole_file_and_then_its_windows(file):
    path, y = file
    model = Levels()
    tagger, result = tagged(model, path)
    assert model.lengths == [64000, *[8000] * 8]
    np.testing.assert_allclose(result.files[0].scores, [np.abs(y).mean(), np.abs(y).max()])
    expected = [np.abs(part).max() for part in np.split(y, 8)]
    np.testing.assert_allclose(result.files[0].timeline.scores[:, 1], expected)
    document = json_document(tagger, result, top=1, min_score=0, hop_seconds=0.5)
    assert document["model"]["kind"] == "exported model"
    assert document["model"]["about"] == "onnx in model.onnx"
    json.dumps(document)


def test_other_rates_are_resampled_to_the_models(file):
    path, _ = file
    model = Levels(sr=8000)
    tagged(model, path, timeline="never")
    assert model.lengths == [32000]


def test_a_long_file_is_scored_in_equal_pieces(file, monkeypatch):
    path, y = file
    monkeypatch.setattr(exported, "PIECE_SECONDS", 3.0)
    model = Levels()
    _, result = tagged(model, path, timeline="never")
    assert model.lengths == [48000, 48000]
    peaks = [np.abs(y[:48000]).max(), np.abs(y[16000:]).max()]
    assert result.files[0].scores[1] == pytest.approx(np.mean(peaks))
