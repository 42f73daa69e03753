"""The declaration of a feature: what the contract check sees, and one feature from end to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import soundfile
import yaml
from annotated_types import Ge

import features
from features.base import Feature, Map, check_feature, settings_of
from features.delta import Delta
from features.logmel import LogMel
from features.mfcc import Mfcc
from features.pcen import Pcen
from features.waveform import Waveform
from pipeline.batching.batches import cut
from pipeline.batching.crops import covering_crops
from pipeline.batching.source import open_source
from pipeline.store import open_store

PARAMS = Path(__file__).parents[2] / "params.yaml"


# --8<-- a feature of one's own, in less than thirty lines
class Blocks:
    """Mean square of each block of samples, the last one filled up with zeros."""

    def __init__(self, size):
        self.size, self.pending = size, np.zeros(0, np.float32)

    def push(self, y, *, last):
        y = np.concatenate([self.pending, y])
        if last:
            y = np.pad(y, (0, -len(y) % self.size))
        n = len(y) // self.size * self.size
        self.pending = y[n:]
        return (y[:n].reshape(-1, self.size) ** 2).mean(axis=1, keepdims=True)


@dataclass(frozen=True)
class Energy(Feature):
    """Mean square of each block."""

    sr: Annotated[int, Ge(1)] = 44100
    hop_length: Annotated[int, Ge(1)] = 512
    dtype: Literal["float32", "float16"] = "float32"

    kind, version, units, width = "energy", 1, "full scale squared", 1

    def n_frames(self, n_samples):
        return -(-n_samples // self.hop_length)

    def stream(self, loudest):
        return Blocks(self.hop_length)

    def silent_frame(self, frames):
        return np.zeros(1, np.float32)
# --8<--


@pytest.mark.parametrize("feature", [
    Waveform(), LogMel(), Mfcc(), Pcen(), Delta(), Energy(), LogMel(n_fft=1000, hop_length=300),
    LogMel(n_fft=333, hop_length=100, n_mels=20), Mfcc(top_db=None), LogMel(dtype="float16"),
], ids=lambda f: f.kind)
def test_the_declarations_are_sound(feature):
    check_feature(feature)


class Changed:
    """Another stream's frames, spoilt."""

    def __init__(self, stream, change):
        self.stream, self.change = stream, change

    def push(self, y, *, last):
        return self.change(self.stream.push(y, last=last))


