"""Decode, downmix and resample: the only importer of soundfile (libsndfile) and soxr (libsoxr).

Samples are float32 with full scale at 1.0, or int16 where no computation is needed: those of a mono
16-bit file at the wanted rate go into an int16 store unchanged. Channels are averaged before
resampling, like ``librosa.load(mono=True)``; the resampler is soxr HQ, librosa's default, and a
clip of N samples becomes ``ceil(N * (sr / source_sr))`` samples, like ``librosa.resample``.
"""

from __future__ import annotations

import io
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import soundfile
import soxr

from pipeline.audio.file_header import Header

MIN_SR = 1_000
MAX_SR = 768_000
MAX_CHANNELS = 64

# Samples (frames times channels) decoded at a time: 4 MB of float32, 24 s of 44.1 kHz mono.
BLOCK = 1 << 20

# At a low sampling rate a block of that size would be minutes, and gigabytes once resampled.
BLOCK_SECONDS = 24


# Names of files that libsndfile hands to libmpg123.
_MPEG_SUFFIXES = (".mp1", ".mp2", ".mp3", ".mpa", ".mpga", ".mpeg", ".mpg")

# How libmpg123's messages begin.
_MPG123 = ("Note: ", "Warning: ", "[src/libmpg123/")


class DecodeError(Exception):
    """libsndfile cannot open or read a file; its message says why."""


def read_header(path: Path) -> Header:
    """Read a file's header with libsndfile; no sample is read.

    Raises
    ------
    DecodeError
        If libsndfile cannot read the format.
    """
    try:
        with mpg123_named(path), _open(path) as file:
            return _header(file)
    except soundfile.SoundFileError as error:
        raise DecodeError(_message(error)) from None


