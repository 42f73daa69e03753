"""Draw the frames of one clip in a store.

Only stages that draw may import this module: it needs librosa.
"""

from __future__ import annotations

from pathlib import Path

import librosa.display
import matplotlib
import numpy as np

from pipeline.runtime.errors import UsageError
from pipeline.store.reader import Store


def draw_clip(store: Store, clip_id: str, path: Path) -> None:
    """Draw a clip's frames over time as a PNG file, and where its sound begins and ends.

    Parameters
    ----------
    store : Store
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
    spec, step = store.spec, store.spec.declaration.seconds_per_frame
    frames = store[clip_id]
    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    feature = spec.declaration
    if spec.width:
        hz = feature.axis.hz
        image = librosa.display.specshow(
            frames.T, sr=feature.sr, hop_length=feature.frame_samples, x_axis="time", ax=axes,
            y_axis=None if hz is None else "mel", y_coords=None if hz is None else np.array(hz),
            cmap="magma",
        )
        figure.colorbar(image, ax=axes, label=spec.units)
    else:
        librosa.display.waveshow(frames, sr=feature.sr, ax=axes)
    axes.set_ylabel(feature.axis.label)
    axes.set(xlabel="s", xlim=(0, len(frames) * step))
    for bound in store.sound[store.index_of(clip_id)] * step:
        axes.axvline(bound, color="tab:red", linestyle="--", linewidth=1)
    axes.set_title(
        f"{spec.feature} of {clip_id} (dashed: where its sound begins and ends)",
        parse_math=False,  # a dollar in a name is a dollar
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)
