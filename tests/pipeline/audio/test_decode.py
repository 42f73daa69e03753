"""Decoding, downmixing and resampling against soundfile, soxr and librosa."""

from __future__ import annotations

import math
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import librosa
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import decode as audio
from pipeline.audio.decode import DecodeError, Resampler
from pipeline.audio.file_header import Header

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)


def write(path, y, sr=16000, **options):
    soundfile.write(path, y, sr, **options)
    return path


def decode(path):
    with audio.opened(path) as (header, blocks):
        return header, [audio.as_float32(block) for block in blocks]


@pytest.fixture
def noise():
    return np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)


def test_pcm16_is_scaled_by_its_full_scale(tmp_path):
    pcm = np.array([0, 1, -1, 32767, -32768, 12345], np.int16)
    header, blocks = decode(write(tmp_path / "a.wav", pcm))
    assert header == Header("WAV", "PCM_16", 16000, 1, 6)
    y = np.concatenate(blocks)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, pcm / 32768)  # exact: a power of two


@pytest.mark.parametrize(("channels", "subtype", "dtype"), [
    (1, "PCM_16", np.int16), (1, "PCM_24", np.float32), (2, "PCM_16", np.float32),
])
def test_mono_pcm16_is_left_as_it_is(tmp_path, noise, channels, subtype, dtype):
    path = write(tmp_path / "a.wav", np.stack([noise] * channels, axis=1), subtype=subtype)
    with audio.opened(path) as (_, blocks):
        assert [block.dtype for block in blocks] == [dtype]


