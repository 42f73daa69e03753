"""What libraries write to the standard error is kept back unless something fails."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
GREETING = """
import os, sys
from pipeline.runtime.standard_error import held_back

with held_back():
    os.write(2, b"a greeting of C++\\n")
    print("one of Python", file=sys.stderr)
    {last}
print("afterwards", file=sys.stderr)
"""


def stderr_of(code, **options):
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)
    return done.stderr


def test_nothing_is_said_where_all_goes_well():
    assert stderr_of(GREETING.format(last="pass")) == "afterwards\n"


def test_all_is_said_where_the_block_fails():
    found = stderr_of(GREETING.format(last="1 / 0"))
    assert found.startswith("a greeting of C++\none of Python\nTraceback")
    assert "ZeroDivisionError" in found


def test_a_closed_standard_error_is_no_obstacle():
    code = GREETING.format(last="print('done')").replace("os.write", "(lambda *_: None)")
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code],
                          stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert "done\n" in done.stdout
