"""The compiler, and what happens where it cannot keep what it made."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numba
import numpy as np

from features.compiled import compiled
from features.decibels import to_db

ROOT = Path(__file__).resolve().parents[2]


def twice(x):
    return 2 * x


def test_a_function_keeps_its_meaning():
    assert compiled(twice)(21) == 42
    assert partial(compiled, fastmath={"contract"})(twice)(1.5) == 3.0


def test_where_nothing_can_be_kept_it_compiles_all_the_same(monkeypatch):
    njit, asked = numba.njit, []

    def homeless(**options):
        asked.append(options.pop("cache", False))
        if asked[-1]:
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", homeless)
    assert compiled(twice)(21) == 42
    assert asked == [True, False]


def test_another_process_finds_what_was_compiled(tmp_path):
    """Through NUMBA_CACHE_DIR, as docs/features.md says."""
    code = (
        "import numpy as np; from features.decibels import _to_db, to_db\n"
        "to_db(np.ones(3, np.float32)); print(sum(_to_db.stats.cache_hits.values()))"
    )
    hits = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        ).stdout.strip()
        for _ in range(2)
    ]
    assert hits == ["0", "1"]
    assert list(tmp_path.rglob("*.nbi"))


def test_an_empty_array_is_no_trouble():
    assert len(to_db(np.empty(0, np.float32))) == 0
