"""Find out whether workers on other machines see the folders that this one sees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pipeline.extraction.worker import ClipResult
from pipeline.runtime.errors import PipelineError

_PREFIX = ".shared-"


@contextmanager
def shared_token(out: Path) -> Iterator[Path]:
    """Yield a file in the stores' folder that is there only during the block.

    A folder of the same name on another machine, such as a mount point without its mount, has no
    file of this name.
    """
    for left in out.glob(f"{_PREFIX}*"):  # by killed runs; the caller holds the folder's lock
        left.unlink(missing_ok=True)
    token = out / f"{_PREFIX}{uuid4().hex}"
    token.touch()
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


def check_is_seen(result: ClipResult, path: Path) -> None:
    """Raise a PipelineError if a worker could not read a file that this machine can read.

    Such a clip is not bad: left out as one, it would be missing from the store.
    """
    problem = result.problem
    if problem and problem.reason in ("missing", "unreadable") and os.access(path, os.R_OK):
        raise PipelineError(
            f"a worker on {result.host} cannot read {path} ({problem.found}), which this machine "
            "can. All workers need the folder of the audio under the same path, from a file system "
            "that they share"
        )
