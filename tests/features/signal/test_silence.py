"""The bounds of the sound in a clip against librosa's, and against what can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from features.signal.silence import FRAME_LENGTH, HOP_LENGTH, SilenceStream, trim

CLIPS = sorted((Path(__file__).parents[4] / "shared/data/esc10/audio").glob("*.ogg"))
REAL = [
    pytest.param(path, id=path.stem, marks=[] if i % 10 == 0 else pytest.mark.slow)
    for i, path in enumerate(CLIPS)
]


def borderline(y, trim_db):
    """Whether a frame is so near the threshold that rounding decides.

    librosa sums 2048 squares in float32, one after the other: an error of up to 2048 units in the
    last place, 5e-4 dB. The power's floor is not affected.
    """
    rms = librosa.feature.rms(y=y.astype(np.float64), dtype=np.float64)
    db = librosa.amplitude_to_db(rms, ref=np.max, top_db=None)
    return bool((np.abs(db + trim_db) < 1e-3).any())


def expected(y, trim_db):
    return tuple(int(i) for i in librosa.effects.trim(y, top_db=trim_db)[1])


@st.composite
def clips(draw):
    """Sections of noise and tones at levels down to -110 dB, and of digital silence."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        n = draw(st.integers(1, 8000))
        db = draw(st.none() | st.floats(-110, 0) | st.sampled_from((0.0, -20.0, -59.0, -61.0)))
        if db is None:
            parts.append(np.zeros(n))
        elif draw(st.booleans()):
            parts.append(10 ** (db / 20) * rng.standard_normal(n))
        else:
            parts.append(10 ** (db / 20) * np.sin(draw(st.floats(0.001, 3)) * np.arange(n)))
    peak = 10 ** draw(st.floats(-4, 1))
    return (peak * np.concatenate(parts)).astype(np.float32)


@pytest.mark.parametrize("path", REAL)
def test_real_clips_are_cut_where_librosa_cuts_them(path):
    y, _ = soundfile.read(path, dtype="float32")
    for trim_db in (60.0, 30.0, 15.0):
        if not borderline(y, trim_db):
            assert trim(y, trim_db) == expected(y, trim_db)


@pytest.mark.skipif(not CLIPS, reason="the field recordings are not here")
def test_the_real_clips_have_silence_to_cut():
    bounds = [(*trim(y, 30.0), len(y)) for y in (
        soundfile.read(path, dtype="float32")[0] for path in CLIPS[::10]
    )]
    assert any(first > 0 for first, _, _ in bounds)
    assert any(last < n for _, last, n in bounds)


@settings(max_examples=300, deadline=None)
@given(y=clips(), trim_db=st.sampled_from((60.0, 20.0, 3.0)) | st.floats(0.1, 120))
def test_contrived_clips_are_cut_where_librosa_cuts_them(y, trim_db):
    assume(not borderline(y, trim_db))
    assert trim(y, trim_db) == expected(y, trim_db)


@settings(max_examples=200, deadline=None)
@given(y=clips(), data=st.data())
def test_how_samples_are_cut_into_pieces_does_not_matter(y, data):
    stream = SilenceStream()
    for piece in np.split(y, sorted(data.draw(st.lists(st.integers(0, len(y)), max_size=8)))):
        stream.push(piece)
    assert stream.bounds(60.0) == trim(y)


def test_pieces_of_one_sample():
    y = np.concatenate([np.zeros(3000), np.ones(2000), np.zeros(3000)]).astype(np.float32)
    stream = SilenceStream()
    for sample in y:
        stream.push(np.array([sample]))
    assert stream.bounds(60.0) == trim(y)


@pytest.mark.parametrize("n", [1, 511, 512, 513, 2048, 10_000])
def test_a_clip_of_digital_silence_is_kept_whole(n):
    """No frame is quieter than the loudest; librosa keeps it too."""
    y = np.zeros(n, np.float32)
    assert trim(y) == expected(y, 60.0)
    assert trim(y) == (0, n)


@pytest.mark.parametrize("n", [1, 700, 2048, 10_000])
def test_a_clip_without_silence_is_kept_whole(n):
    assert trim(np.full(n, 0.5, np.float32)) == (0, n)


def test_sound_in_the_middle():
    y = np.zeros(40 * HOP_LENGTH, np.float32)
    y[16 * HOP_LENGTH:24 * HOP_LENGTH] = 0.5
    # A centred frame reaches two hops to each side: frames 15 to 25 hear something.
    reach = FRAME_LENGTH // 2 // HOP_LENGTH
    assert trim(y) == ((16 - reach + 1) * HOP_LENGTH, (24 + reach) * HOP_LENGTH)


@pytest.mark.parametrize(("db", "kept"), [(-39.998, True), (-40.002, False)])
def test_the_threshold_is_below_the_loudest_frame(db, kept):
    y = np.full(100 * HOP_LENGTH, 10 ** (db / 20), np.float32)
    y[40 * HOP_LENGTH:60 * HOP_LENGTH] = 1
    # Half of the first frame is before the clip: it is always quieter.
    first, last = trim(y, 40.0)
    if kept:
        assert (first, last) == (2 * HOP_LENGTH, len(y) - HOP_LENGTH)
    else:
        assert 36 * HOP_LENGTH < first < 40 * HOP_LENGTH
        assert 60 * HOP_LENGTH < last < 64 * HOP_LENGTH


def test_sound_below_minus_100_db_is_as_silent_as_nothing():
    y = np.concatenate([np.zeros(20_000), np.full(20_000, 1e-6)]).astype(np.float32)
    assert trim(y, 3.0) == expected(y, 3.0) == (0, 40_000)
    # Above it, quiet counts: -94 dB is 14 dB less than -80 dB (and 17 where half a frame is empty).
    y = np.concatenate([np.full(20_000, 2e-5), np.full(20_000, 1e-4)]).astype(np.float32)
    assert trim(y, 18.0) == expected(y, 18.0) == (0, 40_000)
    assert trim(y, 12.0) == expected(y, 12.0)
    assert trim(y, 12.0)[0] > 15_000
