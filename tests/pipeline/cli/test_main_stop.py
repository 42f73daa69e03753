"""A stop that arrives while libraries are imported, or once the work is done."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli import main as module

ROOT = Path(module.__file__).parents[2]
STAGE = """
from dataclasses import dataclass
from pipeline.cli import main as stage

@dataclass(frozen=True)
class Settings:
    pass

def run(settings):
    {body}

stage.main("demo", Settings, run, "")
"""


@pytest.mark.parametrize(("body", "module"), [
    # An import that swallows everything.
    ("import slow",
     "try:\n    import time; print('now', flush=True); time.sleep(0.5)\nexcept: pass"),
    # A library that makes another error of it.
    ("import slow; slow.f()",
     "import time\ndef f():\n    try:\n        print('now', flush=True); time.sleep(60)\n"
     "    except BaseException: raise ValueError('unrelated')"),
])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_never_lost(tmp_path, body, module, signum, code):
    body += "\n    import time; time.sleep(60)"
    (tmp_path / "stage_demo.py").write_text(STAGE.format(body=body))
    (tmp_path / "slow.py").write_text(module)
    (tmp_path / "params.yaml").write_text("demo: {}\n")
    process = subprocess.Popen([sys.executable, "stage_demo.py"], cwd=tmp_path, text=True,
                               env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout.readline() == "now\n"
    time.sleep(0.1)
    process.send_signal(signum)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, f"demo: stopped by {signum.name}\n")
