"""Memory within a container's limit, from made-up files of the system."""

import pytest

from pipeline.runtime.memory import Cgroup, available

MIB = 1 << 20


@pytest.fixture
def meminfo(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n")  # 8 GiB
    return path


def cgroup(folder, limit, used, stat):
    folder.mkdir()
    for name, text in (("limit", limit), ("used", used), ("stat", stat)):
        if text is not None:
            (folder / name).write_text(f"{text}\n")
    return Cgroup(folder / "limit", folder / "used", folder / "stat", "inactive_file")


@pytest.mark.parametrize(("limit", "used", "stat", "expected"), [
    # What is used is subtracted, and cache that the kernel drops is not counted as used.
    (1000 * MIB, 400 * MIB, f"anon 1\ninactive_file {100 * MIB}", 700 * MIB),
    (1000 * MIB, 400 * MIB, "anon 1", 600 * MIB),
    (1000 * MIB, 400 * MIB, None, 600 * MIB),
    (1000 * MIB, 400 * MIB, "damaged", 600 * MIB),
    (1000 * MIB, 1001 * MIB, "inactive_file 0", 0),  # over the limit for a moment
    (1000 * MIB, 10 * MIB, f"inactive_file {20 * MIB}", 1000 * MIB),
    ("max", 400 * MIB, "inactive_file 0", 8192 * MIB),
    (0x7FFFFFFFFFFFF000, 400 * MIB, "inactive_file 0", 8192 * MIB),  # v1's "none"
    (1000 * MIB, None, None, 8192 * MIB),
    (16_000 * MIB, 400 * MIB, "inactive_file 0", 8192 * MIB),  # the machine has less
])
def test_used_memory_is_not_available(tmp_path, meminfo, limit, used, stat, expected):
    assert available([cgroup(tmp_path / "v2", limit, used, stat)], meminfo) == expected


def test_the_tightest_limit_counts(tmp_path, meminfo):
    groups = [cgroup(tmp_path / "v2", 900 * MIB, 0, ""), cgroup(tmp_path / "v1", 800 * MIB, 0, "")]
    assert available(groups, meminfo) == 800 * MIB


def test_without_containers_the_machine_counts(tmp_path, meminfo):
    missing = tmp_path / "nothing"
    assert available([Cgroup(missing, missing, missing, "x")], meminfo) == 8192 * MIB
    assert available([], missing) > 0  # not even /proc
