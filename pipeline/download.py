"""Download a published data set, verify it and unpack it into a folder for prepare.

  python -m pipeline.download esc10                     # into data/esc10
  python -m pipeline.download fsdkaggle2019 --dry-run   # licence and sizes; downloads nothing
  python -m pipeline.download fsdkaggle2019 --source kaggle
  python -m pipeline.download fsdkaggle2019 --mirror http://server/fsdkaggle2019

fsdkaggle2019 and fsdkaggle2018 come from Zenodo; every file must have the size and the MD5 of
Zenodo's record. esc50, and esc10, which is a part of it, come from GitHub, where no checksums are
published: those within the zip are checked. A mirror is a folder on a web server with the
publisher's files under their own names and, for Zenodo's data sets, a copy of
https://zenodo.org/api/records/NUMBER as record.json; the checksums are then the mirror's. --source
kaggle downloads the competition's files with kagglehub and your own token.

The licence, the sizes and the free space are said before the first byte. To resume after Ctrl-C, a
kill or a lost connection, run the same command again. The archives are in OUT.download until OUT is
complete. No other command downloads anything.

exit codes: 0 done or nothing to do, 1 no connection, no space left, or a file that is not as
published, 2 usage
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Positional
from pipeline.published.catalogue import DATASETS, Name, Source


@dataclass(frozen=True)
class Settings:
    dataset: Annotated[Name, Positional(), Help("name of the data set to download")]
    out: Annotated[Path | None, Help("folder to create; none: data/DATASET")]
    source: Annotated[Source, Help(
        "where to download it from; kaggle: its competition, by kagglehub and your own token"
    )]
    mirror: Annotated[str | None, Help(
        "address of a folder with the publisher's files; none: the publisher's own addresses"
    )]
    keep_archives: Annotated[bool, Help("keep the archives in OUT.download after unpacking")]
    dry_run: Annotated[bool, FlagOnly(), Help(
        "show licence, sizes and free space, and download no archive"
    )] = False


def run(settings: Settings) -> None:
    from pipeline.published import installation

    name = settings.dataset
    out = settings.out or Path("data") / name
    following = f"Next: python -m pipeline.prepare --data {shlex.quote(str(out))}"
    if installation.is_installed(name, out):
        print(f"download: {out} already holds {DATASETS[name].title}, nothing to do. {following}")
        return
    plan = installation.make_plan(name, out, source=settings.source, mirror=settings.mirror)
    for line in installation.describe(plan):
        print(line, flush=True)
    installation.check_space(plan)
    if settings.dry_run:
        print("download: nothing was downloaded (--dry-run)")
        return
    n_files = installation.install(plan, keep_archives=settings.keep_archives)
    kept = f"; the archives are in {plan.work}" if settings.keep_archives else ""
    print(f"download: {out}: {n_files} files, verified and unpacked{kept}. {following}")


if __name__ == "__main__":
    stage.main("download", Settings, run, __doc__)
