"""What every stage does around its work: settings, signals, one closing line, the exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from pipeline.errors import PipelineError, Stopped
from pipeline.settings import parse

T = TypeVar("T")


def main(
    name: str,
    settings_class: type[T],
    run: Callable[[T], None],
    doc: str | None,
    argv: list[str] | None = None,
) -> NoReturn:
    """Parse the settings, run the stage and exit with the code that says how it went.

    See :mod:`pipeline.errors` for the codes. `run` raises; it never exits by itself.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    try:
        run(parse(name, settings_class, doc or "", argv))
        # What is still in the buffer may not find a reader, or no space.
        sys.stdout.flush()
        code = 0
    except PipelineError as error:
        code = error.exit_code
        print(f"{name}: {error}", file=sys.stderr)
    except Stopped as stopped:
        code = stopped.exit_code
        print(f"{name}: stopped by {stopped.name}", file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output went away (`... | head`): nobody is left to tell.
        code = 1
    except OSError as error:
        code = 1
        print(f"{name}: {describe(error)}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.flush()
    if code:
        # HDF5 may crash in its exit handlers after a failed write, which would change the code.
        os._exit(code)
    sys.exit(0)


def describe(error: OSError) -> str:
    """An operating system's error as 'path: reason' (str(error) leads with the errno)."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _stop(signum: int, frame: object) -> NoReturn:
    # Once is enough: a second Ctrl-C while workers are being stopped must not leave a traceback.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(signum)
