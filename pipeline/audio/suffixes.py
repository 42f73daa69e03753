"""Tell by its suffix whether a file is meant to be audio."""

from __future__ import annotations

import os

# What libsndfile reads, and what it does not: a clip in such a format is reported, with advice on
# how to convert it, rather than left out as if it were no audio.
_READ = frozenset((
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp1", ".mp2", ".mp3",
    ".mpa", ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sd2", ".sph",
    ".nist", ".sf", ".avr", ".paf", ".fap", ".svx", ".iff", ".pvf", ".xi", ".htk",
))
_NOT_READ = frozenset((
    ".m4a", ".m4b", ".aac", ".wma", ".amr", ".ape", ".wv", ".mka", ".weba", ".webm", ".ac3", ".dts",
    ".gsm", ".vox", ".tta", ".spx", ".ra",
))


def is_audio_name(name: str) -> bool:
    """Tell whether a file's suffix, in any case, is one of audio.

    Examples
    --------
    >>> is_audio_name("bark.WAV"), is_audio_name("talk.m4a"), is_audio_name("notes.txt")
    (True, True, False)
    """
    suffix = os.path.splitext(name)[1].lower()
    return suffix in _READ or suffix in _NOT_READ