def test_integers_pass_their_own_rate_and_are_scaled_for_another():
    pcm = np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.int16)
    np.testing.assert_array_equal(Resampler(16000, 16000, 1000).push(pcm, last=True), pcm)
    expected = Resampler(16000, 8000, 500).push(audio.as_float32(pcm), last=True)
    got = Resampler(16000, 8000, 500).push(pcm, last=True)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("name", "subtype"), [
    ("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "PCM_32"), ("a.wav", "PCM_U8"),
    ("a.wav", "FLOAT"), ("a.wav", "DOUBLE"), ("a.wav", "ULAW"), ("a.flac", "PCM_16"),
    ("a.flac", "PCM_24"), ("a.ogg", "VORBIS"), ("a.aiff", "PCM_16"),
])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_decoded_as_soundfile_decodes_it_and_channels_averaged(
    tmp_path, noise, name, subtype, channels
):
    many = np.stack([noise * (i + 1) / channels for i in range(channels)], axis=1)
    path = write(tmp_path / name, many, subtype=subtype)
    header, blocks = decode(path)
    assert (header.subtype, header.channels, header.frames) == (subtype, channels, 5000)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0]
    y = np.concatenate(blocks)
    assert y.dtype == np.float32
    assert y.shape == (5000,)
    np.testing.assert_allclose(y, expected.mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(y, librosa.load(path, sr=None)[0], atol=1e-7)


@pytest.mark.parametrize(("channels", "subtype"), [(1, "PCM_16"), (1, "FLOAT"), (2, "PCM_16")])
def test_a_long_file_comes_in_blocks_that_lose_nothing(tmp_path, monkeypatch, channels, subtype):
    monkeypatch.setattr(audio, "BLOCK", 1000)
    y = np.random.default_rng(1).uniform(-1, 1, (4321, channels))
    path = write(tmp_path / "a.wav", y, subtype=subtype)
    _, blocks = decode(path)
    # BLOCK counts values, not frames: memory is what it bounds.
    n = 1000 // channels
    assert [len(block) for block in blocks] == [n] * (4321 // n) + [4321 % n]
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-7)


def test_blocks_of_a_low_rate_stay_small_once_resampled(tmp_path):
    """Or 17 minutes at 1 kHz would be 3 GB at 768 kHz."""
    path = tmp_path / "slow.wav"
    soundfile.write(path, np.zeros(60_000, np.float32), 1000)
    with audio.opened(path) as (_, blocks):
        assert [len(block) for block in blocks] == [24_000, 24_000, 12_000]


def test_floats_beyond_full_scale_are_kept(tmp_path):
    y = np.array([0.5, -3.25, 100.0], np.float32)
    np.testing.assert_array_equal(
        np.concatenate(decode(write(tmp_path / "a.wav", y, subtype="FLOAT"))[1]), y
    )


def test_the_header_is_read_alone(tmp_path, noise):
    path = write(tmp_path / "a.flac", np.stack([noise, noise], axis=1), 48000)
    assert audio.read_header(path) == Header("FLAC", "PCM_16", 48000, 2, 5000)


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.flac", "a.mp3"])
def test_frames_are_counted_by_decoding(tmp_path, monkeypatch, noise, name):
    monkeypatch.setattr(audio, "BLOCK", 999)
    path = write(tmp_path / name, noise, 44100)
    assert audio.count_frames(path) == len(soundfile.read(path)[0])


def test_no_samples_are_no_blocks(tmp_path):
    header, blocks = decode(write(tmp_path / "a.wav", np.zeros(0)))
    assert (header.frames, blocks) == (0, [])
    assert audio.count_frames(tmp_path / "a.wav") == 0


def garbage(tmp_path):
    path = tmp_path / "text.wav"
    path.write_text("this is no audio\n" * 50)
    return path


def empty(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    return path


def missing(tmp_path):
    return tmp_path / "missing.wav"


def folder(tmp_path):
    path = tmp_path / "folder.wav"
    path.mkdir()
    return path


@pytest.mark.parametrize(("make", "reason"), [
    (garbage, "Format not recognised"), (empty, "Format not recognised"),
    (folder, "Format not recognised"), (missing, "System error"),
])
@pytest.mark.parametrize("read", [audio.read_header, audio.count_frames, decode])
def test_what_is_no_audio_is_a_decode_error_with_a_reason(tmp_path, make, reason, read):
    # libsndfile's own words, without the full stop that would end up within a sentence.
    with pytest.raises(DecodeError, match=f"^{reason}$"):
        read(make(tmp_path))


def test_a_file_that_breaks_off_is_a_decode_error(tmp_path, noise):
    path = write(tmp_path / "a.flac", noise)
    path.write_bytes(path.read_bytes()[:4000])
    assert audio.read_header(path).frames == 5000  # the header cannot know
    for read in (decode, audio.count_frames):
        with pytest.raises(DecodeError, match="lost sync"):
            read(path)


@given(st.integers(1, 10**7), st.sampled_from(RATES) | st.integers(1000, 768_000),
       st.sampled_from(RATES) | st.integers(1000, 768_000))
def test_the_length_at_another_rate(n, source, sr):
    length = Header("WAV", "PCM_16", source, 1, n).length_at(sr)
    # The expression in librosa.resample, whose product in floating point may overshoot.
    assert length == int(np.ceil(n * (float(sr) / source)))
    assert length - math.ceil(Fraction(n * sr, source)) in (0, 1)


def resample(y, source, sr, cuts=()):
    length = Header("WAV", "PCM_16", source, 1, len(y)).length_at(sr)
    resampler, pieces = Resampler(source, sr, length), np.split(y, sorted(cuts))
    out = [resampler.push(p, last=i == len(pieces) - 1) for i, p in enumerate(pieces)]
    return np.concatenate(out)


@settings(max_examples=150, deadline=None)
@given(
    source=st.sampled_from(RATES) | st.integers(4000, 192_000), sr=st.sampled_from(RATES),
    n=st.integers(1, 20_000), seed=st.integers(0, 9), data=st.data(),
)
def test_resampled_in_pieces_as_in_one(source, sr, n, seed, data):
    y = np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)
    got = resample(y, source, sr, data.draw(st.lists(st.integers(0, n), max_size=6)))
    assert got.dtype == np.float32
    whole = soxr.resample(y, source, sr, quality="HQ")
    # libsoxr may end short of that length; librosa appends zeros there, and so do we.
    assert 0 <= len(got) - len(whole) <= 2
    np.testing.assert_allclose(got[:len(whole)], whole, atol=1e-6)
    assert not got[len(whole):].any()


@settings(max_examples=100, deadline=None)
@given(source=st.sampled_from(RATES), sr=st.sampled_from(RATES), n=st.integers(1, 20_000))
def test_resampled_as_librosa_does_it(source, sr, n):
    y = np.random.default_rng(n).uniform(-1, 1, n).astype(np.float32)
    got, expected = resample(y, source, sr), librosa.resample(y, orig_sr=source, target_sr=sr)
    assert len(got) == len(expected)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_tone_keeps_its_frequency_and_level():
    y = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100).astype(np.float32)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(resample(y, 44100, 16000)[200:-200], expected[200:-200], atol=1e-4)


