"""Draw the frames of one clip.

Only stages that draw may import this module: it needs librosa.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import librosa.display
import matplotlib
import numpy as np
from matplotlib.axes import Axes

from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import atomic_write
from pipeline.store.reader import Store


def draw_clip(stores: Sequence[Store], clip_id: str, path: Path) -> None:
    """Draw a clip's frames over time as a PNG file, one panel per store.

    Dashed lines show where the clip's sound begins and ends.

    Parameters
    ----------
    stores : sequence of Store
        At least one; each has the clip.
    clip_id : str
    path : Path
        A name that ends in ``.png``.

    Raises
    ------
    UsageError
        If it ends otherwise.
    OSError
        If the file cannot be written.
    """
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    if path.suffix.lower() != ".png":
        raise UsageError(f"--plot {path}: the name must end in .png")
    if not path.parent.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    figure, panels = plt.subplots(
        len(stores), squeeze=False, sharex=True, layout="constrained",
        figsize=(10, 4 if len(stores) == 1 else 2.4 * len(stores)),
    )
    for store, axes in zip(stores, panels[:, 0], strict=True):
        _draw(store, clip_id, axes)
    panels[-1, 0].set_xlabel("s")
    figure.suptitle(
        f"{clip_id} (dashed: where its sound begins and ends)",
        parse_math=False,  # a dollar in a name is a dollar
    )
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
    plt.close(figure)


def _draw(store: Store, clip_id: str, axes: Axes) -> None:
    frames, feature = store[clip_id], store.spec.declaration
    step = feature.seconds_per_frame
    if store.spec.width:
        hz = feature.axis.hz
        image = librosa.display.specshow(
            frames.T, sr=feature.sr, hop_length=feature.frame_samples, x_axis="time", ax=axes,
            y_axis=None if hz is None else "mel", y_coords=None if hz is None else np.array(hz),
            cmap="magma",
        )
        axes.figure.colorbar(image, ax=axes, label=store.spec.units)
    else:
        librosa.display.waveshow(frames, sr=feature.sr, ax=axes)
    axes.set_ylabel(feature.axis.label)
    axes.set(xlabel="", xlim=(0, len(frames) * step))
    for bound in store.sound[store.index_of(clip_id)] * step:
        axes.axvline(bound, color="tab:red", linestyle="--", linewidth=1)
    axes.set_title(store.path.stem, loc="left", fontsize="medium", parse_math=False)
