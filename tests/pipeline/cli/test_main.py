"""What a stage says and which code it exits with, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import os_error_message

ROOT = Path(__file__).parents[3]
# Output through a pipe waits in a buffer, as it does for users.
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
    "PYTHONPATH": str(ROOT),
}

SCRIPT = '''
"""What the stage does."""
import errno, os, signal, sys, time
from dataclasses import dataclass
from typing import Annotated
from pipeline.cli import main as stage
from pipeline.runtime.errors import BadClipsError, PipelineError, StoreError, UsageError
from pipeline.cli.markers import FlagOnly, Positional

@dataclass(frozen=True)
class Settings:
    how: Annotated[str, Positional()]
    params: Annotated[str | None, FlagOnly()] = None

def kill(signum):
    os.kill(os.getpid(), signum)
    time.sleep(30)

def stopped_while_stopping():
    try:
        kill(signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        print("cleaned up")

def caught():
    try:
        kill(signal.SIGINT)
    except Exception:
        print("swallowed")

def fail(error):
    raise error

def pour():
    while True:
        print("x" * 1000)

ENDS = {
    "done": lambda: print("result"),
    "pipeline": lambda: fail(PipelineError("no space")),
    "usage": lambda: fail(UsageError("this is wrong\\nand that")),
    "clips": lambda: fail(BadClipsError("3 bad clips")),
    "quoted": lambda: fail(UsageError("a.csv: has \\x1b[31m and \\u202e\\nmore")),
    "store": lambda: fail(StoreError("x.h5 is corrupt")),
    "result-then-usage": lambda: (print("result"), fail(UsageError("wrong"))),
    "full": lambda: fail(OSError(errno.ENOSPC, "No space left on device", "out.h5")),
    "open": lambda: open("no-such-folder/file"),
    "plain-os": lambda: fail(OSError("a message alone")),
    "memory": lambda: fail(MemoryError("Unable to allocate 15 GiB")),
    "memory-alone": lambda: fail(MemoryError()),
    "int": lambda: kill(signal.SIGINT),
    "term": lambda: kill(signal.SIGTERM),
    "twice": stopped_while_stopping,
    "caught": caught,
    "pour": pour,
    "bug": lambda: fail(KeyError("a mistake of ours")),
    "sleep": lambda: (print("ready", flush=True), time.sleep(30)),
}

def run(settings):
    ENDS[settings.how]()

if __name__ == "__main__":
    stage.main("demo", Settings, run, __doc__)
'''


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("stage") / "demo.py"
    path.write_text(SCRIPT)
    return path


def start(script, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=ENVIRONMENT, **options,
    )


def outcome(script, *arguments):
    """(exit code, stdout, stderr) of a run."""
    process = start(script, *arguments)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.parametrize(("how", "code", "out", "err"), [
    ("done", 0, "result\n", ""),
    ("pipeline", 1, "", "demo: no space\n"),
    ("usage", 2, "", "demo: this is wrong\nand that\n"),
    ("clips", 3, "", "demo: 3 bad clips\n"),
    ("quoted", 2, "", "demo: a.csv: has \\x1b[31m and \\u202e\nmore\n"),
    ("store", 4, "", "demo: x.h5 is corrupt\n"),
    ("result-then-usage", 2, "result\n", "demo: wrong\n"),
    ("full", 1, "", "demo: out.h5: No space left on device\n"),
    ("open", 1, "", "demo: no-such-folder/file: No such file or directory\n"),
    ("plain-os", 1, "", "demo: a message alone\n"),
    ("memory", 1, "", "demo: out of memory: Unable to allocate 15 GiB\n"),
    ("memory-alone", 1, "", "demo: out of memory\n"),
    ("int", 130, "", "demo: stopped by SIGINT\n"),
    ("term", 143, "", "demo: stopped by SIGTERM\n"),
    ("twice", 143, "cleaned up\n", "demo: stopped by SIGTERM\n"),
    ("caught", 130, "", "demo: stopped by SIGINT\n"),
])
def test_how_a_stage_ends(script, how, code, out, err):
    assert outcome(script, how) == (code, out, err)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_from_outside(script, signum, code):
    process = start(script, "sleep")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signum)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert err == f"demo: stopped by {signum.name}\n"


def test_a_reader_that_goes_away_is_no_error_to_speak_of(script):
    process = start(script, "pour")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 1
    assert process.stderr.read() == ""


def outcome_into(script, output, how):
    process = subprocess.run(
        [sys.executable, str(script), how], stdout=output, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT, timeout=20, check=False,
    )
    return process.returncode, process.stderr


@pytest.mark.parametrize(("how", "code", "err"), [
    ("done", 1, ""), ("result-then-usage", 2, "demo: wrong\n"),
])
def test_a_reader_that_was_never_there(script, how, code, err):
    """The little that a stage prints waits in a buffer until its end."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        assert outcome_into(script, output, how) == (code, err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_output_into_a_full_disk(script):
    with open("/dev/full", "w") as output:
        assert outcome_into(script, output, "done") == (1, "demo: No space left on device\n")


def test_a_mistake_of_ours_is_not_hidden(script):
    code, _, err = outcome(script, "bug")
    assert code == 1
    assert "Traceback" in err
    assert "KeyError: 'a mistake of ours'" in err


def test_help_and_mistaken_flags(script):
    code, out, _ = outcome(script, "--help")
    assert code == 0
    assert "What the stage does." in out
    code, _, err = outcome(script, "done", "--nonsense")
    assert code == 2
    assert "unrecognized arguments: --nonsense" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("error", "sentence"), [
    (FileNotFoundError(2, "No such file", "a.csv"), "a.csv: No such file"),
    (PermissionError(13, "Permission denied"), "Permission denied"),
    (OSError("odd"), "odd"),
])
def test_an_error_of_the_system_in_one_sentence(error, sentence):
    assert os_error_message(error) == sentence
