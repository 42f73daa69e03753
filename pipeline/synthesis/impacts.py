"""Synthesize impacts and noises for the demo data: drums, knocks, drops, clockwork.

A sound is a function as in :mod:`pipeline.synthesis.tonal`.

References
----------
.. [1] N. H. Fletcher, T. D. Rossing: The Physics of Musical Instruments, 2nd ed., Springer, 1998.
.. [2] K. J. Werner, J. S. Abel, J. O. Smith: The TR-808 cymbal: a physically-informed,
       circuit-bendable, digital model, Proc. ICMC/SMC, 2014.
.. [3] K. van den Doel: Physically based models for liquid sounds, ACM Transactions on Applied
       Perception 2(4), 2005.
.. [4] M. Minnaert: On musical air-bubbles and the sounds of running water, Philosophical
       Magazine 16, 1933.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from pipeline.synthesis.tonal import SR, log_uniform, modes, n_samples, normalized, place, rhythm

MEMBRANE = (1.0, 1.5933, 2.1355, 2.2954, 2.6531)  # zeros of Bessel functions over the first [1]_
TR808_HZ = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)  # the six square waves [2]_


def burst(
    rng: np.random.Generator, t60: float, low_hz: float, high_hz: float
) -> NDArray[np.float64]:
    """Make band-limited white noise that decays by 60 dB in `t60` seconds, peak 1.0."""
    n = n_samples(t60)
    sos = signal.butter(2, [low_hz, high_hz], "bandpass", fs=SR, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(n + 256))[256:]  # past the filter's onset
    y = noise * np.exp(-np.log(1000) / t60 * np.arange(n) / SR)
    return np.asarray(y / np.abs(y).max())


def bass_drum(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make a bass drum: a sine that falls to 40-75 Hz, a membrane's modes [1]_ and a click."""
    t60, end = log_uniform(rng, 0.15, 1.0), rng.uniform(40, 75)
    t = np.arange(n_samples(t60)) / SR
    fall, glide = rng.uniform(0.5, 4), log_uniform(rng, 0.01, 0.05)
    phase = 2 * np.pi * end * (t + fall * glide * (1 - np.exp(-t / glide)))
    kick = np.exp(-np.log(1000) / t60 * t) * np.sin(phase)
    skin = modes([2 * end * r for r in MEMBRANE], rng.uniform(0, 0.3, len(MEMBRANE)).tolist(),
                 [0.5 * t60 / r for r in MEMBRANE], t60)
    click = log_uniform(rng, 0.02, 0.5) * burst(rng, rng.uniform(0.01, 0.03), 300, 5000)
    drum = place([(0, kick), (0, skin), (0, click)], t60)
    period = log_uniform(rng, 0.25, 1.5)
    return normalized(place(
        ((onset, rng.uniform(0.5, 1) * drum) for onset in rhythm(rng, seconds, period)), seconds))


