"""The compiler, and what happens where it cannot keep what it made."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numba import config
from numba.core.errors import TypingError

from features.kernels.compiled import compiled
from features.kernels.decibels import to_db

ROOT = Path(__file__).resolve().parents[3]


def twice(x):
    return 2 * x


def test_a_function_keeps_its_meaning():
    assert compiled(twice)(21) == 42
    assert partial(compiled, fastmath={"contract"})(twice)(1.5) == 3.0


def test_an_error_of_the_compiler_is_not_hidden():
    def wrong(x):
        return x.missing

    with pytest.raises(TypingError, match="missing"):
        compiled(wrong)(3)
    with pytest.raises(TypeError, match="too many arguments"):
        compiled(twice)(3, 4)


def test_a_wrong_call_leaves_the_cache_of_others_alone(tmp_path):
    run("import numpy as np; from features.signal.moments import moments_of\n"
        "moments_of(np.zeros(3, np.int16))", NUMBA_CACHE_DIR=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.nb?")}
    assert before
    code = (
        "from features.kernels.decibels import _to_db\n"
        "try: _to_db(1, 2, 3)\n"
        "except TypeError: print('refused')"
    )
    assert run(code, NUMBA_CACHE_DIR=tmp_path) == "refused"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.nb?")} == before


def test_without_a_writable_folder_it_compiles_all_the_same(tmp_path):
    (tmp_path / "file").touch()
    for _ in range(2):
        assert run(NUMBA_CACHE_DIR=tmp_path / "file") == "[20. 20. 20.] 0"
    # Not beside the sources either, where no digest of them is part of the key.
    assert not list((ROOT / "features/kernels").rglob("*.nbi"))


def test_the_settings_of_other_functions_stay_as_they_were(tmp_path):
    before = {"CACHE_DIR": config.CACHE_DIR, "DISABLE_JIT": config.DISABLE_JIT}
    compiled(twice)
    assert before == {"CACHE_DIR": config.CACHE_DIR, "DISABLE_JIT": config.DISABLE_JIT}
    code = (
        "import features.kernels.mel_power, numba\n"
        "print(numba.config.CACHE_DIR, numba.config.CACHE_LOCATOR_CLASSES)"
    )
    assert run(code, NUMBA_CACHE_DIR=tmp_path, NUMBA_CACHE_LOCATOR_CLASSES="InTreeCacheLocator") \
        == f"{tmp_path} InTreeCacheLocator"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a folder of its own")
def test_the_cache_is_in_the_users_cache_folder(tmp_path):
    run(NUMBA_CACHE_DIR="", XDG_CACHE_HOME=tmp_path)
    (index,) = tmp_path.rglob("*.nbi")
    assert index.relative_to(tmp_path).parts[0] == "audio-tagging-pipeline"
    assert run(NUMBA_CACHE_DIR="", XDG_CACHE_HOME=tmp_path) == "[20. 20. 20.] 1"


CODE = (
    "import numpy as np; from features.kernels.decibels import _to_db, to_db\n"
    "print(to_db(np.full(3, 100, np.float32)), sum(_to_db.dispatcher.stats.cache_hits.values()))"
)


FULL_DISK = (
    "import io\n"
    "from numba.core import caching\n"
    "def full(path, mode='r', *rest, **named):\n"
    "    return io.open('/dev/full' if 'w' in mode else path, mode, *rest, **named)\n"
    "caching.open = full\n"
)


def run(code=CODE, root=ROOT, **environment):
    """What a new process prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=False, capture_output=True, text=True,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def test_another_process_finds_what_was_compiled(filled):
    assert list(filled.rglob("*.nbi"))
    assert run(NUMBA_CACHE_DIR=filled) == "[20. 20. 20.] 1"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache with the function of CODE, not to be changed."""
    folder = tmp_path_factory.mktemp("cache")
    assert run(NUMBA_CACHE_DIR=folder) == "[20. 20. 20.] 0"
    return folder


@pytest.fixture
def cache(filled, tmp_path):
    """The same, to be damaged."""
    return shutil.copytree(filled, tmp_path / "cache")


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_truncated_cache_is_compiled_again(cache, ending, share):
    paths = list(cache.rglob(f"*.{ending}"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data[:int(share * len(data))])
    assert run(NUMBA_CACHE_DIR=cache) == "[20. 20. 20.] 0"
    assert run(NUMBA_CACHE_DIR=cache) == "[20. 20. 20.] 1"


def test_overwritten_files_are_compiled_again(cache):
    """Bytes that unpickle to something else, or to any exception."""
    for data in (pickle.dumps("0.0"), pickle.dumps(7), b"c__main__\nmissing\n."):
        for path in cache.rglob("*.nb[ic]"):
            path.write_bytes(data)
        assert run(NUMBA_CACHE_DIR=cache) == "[20. 20. 20.] 0"
    assert run(NUMBA_CACHE_DIR=cache) == "[20. 20. 20.] 1"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_damaged_cache_on_a_full_disk_is_no_trouble(cache):
    for path in cache.rglob("*.nbi"):
        path.write_bytes(b"")
    assert run(FULL_DISK + CODE, NUMBA_CACHE_DIR=cache) == "[20. 20. 20.] 0"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_costs_the_cache_only(tmp_path):
    for _ in range(2):
        assert run(FULL_DISK + CODE, NUMBA_CACHE_DIR=tmp_path) == "[20. 20. 20.] 0"


def test_an_edit_anywhere_in_the_package_is_seen(tmp_path):
    shutil.copytree(ROOT / "features", tmp_path / "features",
                    ignore=shutil.ignore_patterns("__pycache__"))
    cache = tmp_path / "cache"
    assert run(root=tmp_path, NUMBA_CACHE_DIR=cache) == "[20. 20. 20.] 0"
    # A function that the compiled one calls, in another file.
    path = tmp_path / "features/kernels/simd.py"
    before = "builder.bitcast(given[0], ir.FloatType())"
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, f"builder.fneg({before})"))
    edited = run(root=tmp_path, NUMBA_CACHE_DIR=cache)
    assert edited.endswith(" 0")
    assert not edited.startswith("[20. 20. 20.]")
    path.write_text(text)
    assert run(root=tmp_path, NUMBA_CACHE_DIR=cache) == "[20. 20. 20.] 1"


def test_compiled_where_compiling_is_switched_off():
    assert run(NUMBA_DISABLE_JIT=1).startswith("[20. 20. 20.]")


def test_an_empty_array_is_no_trouble():
    assert len(to_db(np.empty(0, np.float32))) == 0
