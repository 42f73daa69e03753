"""Mel power in a float32 graph, held against exact arithmetic and against the extractor."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.kernels.reference import ReferenceMelPower
from features.signal.mel_filters import mel_filters
from features.signal.melspectrogram import Mel, hann_window
from pipeline.exporting.mel_graph import MelPower, factors, product

SR = 44100
MEL = Mel(SR, 2048, 512, 128, 0.0, SR / 2)


def decibels(power):
    return 10 * np.log10(np.maximum(power, 1e-10))


def reference(mel, y):
    """In float64, by SciPy's transform."""
    filters = mel_filters(mel.sr, mel.n_fft, mel.n_mels, mel.fmin, mel.fmax)
    power = ReferenceMelPower(hann_window(mel.n_fft), mel.hop_length, filters)
    return power(y, -(mel.n_fft // 2), mel.n_frames(len(y)))


def graph(mel, n_slices):
    """As a function that TensorFlow optimizes, which is what is exported."""
    return tf.function(MelPower(mel, n_slices), input_signature=[tf.TensorSpec([None], tf.float32)],
                       autograph=False)


@pytest.mark.parametrize(("n", "a", "b"), [(2048, 32, 64), (2560, 32, 80), (1103, 1103, 1),
                                           (400, 16, 25), (1, 1, 1)])
def test_factors(n, a, b):
    assert factors(n) == (a, b)


@pytest.mark.parametrize("n_slices", [2, 3])
@pytest.mark.parametrize("k", [32, 128, 1103])
def test_all_but_the_last_part_of_a_product_is_exact(n_slices, k):
    rng = np.random.default_rng(0)
    matrix = rng.uniform(-1, 1, (k, 40))
    x = (rng.standard_normal((10, k)) * np.geomspace(1e-6, 1, k)).astype(np.float32)
    table = product(matrix, n_slices)
    np.testing.assert_allclose(sum(s.astype(np.float64) for s in table.slices), matrix, atol=1e-9)
    cut = [part.numpy().astype(np.float64) for part in table._cut([tf.constant(x)], axes=[1])]
    np.testing.assert_array_equal(sum(cut), x)
    found = table.parts([tf.constant(x)], axes=[1])
    for order in range(n_slices - 1):
        expected = sum(cut[i] @ table.slices[order - i] for i in range(order + 1))
        np.testing.assert_array_equal(found[order].numpy(), expected)
    exact = x.astype(np.float64) @ matrix
    error = np.abs(table.total([tf.constant(x)], axes=[1]).numpy() - exact)
    plain = np.abs(x @ matrix.astype(np.float32) - exact)
    rounding = np.abs(exact) * 2.0 ** -24
    assert (error <= 2 * rounding + plain.max() / (4 if n_slices == 2 else 100)).all()


@pytest.mark.parametrize(("n_slices", "range_db"), [(2, 80), (3, 120)])
@pytest.mark.parametrize("mel", [
    MEL, Mel(SR, 2560, 690, 128, 0.0, SR / 2), Mel(16000, 400, 160, 40, 0.0, 8000.0),
    pytest.param(Mel(8000, 1103, 441, 32, 20.0, 4000.0), marks=pytest.mark.slow),
    Mel(8000, 255, 255, 16, 0.0, 3000.0),
], ids=["2048", "2560", "400", "1103", "255"])
def test_bands_far_below_the_loudest_are_within_a_thousandth_of_a_decibel(
    mel, n_slices, range_db, sounds
):
    power = graph(mel, n_slices)
    for name, y in sounds(mel.sr, 0.5).items():
        expected = decibels(reference(mel, y))
        floor = expected.max() - range_db
        off = np.maximum(decibels(power(y).numpy()), floor) - np.maximum(expected, floor)
        assert np.abs(off).max() <= (1e-3 if mel.n_fft == 1103 else 2e-4), name


@settings(max_examples=30)
@given(st.integers(1, 3000), st.integers(0, 10))
def test_clips_of_any_length(n, seed):
    y = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    mel = SHORT._mel
    found = SHORT_GRAPH(y).numpy()
    assert found.shape == (mel.n_frames(n), mel.n_mels)
    np.testing.assert_allclose(decibels(found), decibels(reference(mel, y)), atol=1e-4)


SHORT = MelPower(Mel(8000, 96, 40, 8, 0.0, 4000.0), 2)
SHORT_GRAPH = tf.function(SHORT, input_signature=[tf.TensorSpec([None], tf.float32)],
                       autograph=False)


def test_frames_of_one_block_and_of_several_are_the_same(sounds):
    y = sounds(8000, 3.0)["noise"]  # 601 frames
    found = SHORT_GRAPH(y).numpy()
    assert len(found) > 2 * 256
    np.testing.assert_allclose(found, reference(SHORT._mel, y), rtol=1e-5)
