"""How much memory there is to keep things in."""

from __future__ import annotations

import os
from pathlib import Path

# Of what is available: the network, TensorFlow and the page cache want some too.
_SHARE = 0.5

# Limits of a container: cgroup v2, then v1, which writes a huge number for "none".
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def budget(copies: int = 1) -> int:
    """Bytes that each of `copies` processes may fill: together half of what is available."""
    return int(_available() * _SHARE / copies)


def _available() -> int:
    """Memory that can be had without swapping, within the limit of a container (in bytes)."""
    found = [_of_machine()]
    for path in _LIMITS:
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(found)


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # no Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
