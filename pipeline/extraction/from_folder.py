"""Extract a folder of audio from Python: one call, and the store is open."""

from __future__ import annotations

import warnings
from pathlib import Path

from features.base import Feature
from pipeline.extraction.environment import environment_set
from pipeline.extraction.stores import run_extraction
from pipeline.extraction.targets import check_name, make_target
from pipeline.runtime.choices import Backend
from pipeline.runtime.errors import BadClipsError, UsageError
from pipeline.store.partial import store_path
from pipeline.store.reader import Store, open_store


def extract_folder(
    data: str | Path,
    feature: Feature,
    *,
    out: str | Path,
    name: str | None = None,
    jobs: int = -1,
    backend: Backend = "loky",
    cluster: str | None = None,
    allow_failures: int = 0,
    trim_db: float = 60.0,
) -> Store:
    """Extract one feature of all recordings in a folder, and open its store.

    What ``python -m pipeline.extract --data DATA`` does: clips are decoded in parallel; a second
    call decodes only what is new or has changed, and one that follows an interrupted call resumes.
    The store has the same bytes as the command's.

    Parameters
    ----------
    data : str or Path
        A folder of audio, with folders in it or without; no labels are needed. A clip's id is its
        path relative to this folder, with / between folders. Files that are not audio are left out
        with a warning. A folder that prepare wrote, or a data set whose tables name its clips, is
        read as such, and the ids are those of its tables.
    feature : Feature
        Such as ``LogMel(sr=44100)``: a feature and its settings.
    out : str or Path
        The folder of the store, created if need be. It may hold the stores of other features, but
        of one folder of audio only.
    name : str, optional
        The store's name: its file is ``OUT/NAME.h5``. By default the feature's kind, ``logmel``.
    jobs : int
        Number of parallel workers; -1: one per CPU core.
    backend : {"loky", "threading", "dask", "ray"}
        Where they run, see :func:`pipeline.runtime.parallel.imap`.
    cluster : str, optional
        Address of the Dask scheduler or of the Ray cluster.
    allow_failures : int
        Number of bad files to accept and leave out.
    trim_db : float
        Leading and trailing frames this far below a clip's loudest frame are silence (in dB).

    Returns
    -------
    Store
        The sealed store, open for reading.

    Raises
    ------
    BadClipsError
        If more files are bad than allowed: the message lists all of them, ``error.problems`` has
        them one by one, and so has ``OUT/problems.csv``. There is no store then.
    UsageError
        If there is no audio, or an argument is not valid.
    PipelineError
        If there is not enough space, or another process writes to `out`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import soundfile
    >>> from features.logmel import LogMel
    >>> from pipeline.extraction import extract_folder
    >>> folder = tempfile.TemporaryDirectory()
    >>> for bird in ("owl", "tit"):
    ...     soundfile.write(f"{folder.name}/{bird}.wav", np.full(16000, 0.1), 16000)
    >>> store = extract_folder(folder.name, LogMel(sr=16000), out=f"{folder.name}/stores", jobs=1)
    >>> list(store), store["owl.wav"].shape
    (['owl.wav', 'tit.wav'], (32, 128))
    >>> folder.cleanup()
    """
    data, out = Path(data), Path(out)
    errors = []
    if not isinstance(feature, Feature):
        errors.append(f"feature is {feature!r}; needs a feature with its settings, such as "
                      "LogMel(sr=44100)")
    elif name is None:
        name = feature.kind
    try:
        check_name(name or "feature")
    except ValueError as error:
        errors.append(str(error))
    if jobs < -1 or not jobs:
        errors.append(f"jobs is {jobs}; needs 1 or more, or -1 for one per CPU core")
    if allow_failures < 0:
        errors.append(f"allow_failures is {allow_failures}; needs 0 or more")
    if errors or name is None:
        raise UsageError("\n".join(errors))
    target = make_target(name, feature, trim_db=trim_db)
    try:
        with environment_set():
            run_extraction(
                data, out, [target], drop_known_bad=True, limit=None,
                allow_failures=allow_failures, trim_db=trim_db, jobs=jobs, backend=backend,
                cluster=cluster, force=False, repair=False, dry_run=False,
                tell=lambda note: warnings.warn(note, stacklevel=4),
            )
    except BadClipsError as error:
        lines = [f"  {p.where}: {p.reason}: {p.found}. {p.advice}" for p in error.problems]
        raise BadClipsError("\n".join([str(error), *lines]), error.problems) from None
    return open_store(store_path(out, name))
