"""Print what a store holds, for people."""

from __future__ import annotations

import numpy as np

from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.progress import hours, size
from pipeline.store.reader import Store

# Statistics of this many values stand beside each other.
_COLUMNS = 4


def check_known(store: Store) -> None:
    """Raise a StoreError with the path if this version does not know the feature of a store."""
    try:
        _ = store.spec.declaration
    except StoreError as error:
        raise StoreError(f"{store.path}: {error}") from None


def print_store(store: Store, *, bands: bool = False) -> None:
    """Print what a store holds.

    Parameters
    ----------
    store : Store
    bands : bool
        Print the mean and standard deviation of every value of a frame, not their range alone.
    """
    spec, lengths = store.spec, store.length
    step = store.spec.declaration.seconds_per_frame
    values = f"{spec.width} values" if spec.width else "1 sample"
    print(store.path)
    print(f"  feature     {spec.feature}, version {spec.version}, {spec.dtype}, in {spec.units}")
    print(f"  settings    {', '.join(f'{k}={v}' for k, v in sorted(spec.config.items()))}")
    print(f"  fingerprint {spec.fingerprint}")
    if not lengths.any():
        print(f"  clips       {len(store)}, without frames")
        return
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
    _print_statistics(store, bands=bands)


def _print_statistics(store: Store, *, bands: bool) -> None:
    mean, std = store.mean_std()
    if len(mean) == 1:
        print(f"  mean        {mean[0]:.4g} ± {std[0]:.4g} (standard deviation)")
        return
    low, high = int(np.argmin(mean)), int(np.argmax(mean))
    print(f"  means       {mean[low]:.4g} (value {low}) to {mean[high]:.4g} (value {high}), "
          f"standard deviations {std.mean():.4g} on average"
          + ("" if bands else "; --bands lists all"))
    if not bands:
        return
    cells = [f"{i:4d} {m:9.4g} ± {s:<8.4g}" for i, (m, s) in enumerate(zip(mean, std, strict=True))]
    rows = -(-len(cells) // _COLUMNS)
    for row in range(rows):
        print("   " + " ".join(cells[row::rows]))


def print_clip(store: Store, clip_id: str) -> None:
    """Print what a store holds of one clip.

    Raises
    ------
    UsageError
        If it holds no such clip; names some that it does.
    """
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
