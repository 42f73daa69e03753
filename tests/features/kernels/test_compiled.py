"""The compiler, and what happens where it cannot keep what it made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from features.kernels.compiled import compiled
from features.kernels.decibels import to_db

ROOT = Path(__file__).resolve().parents[3]


def twice(x):
    return 2 * x


def test_a_function_keeps_its_meaning():
    assert compiled(twice)(21) == 42
    assert partial(compiled, fastmath={"contract"})(twice)(1.5) == 3.0


def test_where_nothing_can_be_kept_it_compiles_all_the_same(monkeypatch):
    def homeless(function):
        raise RuntimeError("cannot cache function 'twice': no locator available")

    monkeypatch.setattr("features.kernels.compiled._Cache", homeless)
    assert compiled(twice)(21) == 42


CODE = (
    "import numpy as np; from features.kernels.decibels import _to_db, to_db\n"
    "print(to_db(np.full(3, 100, np.float32)), sum(_to_db.stats.cache_hits.values()))"
)


def run(code=CODE, root=ROOT, **environment):
    """What a new process prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=False, capture_output=True, text=True,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def test_another_process_finds_what_was_compiled(tmp_path):
    assert run(NUMBA_CACHE_DIR=tmp_path) == "[20. 20. 20.] 0"
    assert list(tmp_path.rglob("*.nbi"))
    assert run(NUMBA_CACHE_DIR=tmp_path) == "[20. 20. 20.] 1"


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_what_was_cut_short_is_compiled_anew(tmp_path, ending, share):
    run(NUMBA_CACHE_DIR=tmp_path)
    for path in tmp_path.rglob(f"*.{ending}"):
        data = path.read_bytes()
        path.write_bytes(data[:int(share * len(data))])
    assert run(NUMBA_CACHE_DIR=tmp_path) == "[20. 20. 20.] 0"
    assert run(NUMBA_CACHE_DIR=tmp_path) == "[20. 20. 20.] 1"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_the_cache_is_no_trouble(tmp_path):
    code = (
        "import builtins, io, os\n"
        "from numba.core import caching\n"
        "def full(path, mode='r', *rest, **named):\n"
        "    return io.open('/dev/full' if 'w' in mode else path, mode, *rest, **named)\n"
        "caching.open = full\n"
    )
    for _ in range(2):
        assert run(code + CODE, NUMBA_CACHE_DIR=tmp_path) == "[20. 20. 20.] 0"


def test_an_edit_anywhere_in_the_package_is_seen(tmp_path):
    shutil.copytree(ROOT / "features", tmp_path / "features",
                    ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import numpy as np; from features.logmel import LogMel\n"
        "print(LogMel(n_fft=512, n_mels=20)(np.ones(999, np.float32)).max())"
    )
    before = float(run(code, tmp_path))
    path = tmp_path / "features/kernels/power_spectrum.py"
    path.write_text(path.read_text().replace("* 0.25)", "* 2.5)"))
    assert float(run(code, tmp_path)) == pytest.approx(before + 10, abs=1e-4)


def test_compiled_where_compiling_is_switched_off():
    assert run(NUMBA_DISABLE_JIT=1).startswith("[20. 20. 20.]")


def test_an_empty_array_is_no_trouble():
    assert len(to_db(np.empty(0, np.float32))) == 0
