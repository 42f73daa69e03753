"""From the publisher's files to a folder that prepare reads.

While a data set OUT is downloaded, OUT.download has the archives and, in ``unpacked``, what OUT
will hold. Renaming that to OUT is the last step, so a folder of that name is always complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import ZipFile

from pipeline.published import kaggle, transfer, unpack
from pipeline.published.catalogue import BYTES_PER_HOUR, DATASETS, ESC50_TABLE, Name
from pipeline.published.record import RemoteFile, list_files
from pipeline.published.verification import find_fault
from pipeline.runtime.errors import PipelineError, UsageError, listed
from pipeline.runtime.files import locked, naming
from pipeline.runtime.json_text import parse_json
from pipeline.runtime.progress import ByteProgress, size
from pipeline.runtime.rows import read_rows, write_rows

MARKER = "download.json"  # in a data set's folder: which one it is, and what it was made of


@dataclass(frozen=True)
class Plan:
    """What a download will do.

    Attributes
    ----------
    name : str
    out : Path
        The folder to create, an absolute path.
    files : tuple of RemoteFile
        Empty if Kaggle's client downloads.
    """

    name: Name
    out: Path
    files: tuple[RemoteFile, ...]

    @property
    def work(self) -> Path:
        """The folder for the archives."""
        return self.out.with_name(self.out.name + ".download")

    @property
    def download_bytes(self) -> int:
        """Size of all archives; about that, or at most, if it is not known beforehand."""
        if not self.files:
            return int(DATASETS[self.name].hours * BYTES_PER_HOUR)
        about = DATASETS[self.name].archive_bytes or 0
        return sum(about if file.size is None else file.size for file in self.files)

    @property
    def bytes_here(self) -> int:
        """Bytes of the archives that an earlier run left."""
        return sum(transfer.length_here(self.work / file.name) for file in self.files)

    @property
    def unpacked_bytes(self) -> int:
        """About how large the data set is: its duration says it, unless the archives are small."""
        whole = int(DATASETS[self.name].hours * BYTES_PER_HOUR)
        return min(whole, 2 * self.download_bytes)


def is_installed(name: Name, out: Path) -> bool:
    """Whether `out` is this data set already.

    Raises
    ------
    UsageError
        If it is anything else than that or an empty folder.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        if parse_json((out / MARKER).read_bytes())["dataset"] == name:
            return True
        what = "is another data set"
    except (OSError, ValueError, KeyError, TypeError):
        what = "was not made by this command"
    raise UsageError(f"{out} exists and {what}. Remove it, or choose another folder with --out")


def make_plan(name: Name, out: Path, *, source: str, mirror: str | None) -> Plan:
    """Ask the publisher what there is to download.

    Raises
    ------
    UsageError
        If the place or the source does not go with the data set.
    PipelineError
        If the publisher does not answer.
    """
    out = Path(os.path.realpath(out))
    if os.path.ismount(out):
        raise UsageError(f"{out} is a mount point, which nothing can be renamed to; give a folder "
                         f"in it, such as --out {out / name}")
    if source == "publisher":
        return Plan(name, out, list_files(DATASETS[name], mirror))
    if mirror is not None:
        raise UsageError("--mirror needs --source publisher; kagglehub has its own addresses")
    if DATASETS[name].competition is None:
        known = ", ".join(each for each, dataset in DATASETS.items() if dataset.competition)
        raise UsageError(f"{name} is not from a competition on Kaggle, which has {known}")
    return Plan(name, out, ())


def describe(plan: Plan) -> Iterator[str]:
    """Yield what users should know before anything is downloaded."""
    dataset = DATASETS[plan.name]
    yield f"{dataset.title}, {dataset.reference}"
    yield f"  licence: {dataset.licence}"
    if plan.files:
        about = "" if all(file.size is not None for file in plan.files) else "about "
        here = f", {size(plan.bytes_here)} of them here" if plan.bytes_here else ""
        n = len(plan.files)
        files = f"{n} files" if n > 1 else plan.files[0].name
        yield f"  download: {files}, {about}{size(plan.download_bytes)}{here}"
        checked = ("size and MD5 are published" if all(file.md5 for file in plan.files)
                   else "no checksum is published; the archive's own are checked")
        yield f"  from: {plan.files[0].url.rpartition('/')[0]} ({checked})"
    else:
        yield f"  download: at most about {size(plan.download_bytes)}"
        yield f"  from: Kaggle, competition {dataset.competition}"
    yield f"  unpacked: about {size(plan.unpacked_bytes)}"
    yield f"  into: {plan.out} ({size(_free(plan.out))} free)"


def check_space(plan: Plan) -> None:
    """Refuse to start what the disk has no space for.

    Once all archives are here, the unpacked size is known and :func:`install` compares that.

    Raises
    ------
    PipelineError
        If there is too little for the missing archives and the unpacked data set.
    """
    archives = max(0, plan.download_bytes - plan.bytes_here)
    needed, free = archives + plan.unpacked_bytes, _free(plan.out)
    if archives and needed > free:
        raise PipelineError(
            f"{plan.out}: needs about {size(needed)} ({size(archives)} to download, about "
            f"{size(plan.unpacked_bytes)} unpacked); {size(free)} are free. Make room, or choose a "
            "folder on another disk with --out"
        )


