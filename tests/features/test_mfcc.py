"""The DCT behind the MFCC, and coefficients whose values follow from theory."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from features.logmel import LogMel
from features.mfcc import Mfcc, dct_basis


@given(n=st.integers(1, 300), data=st.data())
def test_the_basis_is_orthonormal(n, data):
    k = data.draw(st.integers(1, n))
    basis = dct_basis(n, k)
    assert basis.shape == (n, k)
    np.testing.assert_allclose(basis.T @ basis, np.eye(k), atol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(128, 40), (40, 40), (13, 1)])
def test_the_basis_is_scipys(n, k):
    expected = scipy.fft.dct(np.eye(n), type=2, norm="ortho", axis=1)[:, :k]
    np.testing.assert_allclose(dct_basis(n, k), expected, atol=1e-12)


def test_of_a_constant_log_mel_only_the_level_is_left():
    f, level = Mfcc(n_mels=64, n_mfcc=20), -37.5
    coefficients = f.stream(None).push(np.full((3, 64), level, np.float32), last=True)
    # A constant's 0th coefficient is sqrt(n) times it.
    np.testing.assert_allclose(coefficients[:, 0], level * 8, rtol=1e-6)
    np.testing.assert_allclose(coefficients[:, 1:], 0, atol=1e-4)


def test_of_a_cosine_over_the_bands_one_coefficient_is_left():
    f = Mfcc(n_mels=64, n_mfcc=20)
    log_mel = 10 * np.cos(np.pi / 64 * (np.arange(64) + 0.5) * 7).astype(np.float32)
    expected = np.zeros(20)
    expected[7] = 10 * np.sqrt(64 / 2)
    (found,) = f.stream(None).push(log_mel[None], last=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("top_db", [80.0, None])
def test_silence_is_minus_100_db_in_every_band(top_db):
    f = Mfcc(top_db=top_db)
    frames = f(np.zeros(10_000))
    assert frames.shape == (f.n_frames(10_000), 40)
    # The level is -100 sqrt(128); float32 has a spacing of 1.2e-4 there.
    np.testing.assert_allclose(frames[:, 0], -100 * np.sqrt(128), atol=3e-4)
    np.testing.assert_allclose(frames[:, 1:], 0, atol=3e-4)


@pytest.mark.parametrize("top_db", [80.0, 30.0, None])
def test_all_coefficients_hold_what_the_log_mel_frames_hold(top_db):
    """With as many coefficients as bands the DCT can be undone."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal(20_000) * np.linspace(0, 0.5, 20_000) ** 4
    common = {"sr": 16000, "n_fft": 1024, "hop_length": 256, "n_mels": 40, "top_db": top_db}
    frames = Mfcc(n_mfcc=40, **common)(y)
    np.testing.assert_allclose(frames @ dct_basis(40, 40).T, LogMel(**common)(y), atol=1e-3)


def test_fewer_coefficients_are_the_first_ones():
    y = np.random.default_rng(1).standard_normal(20_000)
    np.testing.assert_allclose(Mfcc(n_mfcc=13)(y), Mfcc(n_mfcc=40)(y)[:, :13], atol=1e-4)


def test_the_spectrogram_is_shared_with_log_mel():
    assert Mfcc().front_end == LogMel().front_end
    assert Mfcc(n_mfcc=13).front_end == Mfcc(n_mfcc=40).front_end
    assert Mfcc(top_db=None).front_end == LogMel().front_end  # clipping comes after it
    assert Mfcc(n_mels=64).front_end != LogMel().front_end
