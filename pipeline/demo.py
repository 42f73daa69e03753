"""Make a small synthetic data set in the layout of FSDKaggle2019, to try the pipeline with.

  python -m pipeline.demo                      # into the folder that params.yaml names
  python -m pipeline.demo data/other --seed 1

Writes the competition's CSVs and folders with 44.1 kHz mono 16-bit WAV files of 0.3 to 12 s, in
twelve classes, with one or two labels per clip; about half of the noisy labels are wrong. The same
settings give the same bytes. A folder that holds the same demo is left unchanged; any other is
refused (exit code 2), never overwritten.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from pipeline.cli import main as stage
from pipeline.cli.markers import AlsoPositional, Help
from pipeline.runtime.errors import UsageError

MARKER = "demo.json"  # the settings that made the folder; also in an unfinished one
FOLDERS = ("train_curated", "train_noisy", "test")


@dataclass(frozen=True)
class Settings:
    out: Annotated[Path, AlsoPositional(), Help("folder to create")]
    seed: Annotated[int, Ge(0), Help("random seed of every sound and label")]
    curated: Annotated[int, Ge(1), Help("number of training clips with correct labels")]
    noisy: Annotated[int, Ge(0), Help(
        "number of training clips with background sounds, about half of them with wrong labels")]
    test: Annotated[int, Ge(1), Help("number of test clips")]


def run(settings: Settings) -> None:
    from pipeline.synthesis.dataset import file_names
    from pipeline.synthesis.scene import RECIPE, SOUNDS

    out = Path(os.path.realpath(settings.out))
    splits = file_names([settings.curated, settings.noisy, settings.test], settings.seed)
    numbers = {name: value for name, value in asdict(settings).items() if name != "out"}
    made_by = json.dumps({"recipe": RECIPE, **numbers}, indent=1) + "\n"
    following = f"Next: python -m pipeline.prepare --data {shlex.quote(str(settings.out))}"
    if _holds(out, made_by):
        clips = [f"{folder}/{name}" for folder, names in zip(FOLDERS, splits, strict=True)
                 for name in names]
        if missing := [clip for clip in clips if not (out / clip).is_file()]:
            raise _occupied(out, f"lacks {len(missing)} of its clips, such as {missing[0]}")
        print(f"demo: {settings.out} already holds this demo, nothing to do. {following}")
        return
    partial = out.with_name(out.name + ".partial")
    _begin(partial, made_by)
    seconds = sum(_write_split(partial, i, names, settings.seed) for i, names in enumerate(splits))
    megabytes = sum(path.stat().st_size for path in partial.rglob("*.wav")) / 1e6
    os.replace(partial, out)
    print(f"demo: {settings.out}: {settings.curated} curated, {settings.noisy} noisy and "
          f"{settings.test} test clips, {seconds / 60:.1f} minutes of audio, "
          f"{len(SOUNDS)} classes, {megabytes:.0f} MB. {following}")


def _holds(out: Path, made_by: str) -> bool:
    """Return whether `out` is the same demo; refuse any other folder that is not empty."""
    if out.suffix == ".partial":
        raise UsageError(f"{out}: names in .partial are for unfinished demos; choose another")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    found = (out / MARKER).read_bytes() if (out / MARKER).is_file() else None
    if found == made_by.encode():
        return True
    raise _occupied(out, "is a demo made with other settings" if found else "is not a demo")


def _begin(partial: Path, made_by: str) -> None:
    """Make the folder to fill, clearing only what an interrupted run left."""
    if partial.is_dir() and any(partial.iterdir()) and not (partial / MARKER).is_file():
        raise _occupied(partial, "was not left by an interrupted run")
    partial.mkdir(parents=True, exist_ok=True)
    (partial / MARKER).write_text(made_by, encoding="utf-8", newline="\n")
    for name in FOLDERS:
        if (partial / name).exists():
            shutil.rmtree(partial / name)


def _occupied(path: Path, what: str) -> UsageError:
    return UsageError(f"{path} exists and {what}. Remove it, or choose another folder with --out.")


def _write_split(partial: Path, split: int, names: list[str], seed: int) -> float:
    """Write the clips and tables of one folder; return the seconds of audio in it."""
    from pipeline.audio.decode import write_pcm16
    from pipeline.runtime.rows import write_rows
    from pipeline.synthesis.dataset import classes, draw_split
    from pipeline.synthesis.scene import SR

    folder = FOLDERS[split]
    (partial / folder).mkdir()
    rows, n_samples = [], 0
    for clip in draw_split(split, names, seed, kind=folder.removeprefix("train_")):
        write_pcm16(partial / folder / clip.name, clip.y, SR)
        n_samples += len(clip.y)
        rows.append([clip.name, ",".join(clip.labels), clip.usage])
    if folder == "test":
        write_rows(partial / "test_post_competition.csv", ["fname", "labels", "usage"], rows)
        write_rows(partial / "sample_submission.csv", ["fname", *classes()],
                   ([name, *[0] * len(classes())] for name in names))
    else:
        write_rows(partial / f"{folder}.csv", ["fname", "labels"], (row[:2] for row in rows))
    return n_samples / SR


if __name__ == "__main__":
    stage.main("demo", Settings, run, __doc__)