def install(plan: Plan, *, keep_archives: bool) -> int:
    """Download, verify and unpack a data set; resumes what was interrupted.

    Returns
    -------
    int
        Number of files in the data set's folder.

    Raises
    ------
    PipelineError
        If a file cannot be downloaded, differs from the published one or is unsafe to unpack.
    """
    with locked(plan.work):
        folder = plan.work / "unpacked"
        if folder.exists():
            shutil.rmtree(folder)
        if plan.files:
            _download(plan)
            folder.mkdir()
            _unpack(plan, folder)
        else:
            competition = DATASETS[plan.name].competition
            assert competition is not None
            os.replace(kaggle.download_competition(competition, plan.work / "kaggle"), folder)
        made_of = {file.name: asdict(file) for file in plan.files}
        (folder / MARKER).write_text(
            json.dumps({"dataset": plan.name, "files": made_of}, indent=1) + "\n", encoding="utf-8")
        n_files = sum(len(names) for _, _, names in os.walk(folder)) - 1
        os.sync()  # before the name that stands for completeness
        os.replace(folder, plan.out)
        if not keep_archives:
            shutil.rmtree(plan.work)
    return n_files


def _download(plan: Plan) -> None:
    for file in plan.files:
        with ByteProgress(file.name, file.size) as progress:
            transfer.fetch(
                file.url, plan.work / file.name, size=file.size, show=progress.reach,
                find_fault=lambda path, file=file: find_fault(path, file),  # type: ignore[misc]
            )


def _unpack(plan: Plan, folder: Path) -> None:
    with ExitStack() as stack:
        targets = []
        for paths in _archives([plan.work / file.name for file in plan.files]):
            archive = stack.enter_context(unpack.open_archive(paths))
            targets.append((archive, _targets(plan, archive, folder)))
        total = sum(archive.getinfo(name).file_size for archive, names in targets for name in names)
        if total > _free(folder):
            raise PipelineError(
                f"{plan.out}: unpacked it takes {size(total)}; {size(_free(folder))} are free. "
                "Make room and run the same command again: nothing is downloaded twice"
            )
        with ByteProgress("unpacking", total) as progress:
            for archive, names in targets:
                unpack.unpack(archive, folder, names, progress.add)
    if missing := [name for name in DATASETS[plan.name].expected if not (folder / name).exists()]:
        raise PipelineError(f"{plan.work}: the archives lack {listed(missing)}")


def _archives(paths: Sequence[Path]) -> list[list[Path]]:
    """The archives, each with all files that it was split into, in order."""
    archives: dict[str, list[tuple[int, Path]]] = {}
    for path in paths:
        found = re.fullmatch(r"(.+)\.(?:z(\d+)|zip)", path.name)
        if not found:
            raise PipelineError(f"{path}: needs a zip, or a part of one")
        archives.setdefault(found[1], []).append((int(found[2] or 1_000_000), path))
    return [[path for _, path in sorted(parts)] for parts in archives.values()]


def _targets(plan: Plan, archive: ZipFile, folder: Path) -> dict[str, str]:
    """The members to unpack, and their paths in the data set's folder."""
    names = unpack.members(archive)
    dataset = DATASETS[plan.name]
    if dataset.archive is None:
        return {name: name for name in names}
    # GitHub puts everything into a folder that is named after the branch.
    targets = {name: name.partition("/")[2] for name in names if "/" in name}
    if dataset.subset:
        tables = {name: path for name, path in targets.items() if path == ESC50_TABLE}
        unpack.unpack(archive, folder, tables, lambda n: None)
        kept = {f"audio/{name}" for name in _select_rows(folder / ESC50_TABLE, dataset.subset)}
        targets = {name: path for name, path in targets.items() if name not in tables
                   and (not path.startswith("audio/") or path in kept)}
    return targets


def _select_rows(table: Path, column: str) -> list[str]:
    """Reduce ESC-50's table to the clips of which a column is true; return their names."""
    (_, header), *rows = read_rows(table)
    if not {"filename", column} <= set(header):
        raise PipelineError(f"{table}: needs the columns filename and {column}")
    if short := [f"{table}:{line}: {len(row)} cells; the header has {len(header)}"
                 for line, row in rows if len(row) != len(header)]:
        raise PipelineError(f"the archive is not as published: {listed(short)}")
    kept = [row for _, row in rows if row[header.index(column)] == "True"]
    write_rows(table, header, kept)
    return [row[header.index("filename")] for row in kept]


def _free(path: Path) -> int:
    """Bytes that are free where `path` is or will be."""
    while not path.exists():
        path = path.parent
    with naming(path):
        return shutil.disk_usage(path).free