def count_frames(path: Path) -> int:
    """Count the samples per channel by decoding: MPEG headers only estimate them."""
    try:
        with mpg123_named(path), _open(path) as file:
            buffer = np.empty((max(1, BLOCK // file.channels), file.channels), np.float32)
            total = 0
            while n := len(file.read(out=buffer)):
                total += n
            return total
    except soundfile.SoundFileError as error:
        raise DecodeError(_message(error)) from None


def _open(path: Path) -> soundfile.SoundFile:
    # As bytes: soundfile cannot encode a name that is not UTF-8.
    return soundfile.SoundFile(os.fsencode(path))


def _message(error: Exception) -> str:
    text = getattr(error, "error_string", str(error))
    return text.strip().rstrip(".")


@contextmanager
def opened(path: Path) -> Iterator[tuple[Header, Iterator[np.ndarray]]]:
    """Open a file for decoding; yield its header and its samples in blocks, channels averaged.

    Yields
    ------
    header : Header
    blocks : iterator of np.ndarray [shape=(n,), dtype=int16 or float32]
        At most :data:`BLOCK` values and :data:`BLOCK_SECONDS` at a time, see :func:`as_float32`;
        not checked for NaN.

    Raises
    ------
    DecodeError
        If libsndfile cannot open or read the file.
    """
    try:
        with mpg123_named(path):
            file = _open(path)
        with file:
            yield _header(file), _blocks(file, path)
    except soundfile.SoundFileError as error:
        raise DecodeError(_message(error)) from None


def _header(file: soundfile.SoundFile) -> Header:
    return Header(file.format, file.subtype, file.samplerate, file.channels, file.frames)


def _blocks(file: soundfile.SoundFile, path: Path) -> Iterator[np.ndarray]:
    mono = file.channels == 1
    dtype = "int16" if mono and file.subtype == "PCM_16" else "float32"
    # Read what the header counts; where it only estimates, read until the end.
    left = math.inf if only_estimated(file.format) else file.frames
    most = min(file.frames, BLOCK // file.channels, BLOCK_SECONDS * file.samplerate)
    while left > 0:
        n = int(max(1, min(left, most)))
        block = np.empty((n,) if mono else (n, file.channels), dtype)
        with mpg123_named(path):
            block = block[:file.buffer_read_into(block, dtype)]
        if not len(block):
            return
        left -= len(block)
        yield block if mono else block.mean(axis=1)


# File descriptor 2 belongs to the whole process: one thread at a time redirects it.
_stderr_lock = threading.Lock()


def mpg123_named(path: Path) -> AbstractContextManager[None]:
    """Put the file's name before each message that libmpg123 prints to stderr during the block.

    libsndfile leaves libmpg123's messages on, and they name no file. Other formats cost nothing.
    """
    is_mpeg = os.path.splitext(path)[1].lower() in _MPEG_SUFFIXES
    return _named_messages(path) if is_mpeg else nullcontext()


@contextmanager
def _named_messages(path: Path) -> Iterator[None]:
    with _stderr_lock, tempfile.TemporaryFile() as messages:
        sys.stderr.flush()
        try:
            stderr = os.dup(2)
        except OSError:  # stderr is closed
            yield
            return
        try:
            os.dup2(messages.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            messages.seek(0)
            lines = messages.read().decode(errors="replace").splitlines()
            # Other threads may have written meanwhile: only libmpg123's lines get the name.
            for line in lines:
                print(f"{path}: {line}" if line.startswith(_MPG123) else line, file=sys.stderr)


def only_estimated(format_: str) -> bool:
    """Whether headers of this format, as libsndfile calls it, only estimate a length."""
    return format_ in ("MP3", "MPEG")


def as_float32(y: np.ndarray) -> np.ndarray:
    """Scale samples to full scale 1.0. [shape=(n,), dtype=int16 or float32] -> [dtype=float32]"""
    return y * np.float32(1 / 32768) if y.dtype == np.int16 else y


class Resampler:
    """Resample one clip block by block (libsoxr HQ), to exactly `length` samples.

    The stream may end one sample before or after ``ceil(n * ratio)``; the end is cut or padded with
    a zero then, like ``librosa.resample(fix=True)``.
    """

    def __init__(self, source_sr: int, sr: int, length: int) -> None:
        self._stream = (
            None if source_sr == sr
            else soxr.ResampleStream(source_sr, sr, 1, dtype="float32", quality="HQ")
        )
        self._left = length

    def push(self, y: np.ndarray, *, last: bool) -> np.ndarray:
        """Add a block and return the samples that are ready.

        Parameters
        ----------
        y : np.ndarray [shape=(n,), dtype=int16 or float32]
        last : bool
            Whether the clip ends here.

        Returns
        -------
        out : np.ndarray [shape=(m,), dtype=float32]
            `y` itself, of its own dtype, where the rates are the same.
        """
        if self._stream is not None:
            y = self._stream.resample_chunk(as_float32(y), last=last)
        out = y[:self._left]
        self._left -= len(out)
        if last and self._left:
            out = np.pad(out, (0, self._left))
        return out


def write_pcm16(path: Path, y: np.ndarray, sr: int) -> None:
    """Write a mono 16-bit WAV file, each sample rounded to the nearest of 1/32768 (1.0 to the top).

    Parameters
    ----------
    path : Path
    y : np.ndarray [shape=(n,)]
        Floating-point samples between -1 and 1.
    sr : int
        Sampling rate (in Hz).

    Raises
    ------
    ValueError
        If a sample is outside [-1, 1] or NaN.
    OSError
        If the file cannot be written: no space left, no permission.
    """
    if not np.all(np.abs(y) <= 1):
        raise ValueError(f"{path}: samples must lie in [-1, 1], the peak is {np.abs(y).max()}")
    pcm = np.minimum(np.rint(y * 32768.0), 32767).astype(np.int16)
    # Through memory: libsndfile reports a full disk as an error without a path or a reason.
    wav = io.BytesIO()
    soundfile.write(wav, pcm, sr, format="WAV", subtype="PCM_16")
    path.write_bytes(wav.getvalue())