@dataclass(frozen=True)
class OneTooFew(Energy):
    def n_frames(self, n_samples):
        return max(1, n_samples // self.hop_length)


@dataclass(frozen=True)
class Doubles(Energy):
    def stream(self, loudest):
        blocks = Blocks(self.hop_length)
        return Changed(blocks, lambda frames: frames.astype(np.float64))


@dataclass(frozen=True)
class Forgetful(Energy):
    def stream(self, loudest):
        def one_block_each(y):
            return np.full((self.n_frames(len(y)), 1), y.mean() if len(y) else 0, np.float32)
        return Map(one_block_each)


@dataclass(frozen=True)
class NotANumber(Energy):
    def stream(self, loudest):
        blocks = Blocks(self.hop_length)
        return Changed(blocks, lambda frames: frames * np.float32(np.nan))


@dataclass(frozen=True)
class LoudSilence(Energy):
    def silent_frame(self, frames):
        return np.ones(1, np.float32)


@pytest.mark.parametrize(("feature", "message"), [
    (OneTooFew(), r"give frames of shape \(2, 1\); n_frames and width promise \(1, 1\)"),
    (Doubles(), "frames are float64; they must be float32"),
    (Forgetful(), "give other frames than uncut ones"),
    (NotANumber(), "NaN or infinity"),
    (LoudSilence(), "silent_frame is off by 1 full scale squared"),
])
def test_a_promise_that_is_broken_is_seen(feature, message):
    with pytest.raises(AssertionError, match=message):
        check_feature(feature)


@pytest.mark.parametrize("feature", [
    Waveform(), LogMel(n_mels=40), Mfcc(fmax=8000.0), Pcen(), Delta(Mfcc(n_mfcc=13), order=1),
], ids=lambda f: f.kind)
def test_a_feature_is_made_again_from_its_configuration(feature):
    made = features.make_feature(feature.kind, dtype=feature.dtype, **settings_of(feature.config))
    assert made == feature


@pytest.mark.parametrize(("kind", "settings", "message"), [
    ("logmal", {}, "kind is 'logmal'; did you mean logmel?"),
    ("chroma", {}, "kind is 'chroma'; known: waveform, mfcc, logmel, delta, pcen"),
    ("logmel", {"n_mel": 3}, "logmel: no setting n_mel; known: sr, n_fft, hop_length, n_mels"),
    ("logmel", {"n_fft": 2048.0}, "logmel: n_fft is 2048.0: needs a whole number, at least 1"),
    ("logmel", {"n_mels": "64"}, "logmel: n_mels is '64': needs a whole number, at least 1"),
    ("logmel", {"dtype": "int16"}, "dtype is 'int16': needs one of float32, float16"),
    ("logmel", {"top_db": float("inf")}, "top_db is inf: needs a number or null"),
    ("mfcc", {"n_mfcc": True}, "n_mfcc is True: needs a whole number, at least 1"),
])
def test_settings_that_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        features.make_feature(kind, **settings)


@pytest.fixture
def energy(monkeypatch, tmp_path):
    """A project that has the feature: one line in the table, one in params.yaml."""
    monkeypatch.setitem(features.FEATURES, "energy", Energy)
    params = yaml.safe_load(PARAMS.read_text())
    params["features"] = {"loudness": {"kind": "energy", "hop_length": 256}}
    params["runs"] = {"loudness": {"features": "loudness", "model": "dummy2d"}}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def test_a_feature_of_ones_own_goes_all_the_way(energy, data_set, tmp_path, call_stage):
    """Extract, inspect with its plot, a crop with padding, a training."""
    data = data_set.fill(8).table()

    def run(stage, *flags):
        ended = call_stage(stage, *flags, "--params", energy)
        assert ended.code == 0, ended.err
        return ended.out

    prepared, stores = tmp_path / "prepared", tmp_path / "stores"
    run("prepare", "--data", data.root, "--out", prepared, "--folds", 2)
    run("extract", "--data", prepared, "--out", stores, "--features", "loudness", "--jobs", 1)
    store = open_store(stores / "loudness.h5")
    clip = next(iter(store))
    y, sr = soundfile.read(data.audio / clip, dtype="float32")
    np.testing.assert_array_equal(store[clip], Energy(sr=sr, hop_length=256)(y))

    shown = run("inspect", stores / "loudness.h5", "--verify", "--clip", clip, "--plot",
                tmp_path / "clip.png")
    assert "full scale squared" in shown
    assert (tmp_path / "clip.png").stat().st_size > 1000

    n = store.spec.declaration.n_frames(sr)
    source = open_source(store, [clip], n_frames=n, pad="silence", budget=1 << 30)
    (crop,) = cut(source, covering_crops(source.length, np.array([0]), n))
    assert crop.shape == (n, 1)
    assert (crop[-1] == 0).all()

    pytest.importorskip("tensorflow")
    said = run("train", "--run", "loudness", "--data", prepared, "--stores", stores,
               "--runs-dir", tmp_path / "runs", "--epochs", 1, "--fold", 0, "--jobs", 1)
    assert "out-of-fold lwlrap" in said


def test_every_kind_is_named_by_its_class():
    for kind in features.FEATURES:
        assert features.feature_class(kind).kind == kind


def test_frames_know_their_time():
    assert LogMel().seconds_per_frame == pytest.approx(512 / 44100)
    assert Waveform(sr=16000).seconds_per_frame == pytest.approx(1 / 16000)
    assert Delta(LogMel(hop_length=441)).seconds_per_frame == pytest.approx(0.01)
    assert len(LogMel(n_mels=40).axis.hz) == 40
