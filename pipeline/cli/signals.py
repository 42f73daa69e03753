"""Turn Ctrl-C and SIGTERM into one :class:`~pipeline.runtime.errors.Stopped`."""

from __future__ import annotations

import signal
from types import FrameType

from pipeline.runtime.errors import Stopped

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# The request to stop, once there is one; how long until it is raised again (in seconds).
_requests: list[Stopped] = []
_AFTER_IMPORT, _IF_SWALLOWED = 0.05, 5.0


def stop_on_signals() -> None:
    """Raise `Stopped` in the main thread when the process is asked to stop."""
    for each in _SIGNALS:
        signal.signal(each, _stop)


def ignore_signals() -> None:
    """Ignore requests to stop from now on."""
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def stop_request() -> Stopped | None:
    """The request to stop, if there was one."""
    return _requests[0] if _requests else None


def cancel_reminder() -> None:
    """Do not raise the request again: it has arrived."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(signum: int, frame: FrameType | None) -> None:
    # Once is enough: a second Ctrl-C while workers are being stopped must not leave a traceback.
    ignore_signals()
    _requests.append(Stopped(signum))
    signal.signal(signal.SIGALRM, _raise)
    _raise(signum, frame)


def _raise(signum: int, frame: FrameType | None) -> None:
    """Raise the request to stop, and again after a while: destructors and `except:` swallow it.

    Not in the middle of an import, where it is swallowed, becomes an ImportError, or crashes.
    """
    outer = frame
    while outer is not None:
        if outer.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _AFTER_IMPORT)
            return
        outer = outer.f_back
    signal.setitimer(signal.ITIMER_REAL, _IF_SWALLOWED)
    raise _requests[0]
