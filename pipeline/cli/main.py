"""What every stage does around its work: settings, signals, one closing line, the exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeVar

from pipeline.cli.settings import parse
from pipeline.runtime.errors import PipelineError, Stopped

T = TypeVar("T")


def main(
    name: str,
    settings_class: type[T],
    run: Callable[[T], None],
    doc: str | None,
    argv: list[str] | None = None,
) -> NoReturn:
    """Parse the settings, run the stage and exit with the code that says how it went.

    See :mod:`pipeline.runtime.errors` for the codes. `run` raises; it never exits by itself.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    try:
        run(parse(name, settings_class, doc or "", argv))
        # What is still in the buffer may not find a reader, or no space.
        sys.stdout.flush()
        code = 0
        # All is done; a signal while the interpreter tidies up must not say otherwise.
        _ignore_signals()
    except PipelineError as error:
        code = error.exit_code
        print(f"{name}: {error}", file=sys.stderr)
    except Stopped as stopped:
        code = _say_stopped(name, stopped)
    except BrokenPipeError:
        # The reader of our output went away (`... | head`): nobody is left to tell.
        code = 1
    except OSError as error:
        code = 1
        print(f"{name}: {describe(error)}", file=sys.stderr)
    except Exception:
        if not _asked:
            raise
        # A library made an error of its own out of the request to stop.
        code = _say_stopped(name, _asked[0])
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


# The request to stop, if there was one; how long until it is made again (in seconds).
_asked: list[Stopped] = []
_AFTER_IMPORT, _IF_SWALLOWED = 0.05, 5.0


def _stop(signum: int, frame: FrameType | None) -> None:
    # Once is enough: a second Ctrl-C while workers are being stopped must not leave a traceback.
    _ignore_signals()
    _asked.append(Stopped(signum))
    signal.signal(signal.SIGALRM, _raise)
    _raise(signum, frame)


def _raise(signum: int, frame: FrameType | None) -> None:
    """Raise the request to stop; again after a while, for destructors and `except:` swallow it.

    Not in the middle of an import, where it is swallowed, becomes an ImportError, or crashes.
    """
    outer = frame
    while outer is not None:
        if outer.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _AFTER_IMPORT)
            return
        outer = outer.f_back
    signal.setitimer(signal.ITIMER_REAL, _IF_SWALLOWED)
    raise _asked[0]


def _say_stopped(name: str, stopped: Stopped) -> int:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(f"{name}: stopped by {stopped.name}", file=sys.stderr)
    return stopped.exit_code


def _ignore_signals() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
