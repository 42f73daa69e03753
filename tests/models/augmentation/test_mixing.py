"""Mixtures of two crops, and their targets."""

from __future__ import annotations

import numpy as np
import pytest

from models.augmentation.base import FULL_SCALE
from models.augmentation.mixing import (
    Concatenation,
    Extrapolation,
    Mixup,
    SamplePairing,
    SpecMix,
)

# Sums and logarithms in float32, of numbers of up to 100.
CLOSE = {"rtol": 1e-5, "atol": 2e-4}


def constant_batch(levels, unit="dB"):
    """Crops of one value each, all with a class of their own; the last half is noisy."""
    n = len(levels)
    shape = (n, 30) if unit == FULL_SCALE else (n, 30, 12)
    features = np.broadcast_to(np.reshape(levels, (n,) + (1,) * (len(shape) - 1)), shape)
    return {
        "features": features.astype(np.float32), "targets": np.eye(n, dtype=np.float32),
        "noisy": (np.arange(n) >= n / 2).astype(np.float32),
    }


def partner_of(result, batch):
    """The other class of every crop, where classes are the crops' indices."""
    others = result["targets"] * (1 - batch["targets"])
    return others.argmax(axis=1)


def test_mixup_weighs_features_targets_and_noisiness_alike(apply):
    batch = constant_batch([-80, -60, -30, -10])
    result = apply(Mixup(weights="uniform", seed=1), batch)
    weight, partner = np.diag(result["targets"]), partner_of(result, batch)
    assert (partner != np.arange(4)).all()
    np.testing.assert_allclose(result["targets"].sum(axis=1), 1, **CLOSE)
    for key in ("features", "noisy"):
        values = batch[key].reshape(4, -1)[:, 0]
        expected = weight * values + (1 - weight) * values[partner]
        np.testing.assert_allclose(result[key].reshape(4, -1)[:, 0], expected, **CLOSE)
        assert np.ptp(result[key].reshape(4, -1), axis=1).max() == 0


def test_mixup_in_power_is_the_mean_of_powers(crops, apply):
    batch = crops() | {"targets": np.eye(8, dtype=np.float32)}
    result = apply(Mixup(weights="uniform", domain="power", seed=1), batch)
    weight, partner = np.diag(result["targets"])[:, None, None], partner_of(result, batch)
    power = 10 ** (batch["features"].astype(np.float64) / 10)
    expected = 10 * np.log10(weight * power + (1 - weight) * power[partner])
    np.testing.assert_allclose(result["features"], expected, **CLOSE)


def test_a_floor_is_kept_in_power(apply):
    batch = constant_batch([-100, -100, -100])
    result = apply(Mixup(weights="uniform", domain="power"), batch)
    np.testing.assert_array_equal(result["features"], -100)


def test_power_of_a_weight_of_0_and_1_is_that_of_one_crop():
    layer = Mixup(domain="power")
    x, other = np.full((2, 1, 1), -20.0, np.float32), np.full((2, 1, 1), -50.0, np.float32)
    weight = np.array([0.0, 1.0], np.float32).reshape(2, 1, 1)
    np.testing.assert_allclose(np.ravel(layer.mean(x, other, weight)), [-50, -20], **CLOSE)


@pytest.mark.parametrize("layer", [Mixup(labels="or"), Concatenation(labels="or"),
                                   SpecMix(labels="or", n_time=4, time_share=1.0)])
def test_or_keeps_the_labels_of_both(layer, apply):
    result = apply(layer, constant_batch([-80, -60, -30, -10]))
    np.testing.assert_array_equal(np.sort(result["targets"], axis=1), [[0, 0, 1, 1]] * 4)


def test_weights_follow_the_beta_distribution():
    weight = np.asarray(Mixup(alpha=0.5).draw_weights(20000))
    assert ((weight >= 0) & (weight <= 1)).all()
    # Variance of Beta(a, a): 1 / (4 * (2 * a + 1)); standard errors are 0.0025 and 0.0006.
    np.testing.assert_allclose(weight.mean(), 0.5, atol=0.012)
    np.testing.assert_allclose(weight.var(), 1 / 8, atol=0.004)
    assert np.isfinite(np.asarray(Mixup(alpha=0.001).draw_weights(20000))).all()


@pytest.mark.parametrize(("unit", "domain"), [("dB", "power"), (FULL_SCALE, "feature")])
def test_equal_levels_make_the_amplitude_share_the_weight(unit, domain):
    layer = Mixup(levels=True, domain=domain, unit=unit)
    x = np.full((3, 30, 1), 0.5, np.float32)
    weight = np.array([0.2, 0.5, 0.9], np.float32)
    np.testing.assert_allclose(layer.amplitude_share(x, -x if unit == FULL_SCALE else x, weight),
                               weight, rtol=1e-5)