def hi_hat(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make a hi-hat: noise and six inharmonic square waves [2]_, high-passed at 5 to 9 kHz."""
    closed, opened = log_uniform(rng, 0.04, 0.25), log_uniform(rng, 0.4, 1.5)
    edge, metal = rng.uniform(5000, 9000), rng.uniform(0.1, 1.5)
    t = np.arange(n_samples(opened)) / SR
    tuning = rng.uniform(0.8, 1.2)
    squares = sum(np.sign(np.sin(2 * np.pi * f * tuning * t)) for f in TR808_HZ) / 6
    sos = signal.butter(4, edge, "highpass", fs=SR, output="sos")
    raw = signal.sosfilt(sos, metal * squares + rng.standard_normal(len(t)))
    hats = [np.exp(-np.log(1000) / t60 * t) * raw for t60 in (closed, opened)]
    often = rng.choice([0.0, 0.2, 1.0], p=[0.4, 0.4, 0.2])
    period = log_uniform(rng, 0.12, 0.8)
    return normalized(place(
        ((onset, rng.uniform(0.3, 1) * hats[int(rng.random() < often)])
         for onset in rhythm(rng, seconds, period)), seconds))


def knock(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make knocks on a door: groups of two to five blows on a panel of four short modes."""
    panel = [log_uniform(rng, 90, 1200) for _ in range(4)]
    t60 = log_uniform(rng, 0.06, 0.3)
    wood = modes(
        panel, rng.uniform(0.3, 1, 4).tolist(), [t60 * (90 / f) ** 0.3 for f in panel], t60)
    blow = place([(0, wood), (0, rng.uniform(0.1, 0.6) * burst(rng, 0.015, 500, 6000))], t60)
    events, onset, gap = [], rng.uniform(0, 0.3 * seconds), log_uniform(rng, 0.1, 0.35)
    while onset < seconds:
        for _ in range(rng.integers(2, 6)):
            events.append((onset, rng.uniform(0.5, 1) * blow))
            onset += gap * rng.uniform(0.9, 1.1)
        onset += rng.uniform(0.4, 2.0)
    return normalized(place(events, seconds))


def _drop(rng: np.random.Generator, wet: float) -> NDArray[np.float64]:
    """Make one drop: the click of its impact, and with probability `wet` a bubble."""
    impact = burst(rng, log_uniform(rng, 0.004, 0.02), 1500, 14000)
    if rng.random() >= wet:
        return impact
    # Minnaert [4]_: 3.3 m/s over the radius, 0.5 to 2.5 mm; the pitch rises as it surfaces [3]_.
    frequency, t60 = 3.3 / log_uniform(rng, 0.0005, 0.0025), log_uniform(rng, 0.02, 0.1)
    t = np.arange(n_samples(t60)) / SR
    phase = 2 * np.pi * frequency * (t + rng.uniform(0, 3) * t * t)
    bubble = np.exp(-np.log(1000) / t60 * t) * np.sin(phase)
    return place([(0, 0.5 * impact), (rng.uniform(0, 0.01), bubble)], t60 + 0.03)


def raindrop(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make rain: a Poisson process of 4 to 150 drops per second on hard or wet ground."""
    wet = rng.uniform(0, 1)
    drops = [_drop(rng, wet) for _ in range(24)]
    count = 1 + rng.poisson(log_uniform(rng, 4, 150) * seconds)
    onsets = rng.uniform(0, seconds, count)
    onsets[0] *= 0.4
    loud = rng.pareto(2.5, count).clip(max=4) + 0.1  # a few near, most far away
    drizzle = signal.lfilter([1, -1], [1, -rng.uniform(0, 0.9)],
                             rng.standard_normal(n_samples(seconds)))
    y = place(((onset, gain * drops[rng.integers(24)])
               for onset, gain in zip(onsets, loud, strict=True)), seconds)
    return normalized(y + log_uniform(rng, 0.002, 0.05) * drizzle)


def tick_tock(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make a ticking clock, from wrist watch to pendulum.

    Each beat is the three blows of a lever escapement, whose two pallets ring differently.
    """
    period = float(rng.choice([0.2, 0.25, 0.5, 1.0])) * rng.uniform(0.95, 1.05)
    size = log_uniform(rng, 0.5, 1.5) * period ** 0.5
    beats = []
    for _ in range(2):
        case = [log_uniform(rng, 900, 5000) / max(size, 0.3) ** 0.5 for _ in range(4)]
        ring = modes(
            case, rng.uniform(0.2, 1, 4).tolist(), rng.uniform(0.01, 0.06, 4).tolist(), 0.08)
        ring += place([(0, rng.uniform(0.2, 1) * burst(rng, 0.006, 2000, 12000))], 0.08)
        blows = [(0, 0.3), (rng.uniform(0.002, 0.006), 0.5), (rng.uniform(0.007, 0.02), 1.0)]
        beats.append(place([(t, a * ring) for t, a in blows], 0.11))
    return normalized(place(
        ((t, rng.uniform(0.8, 1) * beats[i % 2])
         for i, t in enumerate(rhythm(rng, seconds, period, 0.005))), seconds))
