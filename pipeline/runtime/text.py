"""Show text that others wrote: names of files, cells of tables."""

from __future__ import annotations

import re

# What no name of a clip or a class may hold: characters that a terminal obeys, C1 among them, ends
# of lines, marks that turn the direction of writing, and halves of characters.
CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def readable(text: str, *, keep: str = "") -> str:
    r"""Escape what a terminal would obey or could not show: ``a\x1b[2J.wav``, not a cleared screen.

    Control characters, line ends, marks of writing direction and bytes that are not UTF-8 become
    backslash escapes, all but those of `keep`; a backslash stays, so this is for reading and not
    for finding the file.
    """
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    if "\udc80" <= c <= "\udcff":  # how Python holds a byte that is not UTF-8
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape").decode("ascii")
