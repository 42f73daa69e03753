"""Make a small synthetic data set in the layout of FSDKaggle2019, to try the pipeline on.

  python -m pipeline.demo                      # into the folder that params.yaml names
  python -m pipeline.demo data/other --seed 1

Writes train_curated.csv, train_noisy.csv, sample_submission.csv, test_post_competition.csv and
the folders train_curated/, train_noisy/ and test/ of 44.1 kHz mono 16-bit WAV files of 0.3 to
12 s: twelve classes, one or two labels a clip, about half of the noisy labels wrong. The same
settings give the same bytes. A folder that holds the same demo is left as it is; anything else
that is in the way is refused (exit code 2), never touched.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from pipeline.cli import main as stage
from pipeline.cli.markers import AlsoPositional, Help
from pipeline.runtime.errors import UsageError

MARKER = "demo.json"  # the settings that made the folder; also in an unfinished one
FOLDERS = ("train_curated", "train_noisy", "test")
SHORTEST, LONGEST = 0.3, 12.0  # seconds
TWO_LABELS, WRONG_LABELS, PUBLIC = 1 / 7, 0.5, 0.3  # shares of the clips


@dataclass(frozen=True)
class Settings:
    out: Annotated[Path, AlsoPositional(), Help("folder to create")]
    seed: Annotated[int, Ge(0), Help("random seed of every sound and label")]
    curated: Annotated[int, Ge(1), Help("number of training clips with correct labels")]
    noisy: Annotated[int, Ge(0), Help("number of training clips with background sounds, about "
                                      "half of them with wrong labels")]
    test: Annotated[int, Ge(1), Help("number of test clips")]


def run(settings: Settings) -> None:
    from pipeline.synthesis.scene import RECIPE, SOUNDS

    out = Path(os.path.realpath(settings.out))
    numbers = {name: value for name, value in asdict(settings).items() if name != "out"}
    made_by = json.dumps({"recipe": RECIPE, **numbers}, indent=1) + "\n"
    following = f"Next: python -m pipeline.prepare --data {shlex.quote(str(settings.out))}"
    if _holds(out, made_by):
        missing = [f"{folder}/{name}" for folder, names in
                   zip(FOLDERS, _file_names(settings), strict=True) for name in names
                   if not (out / folder / name).is_file()]
        if missing:
            raise _in_the_way(out, f"lacks {len(missing)} of its clips, such as {missing[0]}")
        print(f"demo: {settings.out} already holds this demo, nothing to do. {following}")
        return
    partial = out.with_name(out.name + ".partial")
    _begin(partial, made_by)
    seconds = sum(_write_split(partial, i, names, settings.seed)
                  for i, names in enumerate(_file_names(settings)))
    megabytes = sum(path.stat().st_size for path in partial.rglob("*.wav")) / 1e6
    os.replace(partial, out)
    clips = f"{settings.curated} curated, {settings.noisy} noisy and {settings.test} test clips"
    print(f"demo: {settings.out}: {clips}, {seconds / 60:.1f} minutes of audio, "
          f"{len(SOUNDS)} classes, {megabytes:.0f} MB. {following}")


def _holds(out: Path, made_by: str) -> bool:
    """Whether `out` is this very demo; anything else but an empty folder is refused."""
    if out.suffix == ".partial":
        raise UsageError(f"{out}: a name in .partial is for an unfinished demo; choose another")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    found = (out / MARKER).read_bytes() if (out / MARKER).is_file() else None
    if found != made_by.encode():
        what = "is not a demo" if found is None else "is a demo made with other settings"
        raise _in_the_way(out, what)
    return True


def _begin(partial: Path, made_by: str) -> None:
    """An empty folder to fill; what an interrupted run left is cleared, nothing else ever is."""
    if partial.is_dir() and any(partial.iterdir()) and not (partial / MARKER).is_file():
        raise _in_the_way(partial, "was not left by an interrupted run")
    partial.mkdir(parents=True, exist_ok=True)
    (partial / MARKER).write_text(made_by, encoding="utf-8", newline="\n")
    for name in FOLDERS:
        if (partial / name).exists():
            shutil.rmtree(partial / name)


def _in_the_way(path: Path, what: str) -> UsageError:
    return UsageError(f"{path} is in the way: it exists and {what}. "
                      "Remove it yourself, or choose another folder with --out.")


def _file_names(settings: Settings) -> list[list[str]]:
    """For each folder eight hexadecimal digits a clip, sorted; no two are alike anywhere."""
    import numpy as np

    counts = [settings.curated, settings.noisy, settings.test]
    drawn = np.random.default_rng([settings.seed, 0]).choice(2**32, sum(counts), replace=False)
    return [[f"{x:08x}.wav" for x in sorted(part)]
            for part in np.split(drawn, np.cumsum(counts)[:-1])]


def _write_split(partial: Path, split: int, names: list[str], seed: int) -> float:
    """Write a folder's clips and its tables; returns the seconds of audio in it."""
    import numpy as np

    from pipeline.audio.decode import write_pcm16
    from pipeline.synthesis.scene import SOUNDS, SR, log_uniform, scene

    folder, classes = FOLDERS[split], sorted(SOUNDS)
    (partial / folder).mkdir()
    rng = np.random.default_rng([seed, 1 + split])
    turns = [c for _ in names[::len(classes)] for c in rng.permutation(classes).tolist()]
    rows, samples = [], 0
    for i, (name, first) in enumerate(zip(names, turns, strict=False)):
        # A generator a clip: no clip depends on another, no test clip on a training clip.
        rng = np.random.default_rng([seed, 1 + split, 1 + i])
        sounds = [first]
        if rng.random() < TWO_LABELS:
            sounds.append(str(rng.choice([c for c in classes if c not in sounds])))
        behind = str(rng.choice(classes)) if folder == "train_noisy" else None
        y = scene(rng, sounds, log_uniform(rng, SHORTEST, LONGEST), behind=behind)
        write_pcm16(partial / folder / name, y, SR)
        samples += len(y)
        if folder == "train_noisy" and rng.random() < WRONG_LABELS:
            sounds = [str(rng.choice([c for c in classes if c not in sounds]))]
        usage = ["Public" if rng.random() < PUBLIC else "Private"] if folder == "test" else []
        rows.append([name, ",".join(sorted(sounds)), *usage])
    if folder == "test":
        _write_table(partial / "test_post_competition.csv", ["fname", "labels", "usage"], rows)
        _write_table(partial / "sample_submission.csv", ["fname", *classes],
                     ([name, *[0] * len(classes)] for name in names))
    else:
        _write_table(partial / f"{folder}.csv", ["fname", "labels"], rows)
    return samples / SR


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    stage.main("demo", Settings, run, __doc__)