def test_a_tone_above_half_the_new_rate_is_gone():
    y = np.sin(2 * np.pi * 12_000 * np.arange(44100) / 44100).astype(np.float32)
    assert np.abs(resample(y, 44100, 16000)[200:-200]).max() < 1e-4


@given(st.lists(st.integers(0, 1000), max_size=5))
def test_at_its_own_rate_audio_passes_as_it_is(cuts):
    y = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    np.testing.assert_array_equal(resample(y, 16000, 16000, cuts), y)


@pytest.mark.parametrize(("length", "kept"), [(90, 90), (110, 100)])
def test_the_length_is_the_one_that_was_promised(length, kept):
    y = np.ones(100, np.float32)
    out = Resampler(16000, 16000, length).push(y, last=True)
    assert len(out) == length
    assert out.sum() == kept


def test_pcm16_is_written_to_the_nearest_step(tmp_path):
    y = np.array([0, 1, -1, 0.4 / 32768, 0.6 / 32768, -0.6 / 32768, 0.5])
    audio.write_pcm16(tmp_path / "a.wav", y, 22050)
    pcm, sr = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert sr == 22050
    assert pcm.tolist() == [0, 32767, -32768, 0, 1, -1, 16384]


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_what_was_written_is_read_back(tmp_path_factory, pcm):
    path = tmp_path_factory.mktemp("pcm") / "a.wav"
    audio.write_pcm16(path, np.array(pcm) / 32768, 16000)
    np.testing.assert_array_equal(np.concatenate(decode(path)[1]) * 32768, pcm)


@pytest.mark.parametrize("y", [[0, 1.001], [-1.001, 0], [0, np.nan], [np.inf]])
def test_what_16_bits_cannot_hold_is_not_written(tmp_path, y):
    with pytest.raises(ValueError, match=r"a.wav: samples must lie in \[-1, 1\], the peak is "):
        audio.write_pcm16(tmp_path / "a.wav", np.array(y), 16000)
    assert not (tmp_path / "a.wav").exists()


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        audio.write_pcm16(tmp_path / "no" / "a.wav", np.zeros(1), 16000)
    assert caught.value.filename == str(tmp_path / "no" / "a.wav")


# ---- messages of libmpg123


@pytest.fixture
def cut_mp3(tmp_path, noise):
    """An MP3 file whose second half is missing; libmpg123 warns of it."""
    path = write(tmp_path / "cut.mp3", np.tile(noise, 10), format="MP3")
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    return path


def read_all(path):
    with audio.opened(path) as (_, blocks):
        return sum(map(len, blocks))


@pytest.mark.parametrize("read", [audio.read_header, audio.count_frames, read_all])
def test_messages_of_libmpg123_name_the_file(cut_mp3, capfd, read):
    read(cut_mp3)
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith(f"{cut_mp3}: Warning: ") for line in lines)
    print("still there", file=sys.stderr)
    assert capfd.readouterr().err == "still there\n"


def test_messages_name_their_own_file_in_threads(cut_mp3, tmp_path, capfd):
    paths = [shutil.copy(cut_mp3, tmp_path / f"{i}.mp3") for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(audio.count_frames, paths))
    said = sorted(line.partition(": ")[0] for line in capfd.readouterr().err.splitlines())
    assert said == sorted(map(str, paths))


def test_what_others_write_meanwhile_passes_unchanged(tmp_path, capfd):
    with audio.mpg123_named(tmp_path / "a.mp3"):
        os.write(2, b"  12/100 clips\nWarning: of libmpg123\n")
    assert capfd.readouterr().err == (
        f"  12/100 clips\n{tmp_path / 'a.mp3'}: Warning: of libmpg123\n")


def test_other_formats_leave_stderr_alone(tmp_path, capfd):
    with audio.mpg123_named(tmp_path / "a.wav"):
        os.write(2, b"Warning: x\n")
        assert capfd.readouterr().err == "Warning: x\n"  # at once
