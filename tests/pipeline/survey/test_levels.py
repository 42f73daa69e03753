"""Levels in closed form: tones, silence, clipped tones."""

import numpy as np
import pytest

from features.waveform import Waveform
from pipeline.store import open_store, write_store
from pipeline.store.schema import spec_of
from pipeline.survey.levels import measure_levels

SR = 16000


def levels(tmp_path, dtype="int16", sound=None, **clips):
    spec = spec_of(Waveform(sr=SR, dtype=dtype), trim_db=60.0)
    if dtype == "int16":
        clips = {k: np.clip(np.rint(v * 32768), -32768, 32767).astype(np.int16)
                 for k, v in clips.items()}
    else:
        clips = {k: v.astype(np.float32) for k, v in clips.items()}
    return measure_levels(open_store(write_store(tmp_path / "w.h5", spec, clips, sound=sound)))


def tone(amplitude, n=SR):
    return amplitude * np.sin(2 * np.pi * 1000 * np.arange(n) / SR)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_sine_has_its_level(tmp_path, dtype):
    level = levels(tmp_path, dtype, y=tone(0.5))["y"]
    assert level.peak_db == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert level.rms_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert level.clipped == 0


def test_digital_silence_has_no_level(tmp_path):
    level = levels(tmp_path, y=np.zeros(100))["y"]
    assert level.rms_db == level.peak_db == -np.inf


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_the_share_of_a_clipped_tone(tmp_path, dtype):
    # 16 samples per period; sin >= 1/2 in five of each half, so at twice full scale these are flat.
    level = levels(tmp_path, dtype, y=np.clip(tone(2 + 1e-6), -1, 1))["y"]
    assert level.clipped == pytest.approx(10 / 16)


def test_single_samples_at_full_scale_are_not_clipped(tmp_path):
    y = tone(0.5)
    y[[100, 300]] = 1, -1
    level = levels(tmp_path, y=y)["y"]
    assert level.clipped == 0
    assert level.peak_db == pytest.approx(0, abs=0.001)


def test_silence_is_what_lies_outside_of_the_sound(tmp_path):
    level = levels(tmp_path, y=tone(0.1), sound={"y": (4000, 8000)})["y"]
    assert level.silence == 0.75
