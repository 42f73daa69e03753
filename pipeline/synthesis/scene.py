"""Synthesize clips for the demo data: one or two sounds in a room, with background noise.

The sounds are twelve of the 80 classes of FSDKaggle2019, which a few lines of NumPy and SciPy can
make recognisable and varied. The same generator state gives the same samples with one version of
NumPy; with others, a few samples may differ in the last of their 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from pipeline.synthesis import impacts, tonal
from pipeline.synthesis.tonal import SR, log_uniform, n_samples, normalized

# Raise this with every edit that changes a sample: it tells old demo folders from new ones.
RECIPE = 1

Sound = Callable[[np.random.Generator, float], NDArray[np.float32]]

SOUNDS: dict[str, Sound] = {
    "Acoustic_guitar": tonal.acoustic_guitar,
    "Bass_drum": impacts.bass_drum,
    "Buzz": tonal.buzz,
    "Chirp_and_tweet": tonal.chirp_and_tweet,
    "Church_bell": tonal.church_bell,
    "Cricket": tonal.cricket,
    "Glockenspiel": tonal.glockenspiel,
    "Hi-hat": impacts.hi_hat,
    "Knock": impacts.knock,
    "Marimba_and_xylophone": tonal.marimba_and_xylophone,
    "Raindrop": impacts.raindrop,
    "Tick-tock": impacts.tick_tock,
}


def amplitude(db: float) -> float:
    """Convert a level (in dB) to a factor."""
    return float(10 ** (db / 20))


def room(
    rng: np.random.Generator, y: NDArray[np.float32], *, t60: float, wet_db: float
) -> NDArray[np.float32]:
    """Add reverberation to `y`: convolve it with exponentially decaying white noise.

    The impulse response has unit energy, so `wet_db` is the level of the reverberation of noise.

    References
    ----------
    .. [1] J. A. Moorer: About this reverberation business, Computer Music Journal 3(2), 1979.
    """
    n = n_samples(t60)
    response = rng.standard_normal(n) * np.exp(-np.log(1000) / t60 * np.arange(n) / SR)
    response *= amplitude(wet_db) / np.sqrt(np.sum(response**2))
    response[0] += 1
    wet = signal.oaconvolve(y, response.astype(np.float32))[:len(y)]
    return np.asarray(wet, np.float32)


def noise_floor(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Make `n` samples of noise, from white to a rumble, with an RMS of 1.0."""
    pole = 1 - log_uniform(rng, 0.003, 1.0)
    y = signal.lfilter([1.0], [1.0, -pole], rng.standard_normal(n))
    return (y / np.sqrt(np.mean(y**2))).astype(np.float32)


def scene(
    rng: np.random.Generator, names: Sequence[str], seconds: float, *, behind: str | None = None
) -> NDArray[np.float32]:
    """Make one clip.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws everything that varies: the sounds, the room, the noise, the level.
    names : sequence of str
        Keys of :data:`SOUNDS`. The first lasts for the whole clip; others are up to 6 dB louder
        or softer, last for at least half of the clip and start at a random time.
    seconds : float
        The clip's length, 0.3 s or more.
    behind : str, optional
        A sound in the background, 10 to 25 dB softer.

    Returns
    -------
    y [shape=(round(44100 * seconds),), float32]
        With a peak between 0.1 and 0.9.
    """
    y = SOUNDS[names[0]](rng, seconds)
    layers = [(name, rng.uniform(-6, 6), rng.uniform(0.5, 1)) for name in names[1:]]
    if behind:
        layers.append((behind, rng.uniform(-25, -10), 1.0))
    level = np.sqrt(np.mean(y**2))
    for name, db, share in layers:
        layer = SOUNDS[name](rng, share * seconds)
        start = rng.integers(0, len(y) - len(layer) + 1)
        y[start:start + len(layer)] += layer * amplitude(db) * level / np.sqrt(np.mean(layer**2))
    y = room(rng, y, t60=log_uniform(rng, 0.1, 1.0), wet_db=rng.uniform(-30, 0))
    tilt = rng.uniform(-0.5, 0.5)  # a microphone's colour: darker or brighter by up to 10 dB
    y = signal.lfilter([1.0, tilt], [1.0], y)
    y += noise_floor(rng, len(y)) * np.sqrt(np.mean(y**2)) * amplitude(-rng.uniform(10, 60))
    return normalized(y) * np.float32(amplitude(rng.uniform(-20, -1)))
