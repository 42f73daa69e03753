"""Read a part of a file, and encode it for a web page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from pipeline.audio.decode import DecodeError, as_float32, opened

# Sampling rates of MPEG-1 and MPEG-2 audio (Hz).
MP3_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

# libsndfile's scale from 0 (best) to 1; LAME's V9: 7 to 12 kB per second of 44.1 kHz audio.
_COMPRESSION = 0.9


def read_excerpt(path: Path, start: float, seconds: float) -> tuple[np.ndarray, int]:
    """Decode a part of a file, channels averaged.

    Parameters
    ----------
    path : Path
    start, seconds : float
        Where the part begins and how long it is at most (in seconds); nothing after it is decoded.

    Returns
    -------
    y : np.ndarray [shape=(n,), dtype=float32]
        Full scale at 1.0; empty if the file ends before `start`.
    sr : int
        The file's own sampling rate (in Hz).

    Raises
    ------
    DecodeError
        If libsndfile cannot read the file.
    OSError
        If the file is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with opened(path) as (header, blocks):
        first = round(start * header.sr)
        last = first + round(seconds * header.sr)
        kept, position = [], 0
        for block in blocks:
            kept.append(as_float32(block[max(0, first - position):max(0, last - position)]))
            position += len(block)
            if position >= last:
                break
    y = np.concatenate(kept) if kept else np.empty(0, np.float32)
    if not np.isfinite(y).all():
        raise DecodeError("NaN or infinity among the samples")
    return y, header.sr


def encode_mp3(y: np.ndarray, sr: int) -> bytes:
    """Encode mono audio as MP3 at a low variable bit rate, for listening.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), dtype=float32]
        Full scale at 1.0; louder samples are clipped, as they are when a file is played.
    sr : int
        Sampling rate (in Hz). If MP3 does not have it, the audio is resampled to the next higher
        rate of :data:`MP3_RATES`, or the highest.

    Returns
    -------
    bytes
    """
    if sr not in MP3_RATES:
        rate = next((each for each in MP3_RATES if each > sr), MP3_RATES[-1])
        y, sr = soxr.resample(y, sr, rate, quality="HQ"), rate
    file = io.BytesIO()
    soundfile.write(file, np.clip(y, -1, 1), sr, format="MP3", subtype="MPEG_LAYER_III",
                    bitrate_mode="VARIABLE", compression_level=_COMPRESSION)
    return file.getvalue()
