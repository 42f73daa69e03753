"""Show what stores hold: configuration, counts, hours, sizes, statistics, bad clips.

  python -m pipeline.inspect stores/mfcc.h5
  python -m pipeline.inspect stores/*.h5 --verify            check every clip and every table
  python -m pipeline.inspect stores/logmel.h5 --clip 0006ae4e.wav --plot clip.png

exit codes: 0 all is well, 2 usage, 4 a store that is corrupt (--verify reads all of it)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import main as stage
from pipeline.cli.settings import setting
from pipeline.runtime.errors import StoreError, UsageError

if TYPE_CHECKING:
    from pipeline.store.reader import Store

# Statistics of this many coefficients stand beside each other.
_COLUMNS = 4


@dataclass(frozen=True)
class Settings:
    stores: tuple[Path, ...] = setting("the stores' files", positional=True)
    verify: bool = setting("check every checksum; exit 4 on any mismatch", flag_only=True,
                           default=False)
    clip: str | None = setting("show one clip, by its id", flag_only=True)
    plot: Path | None = setting("draw the clip's frames into this PNG file", flag_only=True)


def run(settings: Settings) -> None:
    from pipeline.store.reader import open_store

    if settings.plot and settings.clip is None:
        raise UsageError("--plot draws one clip: name it with --clip ID")
    if settings.plot and len(settings.stores) > 1:
        raise UsageError(f"--plot draws from one store; {len(settings.stores)} are given")
    errors, failed = [], []
    for path in settings.stores:
        try:
            store = open_store(path)
        except (StoreError, UsageError) as error:
            failed.append(error)
            print(error, file=sys.stderr)
            continue
        if settings.clip is None:
            describe(store)
        else:
            describe_clip(store, settings.clip)
            if settings.plot:
                draw(store, settings.clip, settings.plot)
        if settings.verify:
            found = list(store.verify())
            errors += found
            for sentence in found:
                print(sentence, file=sys.stderr)
            print(f"  verified    {len(store)} clips, {len(found)} mismatches")
    if errors or any(isinstance(error, StoreError) for error in failed):
        raise StoreError(f"{len(errors) + len(failed)} mismatches; extract again with --force")
    if failed:
        raise UsageError(f"{len(failed)} of {len(settings.stores)} stores cannot be opened")


def describe(store: Store) -> None:
    """Print a store's summary."""
    from pipeline.runtime.progress import hours, size

    spec, lengths = store.spec, store.length
    step = store.spec.declaration.seconds_per_frame
    values = f"{spec.width} values" if spec.width else "1 sample"
    print(store.path)
    print(f"  feature     {spec.feature}, version {spec.version}, {spec.dtype}, in {spec.units}")
    print(f"  settings    {', '.join(f'{k}={v}' for k, v in sorted(spec.config.items()))}")
    print(f"  fingerprint {spec.fingerprint}")
    print(f"  clips       {len(store)}, {hours(float(lengths.sum()) * step)}, "
          f"{lengths.min() * step:.2f} to {lengths.max() * step:.2f} s")
    print(f"  frames      {lengths.sum()} of {values}, every {step * 1000:.3g} ms")
    print(f"  size        {size(store.path.stat().st_size)}")
    sound = float((store.sound[:, 1] - store.sound[:, 0]).sum() / lengths.sum())
    print(f"  silence     {1 - sound:.1%} at the clips' ends")
    excluded = store.contents.excluded
    print(f"  left out    {len(excluded)} bad clips" + (":" if excluded else ""))
    for each in excluded:
        print(f"    {each.clip_id}: {each.reason}")
    mean, std = store.mean_std()
    print("  mean ± standard deviation of each value:")
    cells = [f"{i:4d} {m:9.4g} ± {s:<8.4g}" for i, (m, s) in enumerate(zip(mean, std, strict=True))]
    rows = -(-len(cells) // _COLUMNS)
    for row in range(rows):
        print("   " + " ".join(cells[row::rows]))


def describe_clip(store: Store, clip_id: str) -> None:
    """Print what a store knows of one clip."""
    if clip_id not in store:
        some = ", ".join(store.contents.clip_ids[:3])
        raise UsageError(f"{store.path} has no clip {clip_id!r}; it has {len(store)}: {some}, …")
    i, step = store.index_of(clip_id), store.spec.declaration.seconds_per_frame
    frames = store[clip_id]
    first, last = store.sound[i]
    print(f"{store.path}: {clip_id}")
    print(f"  frames      {len(frames)}, {len(frames) * step:.3f} s")
    print(f"  sound       frames {first} to {last}, {first * step:.3f} to {last * step:.3f} s")
    print(f"  values      {frames.min():.4g} to {frames.max():.4g} {store.spec.units}")
    print(f"  source      sha256 {store.digests[i]}")


def draw(store: Store, clip_id: str, path: Path) -> None:
    """Draw a clip's frames over time, and where its sound begins and ends."""
    import matplotlib

    matplotlib.use("agg")
    import librosa.display
    import matplotlib.pyplot as plt
    import numpy as np

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
    print(f"  drawn       {path}")


if __name__ == "__main__":
    stage.main("inspect", Settings, run, __doc__)
