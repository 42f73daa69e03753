"""Run a stage: parse its settings, handle signals, report errors and exit."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from pipeline.cli import signals
from pipeline.cli.settings import parse
from pipeline.runtime.errors import PipelineError, Stopped
from pipeline.runtime.text import readable

T = TypeVar("T")


def main(
    name: str,
    settings_class: type[T],
    run: Callable[[T], None],
    doc: str | None,
    argv: list[str] | None = None,
) -> NoReturn:
    """Parse the settings, run the stage and exit with the code that says how it ended.

    Parameters
    ----------
    name : str
        The stage's name, for messages and for its section of params.yaml.
    settings_class : type
        Its settings, see :mod:`pipeline.cli.settings`.
    run : callable
        The stage. It raises what :mod:`pipeline.runtime.errors` lists; it never exits by itself.
    doc : str or None
        Its docstring, for ``--help``.
    argv : list of str, optional
        The command line; the process's if None.
    """
    signals.stop_on_signals()
    try:
        run(parse(name, settings_class, doc or "", argv))
        # Writing what is still in the buffer fails without a reader, or without space.
        sys.stdout.flush()
        code = 0
        # All is done; a signal during the interpreter's shutdown must not change the exit code.
        signals.ignore_signals()
    except PipelineError as error:
        code = error.exit_code
        print(f"{name}: {_shown(error)}", file=sys.stderr)
    except Stopped as stopped:
        code = _report_stop(name, stopped)
    except BrokenPipeError:
        # The reader of our output has gone (`... | head`): there is nobody to tell.
        code = 1
    except OSError as error:
        code = 1
        print(f"{name}: {_shown(os_error_message(error))}", file=sys.stderr)
    except MemoryError as error:
        code = 1
        print(f"{name}: out of memory" + (f": {error}" if str(error) else ""), file=sys.stderr)
    except Exception:
        stop = signals.stop_request()
        if stop is None:
            raise
        # A library turned the request to stop into an error of its own.
        code = _report_stop(name, stop)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.flush()
    if code:
        # HDF5 may crash in its exit handlers after a failed write, which would change the code.
        os._exit(code)
    sys.exit(0)


def os_error_message(error: OSError) -> str:
    """An operating system's error as 'path: reason' (str(error) begins with the errno)."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _shown(message: object) -> str:
    """A message without what a terminal would obey: it may quote names and cells of tables."""
    return readable(str(message), keep="\n\t")


def _report_stop(name: str, stopped: Stopped) -> int:
    signals.cancel_reminder()
    print(f"{name}: stopped by {stopped.name}", file=sys.stderr)
    return stopped.exit_code
