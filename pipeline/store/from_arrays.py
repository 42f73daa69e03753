"""Write frames that were computed in Python into a sealed store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from features.signal.moments import moments_of
from pipeline.runtime.files import atomic_write, naming
from pipeline.store.hdf5 import allocate
from pipeline.store.schema import Contents, Excluded, FeatureSpec, as_bytes, starts_of
from pipeline.store.writer import ClipWriter


def write_store(
    path: str | Path,
    spec: FeatureSpec,
    frames: Mapping[str, np.ndarray],
    *,
    sound: Mapping[str, tuple[int, int]] | None = None,
    digests: Mapping[str, str] | None = None,
    excluded: Iterable[Excluded] = (),
) -> Path:
    """Write the frames of some clips into a sealed store, atomically.

    Each clip's checksums and moments are computed here, so that :meth:`.Store.verify` and
    :meth:`.Store.mean_std` work as for a store that extract made.

    Parameters
    ----------
    path : str or Path
        The file to write; an existing one is replaced.
    spec : FeatureSpec
        The feature, its configuration, and the width and dtype of the frames.
    frames : mapping of str to np.ndarray [shape=(n_frames, width) or (n_samples,)]
        By clip id, in the order of the store. Of ``spec.dtype``: int16 samples have full scale at
        32768, and floating-point values are finite. A clip has at least one frame.
    sound : mapping of str to tuple of int, optional
        First frame and one past the last frame that is not leading or trailing silence; a clip
        that is not named has no silence.
    digests : mapping of str to str, optional
        SHA-256 of each clip's source file, as hexadecimal digits; that of the frames' bytes for a
        clip that is not named.
    excluded : iterable of Excluded, optional
        Clips to record as left out.

    Returns
    -------
    path : Path
        The sealed store.

    Raises
    ------
    ValueError
        If there are no clips, or a clip's frames, bounds or digest do not fit; all are listed.
    OSError
        With the path: no space left, no permission.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pipeline.store import open_store, write_store
    >>> from pipeline.store.schema import FeatureSpec
    >>> spec = FeatureSpec("energy", 1, "float32", 1, "dB", {"sr": 16000, "hop_length": 512})
    >>> frames = {"dog.wav": np.full((3, 1), -20.0, np.float32),
    ...           "cat.wav": np.full((5, 1), -30.0, np.float32)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = open_store(write_store(f"{folder}/energy.h5", spec, frames))
    ...     print(list(store), store["cat.wav"].shape, store.mean_std()[0])
    ['dog.wav', 'cat.wav'] (5, 1) [-26.25]
    """
    path = Path(path)
    digests = {
        clip_id: hashlib.sha256(as_bytes(values)).hexdigest()
        for clip_id, values in frames.items()
    } | dict(digests or {})
    sound = {
        clip_id: (0, len(np.atleast_1d(values))) for clip_id, values in frames.items()
    } | dict(sound or {})
    if errors := _errors(spec, frames, sound, digests):
        raise ValueError(f"{path}: " + "; ".join(errors))
    contents = Contents(
        tuple(frames), tuple(len(values) for values in frames.values()), tuple(excluded)
    )
    with atomic_write(path) as partial:
        offsets = allocate(partial, spec, contents)
        starts = starts_of(contents.lengths).tolist()
        for index, (clip_id, values) in enumerate(frames.items()):
            with ClipWriter(offsets, spec, index, starts[index], len(values)) as writer:
                writer.write(values)
                writer.finish(
                    digests[clip_id], sound[clip_id], moments_of(values, spec.scale)
                )
        with open(partial, "rb") as file, naming(partial):
            os.fsync(file.fileno())
    return path


def _errors(
    spec: FeatureSpec, frames: Mapping[str, np.ndarray], sound: Mapping[str, tuple[int, int]],
    digests: Mapping[str, str],
) -> list[str]:
    errors = [] if frames else ["there are no clips"]
    errors += [
        f"{what} names {clip_id!r}, which has no frames"
        for what, names in (("sound", sound), ("digests", digests))
        for clip_id in names if clip_id not in frames
    ]
    width = (spec.width,) if spec.width else ()
    needed = f"{spec.dtype} of shape ({', '.join(['n', *map(str, width)])})"
    for clip_id, values in frames.items():
        if values.dtype != spec.dtype or not values.ndim or values.shape[1:] != width:
            errors.append(f"{clip_id!r} has {values.dtype} of shape {values.shape}; needs {needed}")
        elif not len(values):
            errors.append(f"{clip_id!r} has no frames")
        elif not np.isfinite(values).all():
            errors.append(f"{clip_id!r} has values that are NaN or infinite in {spec.dtype}")
        elif not 0 <= sound[clip_id][0] <= sound[clip_id][1] <= len(values):
            errors.append(f"sound of {clip_id!r} is {sound[clip_id]}; it has {len(values)} frames")
        digest = digests[clip_id]
        if len(digest) != 64 or not (digest.isascii() and digest.isalnum()):
            errors.append(f"digest of {clip_id!r} is {digest!r}; needs 64 hexadecimal digits")
    return errors
