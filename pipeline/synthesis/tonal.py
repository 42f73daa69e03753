"""Synthesize pitched sounds for the demo data, and the parts that all sounds are made of.

A sound is a function ``(rng, seconds) -> y [shape=(round(44100 * seconds),), float32, peak 1.0]``;
everything that varies (pitch, decay, count, rhythm) is drawn from `rng` alone. Any length from
0.1 s up is accepted, and something sounds in its first half.

References
----------
.. [1] N. H. Fletcher, T. D. Rossing: The Physics of Musical Instruments, 2nd ed., Springer, 1998.
.. [2] K. Karplus, A. Strong: Digital synthesis of plucked-string and drum timbres,
       Computer Music Journal 7(2), 1983.
.. [3] D. A. Jaffe, J. O. Smith: Extensions of the Karplus-Strong plucked-string algorithm,
       Computer Music Journal 7(2), 1983.
.. [4] W. A. Hibbert: The quantification of strike pitch and pitch shifts in church bells,
       PhD thesis, The Open University, 2008.
.. [5] D. R. Ragge, W. J. Reynolds: The Songs of the Grasshoppers and Crickets of Western Europe,
       Harley, 1998.
.. [6] C. K. Catchpole, P. J. B. Slater: Bird Song, 2nd ed., Cambridge University Press, 2008.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal

SR = 44_100

FREE_BAR = (1.0, 2.756, 5.404, 8.933)  # a uniform bar with free ends [1]_
MARIMBA_BAR = (1.0, 4.0, 10.0)  # undercut until the overtones are harmonic [1]_
XYLOPHONE_BAR = (1.0, 3.0, 6.0)
# Hum, prime, tierce, quint, nominal, deciem, superquint, octave nominal [1]_ [4]_
CHURCH_BELL = (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0)
_BELL_AMPLITUDES = (0.5, 0.7, 1.0, 0.3, 1.0, 0.3, 0.6, 0.4)
_BELL_T60 = (1.0, 0.6, 0.7, 0.35, 0.35, 0.2, 0.2, 0.12)  # of the hum's


def n_samples(seconds: float) -> int:
    """Return the number of samples in `seconds`, at least 1."""
    return max(1, round(seconds * SR))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between `low` and `high` whose logarithm is uniformly distributed."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def hertz(midi: ArrayLike) -> NDArray[np.float64]:
    """Convert MIDI note numbers to frequencies (in Hz); 69 is 440 Hz."""
    return np.asarray(440.0 * 2.0 ** ((np.asarray(midi) - 69) / 12))


def normalized(y: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale `y` to a peak of 1.0."""
    return (y / np.abs(y).max()).astype(np.float32)


def modes(
    frequencies: Sequence[float], amplitudes: Sequence[float], t60s: Sequence[float],
    seconds: float,
) -> NDArray[np.float64]:
    """Make the sound of a struck body: a sum of sines that decay exponentially from phase 0.

    Parameters
    ----------
    frequencies, amplitudes, t60s : sequences of equal length
        Of each mode (Hz, any unit, seconds to decay by 60 dB). Modes above 20 kHz are left out.
    seconds : float
        Duration of the result; each mode is cut at -72 dB.
    """
    y = np.zeros(n_samples(seconds))
    for frequency, amplitude, t60 in zip(frequencies, amplitudes, t60s, strict=True):
        if frequency < 20_000:
            n = min(len(y), n_samples(1.2 * t60))
            pole = (-np.log(1000) / t60 + 2j * np.pi * frequency) / SR
            # exp(pole * k) as products of two short tables: several times faster than n sines.
            coarse = np.exp(pole * np.arange(0, n, 256))
            wave = np.outer(coarse, np.exp(pole * np.arange(256))).ravel()[:n]
            y[:n] += amplitude * wave.imag
    return y


def place(
    events: Iterable[tuple[float, NDArray[np.floating]]], seconds: float
) -> NDArray[np.float64]:
    """Add up sounds at their onsets (in seconds), cut to `seconds`."""
    y = np.zeros(n_samples(seconds))
    for onset, sound in events:
        start = round(onset * SR)
        if start < len(y):
            y[start:start + len(sound)] += sound[:len(y) - start]
    return y


def rhythm(
    rng: np.random.Generator, seconds: float, period: float, jitter: float = 0.02
) -> NDArray[np.float64]:
    """Draw onsets (in seconds), one per `period` with a relative `jitter`.

    The first is in the first 30 % of `seconds`.
    """
    times = np.arange(rng.uniform(0, min(0.3 * seconds, period)), seconds, period)
    times[1:] += period * jitter * rng.uniform(-1, 1, len(times) - 1)
    return times


