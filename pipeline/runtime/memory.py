"""Estimate the memory available for caching frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# Of what is available: the network, TensorFlow and the page cache want some too.
_SHARE = 0.5


class Cgroup(NamedTuple):
    """The files of a container's memory limit.

    Attributes
    ----------
    limit, used : Path
        Each holds a number of bytes; a limit may be ``max``.
    stat : Path
        One ``name bytes`` per line.
    reclaimable : str
        The line of `stat` that counts page cache which the kernel drops when memory is short.
    """

    limit: Path
    used: Path
    stat: Path
    reclaimable: str


_V2, _V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
_CGROUPS = (
    Cgroup(_V2 / "memory.max", _V2 / "memory.current", _V2 / "memory.stat", "inactive_file"),
    # v1 writes a huge number for "none".
    Cgroup(_V1 / "memory.limit_in_bytes", _V1 / "memory.usage_in_bytes", _V1 / "memory.stat",
           "total_inactive_file"),
)


def budget(copies: int = 1) -> int:
    """Bytes that each of `copies` processes may fill: together half of what is available."""
    return int(available() * _SHARE / copies)


def available(
    cgroups: Sequence[Cgroup] = _CGROUPS, meminfo: Path = Path("/proc/meminfo")
) -> int:
    """Memory that can be used without swapping, within a container's limit (in bytes)."""
    free = [_available_on_machine(meminfo)]
    for each in cgroups:
        try:
            limit, used = (int(p.read_text(encoding="ascii")) for p in (each.limit, each.used))
        except (OSError, ValueError):  # no such container, or "max"
            continue
        free.append(max(0, limit - max(0, used - _reclaimable(each))))
    return min(free)


def _reclaimable(cgroup: Cgroup) -> int:
    try:
        lines = cgroup.stat.read_text(encoding="ascii").splitlines()
        return int(dict(line.split() for line in lines)[cgroup.reclaimable])
    except (OSError, KeyError, ValueError):
        return 0


def _available_on_machine(meminfo: Path) -> int:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # no Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
