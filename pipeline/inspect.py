"""Show what stores hold: settings, number of clips, hours, sizes, statistics, bad clips.

  python -m pipeline.inspect stores/mfcc.h5
  python -m pipeline.inspect stores/logmel.h5 --bands        mean and deviation of each band
  python -m pipeline.inspect stores/*.h5 --verify            check every clip and every table
  python -m pipeline.inspect stores/*.h5 --clip 0006ae4e.wav --plot clip.png

exit codes: 0 no faults found, 2 usage, 4 a store that is corrupt (--verify reads all of it)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Positional
from pipeline.runtime.errors import StoreError, UsageError


@dataclass(frozen=True)
class Settings:
    stores: Annotated[tuple[Path, ...], Positional(), Help("store files to show")]
    verify: Annotated[bool, FlagOnly(), Help(
        "read the whole store and check all checksums; exit with 4 if one does not match"
    )] = False
    bands: Annotated[bool, FlagOnly(), Help(
        "list the mean and standard deviation of every value of a frame, such as each mel band"
    )] = False
    clip: Annotated[str | None, FlagOnly(), Help("show this clip, by its id")] = None
    plot: Annotated[Path | None, FlagOnly(), Help(
        "plot the frames of the clip named by --clip into this PNG file, one panel per store"
    )] = None


def run(settings: Settings) -> None:
    from pipeline.store.checksums import repair_advice
    from pipeline.store.reader import open_store
    from pipeline.store.summary import check_known, print_clip, print_store

    if settings.plot and settings.clip is None:
        raise UsageError("--plot draws one clip: name it with --clip ID")
    errors, failed, drawn = dict[Path, list[str]](), [], []
    for path in settings.stores:
        try:
            store = open_store(path)
            check_known(store)
            if settings.clip is None:
                print_store(store, bands=settings.bands)
        except (StoreError, UsageError) as error:
            failed.append(error)
            print(error, file=sys.stderr)
            continue
        if settings.clip is not None:
            print_clip(store, settings.clip)
            drawn.append(store)
        if settings.verify:
            found = list(store.verify())
            if found:
                errors.setdefault(path.parent, []).extend(found)
            for sentence in found:
                print(sentence, file=sys.stderr)
            print(f"  verified    {len(store)} clips, {len(found)} mismatches")
    if settings.plot and settings.clip is not None and drawn:
        from pipeline.store.drawing import draw_clip

        draw_clip(drawn, settings.clip, settings.plot)
        print(f"  drawn       {settings.plot}")
    if errors:
        raise StoreError("\n".join(
            f"{len(found)} mismatches; {repair_advice(folder)}" for folder, found in errors.items()
        ))
    if any(isinstance(error, StoreError) for error in failed):
        raise StoreError(f"{len(failed)} of {len(settings.stores)} stores cannot be read")
    if failed:
        raise UsageError(f"{len(failed)} of {len(settings.stores)} stores cannot be opened")


if __name__ == "__main__":
    stage.main("inspect", Settings, run, __doc__)