def oscillator(
    amplitudes: NDArray[np.float64], frequency: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Make a tone with harmonics of these `amplitudes` and a varying `frequency`.

    `amplitudes` are those of harmonics 1, 2, …; `frequency` (in Hz) has one value per sample.
    """
    spectrum = np.zeros(1025, complex)
    spectrum[1:len(amplitudes) + 1] = -0.5j * amplitudes
    wavetable = np.fft.irfft(spectrum) * 2048
    phase = np.cumsum(frequency) / SR % 1.0 * 2048
    return np.interp(phase, np.arange(2049), np.append(wavetable, wavetable[0]))


def pluck(excitation: NDArray[np.float64], damping: float, seconds: float) -> NDArray[np.float64]:
    """Pluck a string (Karplus-Strong [2]_).

    ``y[n] = x[n] + damping * (y[n - N] + y[n - N - 1]) / 2`` with ``N = len(x)``; the pitch is
    ``SR / (N + 1/2)``. Computed one period at a time, because the recursion reaches N samples back.
    """
    period = len(excitation)
    y = np.zeros((-(-n_samples(seconds) // period) + 1, period))  # row 0 is the silence before
    y[1] = excitation
    for k in range(2, len(y)):
        y[k] = y[k - 1]
        y[k, 1:] += y[k - 1, :-1]
        y[k, 0] += y[k - 2, -1]
        y[k] *= damping / 2
    return y[1:].ravel()[:n_samples(seconds)]


def acoustic_guitar(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make an acoustic guitar: strings with a plucking point [3]_ and a body's resonances."""
    period = log_uniform(rng, 0.15, 1.2)
    root = int(rng.integers(40, 65))
    scale = root + np.array([0, 3, 5, 7, 10, 12]) if rng.random() < 0.5 else root + np.array(
        [0, 4, 7, 11, 12, 16])
    point, damping = rng.uniform(0.1, 0.4), rng.uniform(0.992, 0.999)
    softness = rng.uniform(0.0, 0.8)
    strings = []
    for frequency in hertz(rng.choice(scale, size=4)):
        burst = rng.uniform(-1, 1, max(2, round(SR / frequency - 0.5)))
        burst = signal.lfilter([1 - softness], [1, -softness], burst)
        burst -= np.roll(burst, round(point * len(burst)))
        strings.append(pluck(burst, damping, min(seconds, 3 * period + 0.5)))
    y = place(
        ((t, rng.uniform(0.4, 1) * strings[rng.integers(4)])
         for t in rhythm(rng, seconds, period, 0.05)), seconds)
    body = y.copy()
    for low, high in ((90, 120), (180, 230)):  # the air in the body, the top plate [1]_
        b, a = signal.iirpeak(rng.uniform(low, high), 8, fs=SR)
        body += 2 * signal.lfilter(b, a, y)
    return normalized(body)


def _bars(
    rng: np.random.Generator, seconds: float, *, ratios: Sequence[float], notes: tuple[int, int],
    t60: float, brightness: float,
) -> NDArray[np.float32]:
    """Make up to five bars that are struck in a rhythm, sometimes in a tremolo."""
    bars = []
    for frequency in hertz(rng.integers(*notes, size=5)):
        ringing = t60 * (frequency / hertz(notes[0])) ** -0.5
        bars.append(modes(
            [frequency * r for r in ratios], [brightness ** i for i in range(len(ratios))],
            [ringing / r for r in ratios], seconds))
    period = log_uniform(rng, 0.07, 0.14) if rng.random() < 0.2 else log_uniform(rng, 0.15, 1.5)
    return normalized(place(
        ((t, rng.uniform(0.4, 1) * bars[rng.integers(5)])
         for t in rhythm(rng, seconds, period, 0.05)), seconds))


def glockenspiel(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make a glockenspiel: steel bars, G5 to C8, with the partials of a uniform bar [1]_."""
    return _bars(rng, seconds, ratios=FREE_BAR, notes=(79, 109), t60=log_uniform(rng, 1.0, 4.0),
                 brightness=rng.uniform(0.3, 0.7))


def marimba_and_xylophone(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make a marimba (A2 to C6, partials 1:4:10) or a xylophone (F4 to C7, 1:3:6) [1]_."""
    if rng.random() < 0.5:
        return _bars(rng, seconds, ratios=MARIMBA_BAR, notes=(45, 85),
                     t60=log_uniform(rng, 0.5, 1.5), brightness=rng.uniform(0.1, 0.4))
    return _bars(rng, seconds, ratios=XYLOPHONE_BAR, notes=(65, 97),
                 t60=log_uniform(rng, 0.2, 0.6), brightness=rng.uniform(0.3, 0.7))


def church_bell(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make one to three tolling bells; each partial is a slightly detuned, beating doublet."""
    period, hum_t60 = log_uniform(rng, 0.5, 4.0), log_uniform(rng, 6.0, 25.0)
    prime = log_uniform(rng, 150, 800)
    bells = []
    for interval in rng.choice([0, 2, 4, 7, 9], size=rng.integers(1, 4), replace=False):
        ratios = np.array(CHURCH_BELL) * rng.uniform(0.99, 1.01, len(CHURCH_BELL))
        beating = 1 + rng.uniform(0.0002, 0.003, len(CHURCH_BELL))
        single = prime * 2 ** (interval / 12) * ratios
        loud = np.array(_BELL_AMPLITUDES) * rng.uniform(0.5, 1.0, len(CHURCH_BELL))
        t60s = hum_t60 * np.array(_BELL_T60)
        bells.append(modes(
            [*single, *single * beating], [*loud, *0.5 * loud], [*t60s, *t60s], seconds))
    return normalized(place(
        ((t, rng.uniform(0.6, 1) * bells[i % len(bells)])
         for i, t in enumerate(rhythm(rng, seconds, period))), seconds))


def buzz(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make a fly or a bee (wing beats of varying pitch, 90 to 280 Hz) or a mains hum."""
    n = n_samples(seconds)
    harmonics = np.arange(1, 40)
    knots = np.linspace(0, n, max(2, round(5 * seconds)) + 1)
    wander = np.interp(np.arange(n), knots, rng.standard_normal(len(knots)))
    nearness = np.interp(np.arange(n), knots, rng.uniform(0.2, 1, len(knots)))
    if rng.random() < 0.25:
        amplitudes = harmonics ** -rng.uniform(0.5, 1.2) * rng.uniform(0, 1, len(harmonics))
        return normalized(oscillator(amplitudes, np.full(n, rng.choice([100.0, 120.0]))))
    formant = np.exp(-0.5 * ((harmonics - rng.uniform(2, 12)) / rng.uniform(2, 6)) ** 2)
    amplitudes = harmonics ** -rng.uniform(0.5, 1.5) * (0.2 + formant)
    frequency = log_uniform(rng, 90, 280) * (1 + rng.uniform(0.01, 0.06) * wander)
    return normalized(nearness * oscillator(amplitudes, frequency))


def chirp_and_tweet(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make bird calls: sweeps of 30 to 200 ms within 2 to 8 kHz, alone or in trills [6]_."""
    syllables = []
    for _ in range(rng.integers(1, 4)):
        n = n_samples(log_uniform(rng, 0.03, 0.2))
        t = np.linspace(0, 1, n)
        start, stop = log_uniform(rng, 2000, 7000), log_uniform(rng, 2000, 7000)
        vibrato = rng.uniform(0, 0.05) * np.sin(2 * np.pi * rng.uniform(1, 6) * t)
        frequency = start * (stop / start) ** (t ** rng.uniform(0.5, 2)) * (1 + vibrato)
        amplitudes = np.array([1, rng.uniform(0, 0.2)])
        syllables.append(np.hanning(n) ** 0.5 * oscillator(amplitudes, frequency))
    events, onset = [], rng.uniform(0, 0.2 * seconds)
    while onset < seconds:
        syllable = syllables[rng.integers(len(syllables))]
        gap = len(syllable) / SR * rng.uniform(1.1, 1.8)
        for _ in range(rng.integers(1, 9)):
            events.append((onset, rng.uniform(0.5, 1) * syllable))
            onset += gap
        onset += log_uniform(rng, 0.1, 1.0)
    return normalized(place(events, seconds))


def cricket(rng: np.random.Generator, seconds: float) -> NDArray[np.float32]:
    """Make one to three crickets [5]_.

    Pulses of 10 to 25 ms at 3.5 to 6 kHz, 20 to 40 per second, in chirps of three to six or in one
    long trill.
    """
    events = []
    for _ in range(rng.integers(1, 4)):
        rate, carrier = rng.uniform(20, 40), rng.uniform(3500, 6000)
        n = n_samples(rng.uniform(0.4, 0.7) / rate)
        pulse = np.hanning(n) * np.sin(2 * np.pi * carrier * np.arange(n) / SR)
        pulse *= log_uniform(rng, 0.2, 1.0)
        count = 10**6 if rng.random() < 0.3 else int(rng.integers(3, 7))
        period = count / rate + rng.uniform(0.1, 0.5)
        for start in rhythm(rng, seconds, period, 0.05):
            stop = min(seconds, start + (count - 0.5) / rate)
            events += [(t, pulse * rng.uniform(0.8, 1)) for t in np.arange(start, stop, 1 / rate)]
    return normalized(place(events, seconds))