def test_a_louder_crop_gets_the_smaller_share_of_the_amplitude():
    layer = Mixup(levels=True, domain="power")
    loud, soft = np.full((1, 4, 1), -10, np.float32), np.full((1, 4, 1), -30, np.float32)
    # 20 dB are a factor of 10 in amplitude: p = 1 / (1 + 10 * (1 - r) / r), by hand
    for weight in (0.2, 0.5, 0.75):
        expected = 1 / (1 + 10 * (1 - weight) / weight)
        share = layer.amplitude_share(loud, soft, np.array([weight], np.float32))
        np.testing.assert_allclose(share, [expected], rtol=1e-5)


def test_waves_mixed_by_level_have_both_at_the_level_of_their_weights(apply):
    batch = constant_batch([1.0, 0.1], unit=FULL_SCALE)
    result = apply(Mixup(levels=True, weights="uniform", unit=FULL_SCALE, seed=2), batch)
    for own in (0, 1):
        r = result["targets"][own, own]
        levels = np.array([0.0, -20.0])
        p = 1 / (1 + 10 ** ((levels[own] - levels[1 - own]) / 20) * (1 - r) / r)
        amplitude = batch["features"][:, 0].astype(np.float64)
        expected = (p * amplitude[own] + (1 - p) * amplitude[1 - own]) / np.hypot(p, 1 - p)
        np.testing.assert_allclose(result["features"][own], expected, rtol=1e-4)


def test_level_is_that_of_the_loudest_frame():
    x = np.full((1, 3, 10), -60.0, np.float32)
    x[0, 1] = -30
    np.testing.assert_allclose(Mixup(domain="power").level(x), [-20], rtol=1e-5)


def test_partners_are_others_and_all_of_them_come_up():
    layer = SamplePairing()
    drawn = np.array([layer.partners(4) for _ in range(100)])
    assert (drawn != np.arange(4)).all()
    assert [set(column) for column in drawn.T] == [{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}]
    np.testing.assert_array_equal(layer.partners(1), [0])


def test_sample_pairing_averages_features_alone(apply):
    batch = constant_batch([-80, -60])
    result = apply(SamplePairing(), batch)
    np.testing.assert_array_equal(result["features"], -70)
    for key in ("targets", "noisy"):
        np.testing.assert_array_equal(result[key], batch[key])
    result = apply(SamplePairing(domain="power"), batch)
    np.testing.assert_allclose(result["features"], 10 * np.log10((1e-8 + 1e-6) / 2), **CLOSE)


def test_extrapolation_moves_away_from_a_crop_of_the_same_class(apply):
    batch = constant_batch([-80, -60, -30])
    batch["targets"] = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    result = apply(Extrapolation(strength=[0.5, 0.5]), batch)
    np.testing.assert_allclose(result["features"][:, 0, 0], [-90, -50, -30], **CLOSE)
    np.testing.assert_array_equal(result["targets"], batch["targets"])


def test_concatenation_fades_once_and_weighs_by_time(apply):
    batch = constant_batch([0, 0, 100, 100], unit="PCEN")
    batch["targets"] = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    seen = set()
    for seed in range(12):
        result = apply(Concatenation(fade=0.02, seed=seed, unit="PCEN"), batch)
        share = result["features"].mean(axis=(1, 2)) / 100
        np.testing.assert_allclose(result["targets"], np.stack([1 - share, share], 1), atol=1e-4)
        steps = np.diff(result["features"][..., 0], axis=1)
        assert ((steps >= -1e-4).all(axis=1) | (steps <= 1e-4).all(axis=1)).all()
        rise = steps.sum(axis=1)
        seen |= set(np.sign(rise[np.abs(rise) > 50]).tolist())
    assert seen == {-1.0, 1.0}  # either crop comes first


def test_specmix_replaces_frames_and_bands_and_weighs_by_area(apply):
    batch = constant_batch([0, 100], unit="PCEN")
    replaced = []
    for seed in range(10):
        layer = SpecMix(n_time=1, n_bands=1, time_share=0.5, band_share=0.5, seed=seed, unit="PCEN")
        result = apply(layer, batch)
        other = result["features"] != batch["features"]
        np.testing.assert_allclose(1 - np.diag(result["targets"]), other.mean(axis=(1, 2)),
                                   atol=1e-6)
        np.testing.assert_allclose(result["targets"].sum(axis=1), 1, atol=1e-6)
        for crop in other:
            frames, bands = crop.all(axis=1), crop.all(axis=0)
            np.testing.assert_array_equal(crop, frames[:, None] | bands)
            assert frames.sum() <= 15
            assert bands.sum() <= 6
        replaced.append(other.mean())
    assert np.ptp(replaced) > 0
