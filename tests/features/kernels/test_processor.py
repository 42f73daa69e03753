"""What the processor can do, against what the kernel says of it."""

from __future__ import annotations

import platform
from pathlib import Path

import llvmlite.binding
import pytest

from features.kernels.processor import instruction_sets

CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif(platform.machine() != "x86_64" or not CPUINFO.is_file(), reason="Linux on x86")
def test_the_sets_are_those_that_linux_lists():
    lines = CPUINFO.read_text(encoding="ascii").splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).split())
    names = {"sse2": "sse2", "avx2": "avx2", "avx512f": "avx512f", "avx512bf16": "avx512_bf16",
             "avx512fp16": "avx512_fp16", "amx-bf16": "amx_bf16"}
    found = instruction_sets()
    assert {ours for ours, linux in names.items() if linux in flags} == found & set(names)
    assert "sse2" in found


def test_a_processor_that_llvm_does_not_know_has_none(monkeypatch):
    def unknown():
        raise RuntimeError("unknown processor")

    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", unknown)
    assert instruction_sets() == frozenset()
