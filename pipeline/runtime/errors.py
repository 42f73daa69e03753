"""Exceptions of the stages, and their exit codes.

====  ==========================================================================
code  meaning
====  ==========================================================================
0     done
1     anything that is not below: no space or memory left, no permission,
      a killed worker
2     usage or configuration: a flag, params.yaml, a table, nothing to work on
3     more bad clips than ``--allow-failures`` accepts
4     a store that is corrupt, or made with another configuration
130   stopped by SIGINT (Ctrl-C)
143   stopped by SIGTERM
====  ==========================================================================
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.runtime.problems import Problem

# Names that a message lists before it only counts the rest.
SHOWN = 10


class PipelineError(Exception):
    """A stage cannot continue; the message is its closing line on stderr."""

    exit_code = 1


class UsageError(PipelineError):
    """A flag, a setting, a table or a folder is not what the stage needs."""

    exit_code = 2


class BadClipsError(PipelineError):
    """More clips are bad than the user allowed.

    Attributes
    ----------
    problems : tuple of pipeline.runtime.problems.Problem
        What is wrong with each, where the message does not list it.
    """

    exit_code = 3

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class WorkerDied(PipelineError):
    """A worker ended in the middle of a task: it crashed, or the system killed it.

    Attributes
    ----------
    tasks : tuple
        The tasks that it, or any other worker, may have had then: one of them if tasks are run one
        at a time.
    cause : str
        How it ended, as far as is known.
    """

    def __init__(self, message: str, tasks: Iterable[Any] = (), cause: str = "") -> None:
        super().__init__(message)
        self.tasks, self.cause = tuple(tasks), cause


class StoreError(PipelineError):
    """A store is corrupt, or was made with another configuration."""

    exit_code = 4


class Stopped(BaseException):
    """A signal asked the stage to stop. Not an Exception, so that nothing catches it by chance."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.name = signal.Signals(signum).name
        self.exit_code = 128 + signum


def listed(names: Sequence[str]) -> str:
    """Join names as 'a, b, c'; only the first `SHOWN`, with the number of the others."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return 'did you mean X?' if a known name is similar, else the known names."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
