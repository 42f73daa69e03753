"""Levels in closed form: tones, silence, clipped tones."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from features.waveform import Waveform
from pipeline.audio.file_header import Header
from pipeline.dataset.tables import Clip
from pipeline.store import open_store, write_store
from pipeline.store.schema import spec_of
from pipeline.survey.levels import clipped_share, measure_levels

SR = 16000


def levels(tmp_path, dtype="int16", sound=None, **clips):
    spec = spec_of(Waveform(sr=SR, dtype=dtype), trim_db=60.0)
    if dtype == "int16":
        clips = {k: np.clip(np.rint(v * 32768), -32768, 32767).astype(np.int16)
                 for k, v in clips.items()}
    else:
        clips = {k: v.astype(np.float32) for k, v in clips.items()}
    store = open_store(write_store(tmp_path / "w.h5", spec, clips, sound=sound))
    return measure_levels(store, [], root=tmp_path, decode=True, jobs=1)


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


@pytest.mark.parametrize("decode", [True, False])
def test_files_of_another_rate_are_decoded(tmp_path, decode):
    # Stored without what lies above 8 kHz: silence and a quiet tone.
    frames = {"high": np.zeros(100, np.int16), "gone": np.full(100, 300, np.int16)}
    spec = spec_of(Waveform(sr=SR, dtype="int16"), trim_db=60.0)
    store = open_store(write_store(tmp_path / "w.h5", spec, frames, sound={"high": (25, 100)}))
    # 12 kHz at 48 kHz has four samples per period: 0, 1, 0, -1 before it is clipped to a square.
    y = np.clip(1.5 * np.sin(2 * np.pi * 12000 * np.arange(48000) / 48000 + 0.7), -1, 1)
    soundfile.write(tmp_path / "high", y, 48000, format="WAV", subtype="PCM_16")
    clips = [Clip(name, name, Header("WAV", "PCM_16", 48000, 1, 48000)) for name in frames]
    found = measure_levels(store, clips, root=tmp_path, decode=decode, jobs=1)
    if decode:
        assert set(found) == {"high"}
        assert found["high"].peak_db == pytest.approx(0, abs=0.001)
        assert found["high"].rms_db == pytest.approx(10 * np.log10(np.mean(y ** 2)), abs=0.001)
        assert found["high"].clipped == pytest.approx(clipped_share([y]))
        assert found["high"].silence == 0.25
    else:
        assert found["high"].rms_db == -np.inf
        assert np.isnan(found["high"].clipped)


@given(st.lists(st.sampled_from([0, 100, 32767, -32768]), max_size=30),
       st.lists(st.integers(0, 30), max_size=4))
def test_blocks_do_not_matter(values, cuts):
    y = np.array(values, np.int16)
    full = np.abs(y.astype(int)) >= 32767
    expected = [full[i] and ((i > 0 and full[i - 1]) or (i + 1 < len(y) and full[i + 1]))
                for i in range(len(y))]
    assert clipped_share(np.split(y, sorted(cuts))) == pytest.approx(np.mean(expected or [0]))
