"""Decode every clip once, in parallel, into one HDF5 store per feature.

  python -m pipeline.extract                              what prepare wrote, with params.yaml
  python -m pipeline.extract --dry-run                    show what would be done, write nothing
  python -m pipeline.extract --sr 44100 --jobs 2          every feature at 44.1 kHz
  python -m pipeline.extract --data recordings            any folder of audio, without prepare
  python -m pipeline.extract --backend dask --scheduler tcp://HOST:8786     on several machines
  python -m pipeline.extract --features logmel --n-mels 64
  python -m pipeline.extract --features.logmel.dtype float16      a setting of one feature

Features have names: section `features` of params.yaml says what each name stands for, section
`extract` has the values that features share unless they set their own. A flag wins over both.

Without prepare, --data takes every audio file in the folder and in those inside it; ids are the
paths, or the names in the data set's tables if it has some. Training needs prepare's labels.

A rerun extracts only what is missing: nothing if nothing changed, one store if its settings
changed, one clip if its file changed. To resume after Ctrl-C, a kill or a power failure, run the
same command again; the stores are the same bytes as those of an uninterrupted run. A rerun trusts
the stores; --repair reads them, as inspect --verify does, and extracts damaged clips again.

All bad clips are listed, on the terminal and in problems.csv beside the stores. If there are more
than --allow-failures accepts, no store is written.

exit codes: 0 done, 1 system error such as no space left, 2 usage, 3 more bad clips than allowed,
4 corrupt store, 130 and 143 stopped by a signal
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Section, SharedBy
from pipeline.cli.origins import Words
from pipeline.cli.params_file import PARAMS, read_values
from pipeline.runtime.choices import NO_JOBS, Backend


def feature_entries() -> list[type]:
    """List what params.yaml may say of a feature; imported late because --help must be instant."""
    from pipeline.extraction.targets import entry_classes

    return entry_classes()


@dataclass(frozen=True)
class Settings:
    data: Annotated[Path, Help("folder that prepare wrote, or any folder of audio")]
    out: Annotated[Path, Help("folder to write the stores to")]
    features: Annotated[tuple[str, ...] | None, Help(
        "names of the features to extract, one store each; none: all of params.yaml"
    )]
    named: Annotated[Mapping[str, Any], Section("features", feature_entries), Help(
        "KEY of the feature NAME, such as --features.mfcc.n-mfcc 20"
    )]
    sr: Annotated[int, Ge(1000), Le(768_000), SharedBy("features"), Help(
        "sampling rate of the features (Hz)"
    )]
    n_fft: Annotated[int, Ge(16), Le(1 << 20), SharedBy("features"), Help(
        "length of the FFT window (samples)"
    )]
    hop_length: Annotated[int, Ge(1), SharedBy("features"), Help(
        "distance between successive frames (samples)"
    )]
    n_mels: Annotated[int, Ge(1), SharedBy("features"), Help("number of mel bands")]
    fmin: Annotated[float, Ge(0), SharedBy("features"), Help(
        "lower edge of the lowest mel band (Hz)"
    )]
    fmax: Annotated[float | None, SharedBy("features"), Help(
        "upper edge of the highest mel band (Hz); none: half the sampling rate"
    )]
    top_db: Annotated[float | None, SharedBy("features"), Help(
        "clip values to this range below the clip's maximum (dB); none: no clipping"
    )]
    trim_db: Annotated[float, Ge(0.1), Help(
        "leading and trailing frames this far below the clip's loudest frame are silence (dB)"
    )]
    jobs: Annotated[int, Ge(-1), Le(1024), Section("machine"), Help(
        "number of parallel workers; -1: one per CPU core"
    )]
    backend: Annotated[Backend, Section("machine"), Help(
        "loky: processes, threading: threads, dask and ray: a cluster's workers"
    )]
    scheduler: Annotated[str | None, Section("machine"), Help(
        "address of the Dask scheduler, such as tcp://HOST:8786; none: as Dask is configured, else "
        "a local cluster"
    )]
    address: Annotated[str | None, Section("machine"), Help(
        "address of the Ray cluster, such as HOST:6379 or auto; none: RAY_ADDRESS, else a local "
        "cluster"
    )]
    allow_failures: Annotated[int, Ge(0), Help(
        "number of bad clips to accept and leave out; with more, no store is written"
    )]
    force: Annotated[bool, FlagOnly(), Help(
        "extract all clips again, even those that have not changed"
    )] = False
    repair: Annotated[bool, FlagOnly(), Help(
        "read the stores, and extract those clips again whose bytes are damaged"
    )] = False
    dry_run: Annotated[bool, FlagOnly(), Help(
        "print which clips would be decoded, reused or left out, and why; write nothing"
    )] = False
    limit: Annotated[int | None, Ge(1), FlagOnly(), Help(
        "extract only the first N clips, for a quick try"
    )] = None
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings, or those that differ from params.yaml; a flag wins over its key"
    )] = PARAMS

    @staticmethod
    def problems(valid: Mapping[str, Any], words: Words) -> list[str]:
        """List what is wrong with the features to extract, beside single values."""
        from pipeline.extraction.targets import feature_problems

        named = valid.get("named", {})
        return feature_problems(named, valid.get("features") or named)


def run(settings: Settings) -> None:
    from pipeline.extraction.environment import set_environment

    set_environment()
    from pipeline.runtime import parallel
    from pipeline.runtime.errors import UsageError
    from pipeline.store.partial import store_path

    if settings.jobs == 0:
        raise UsageError(NO_JOBS)
    if settings.force and settings.repair:
        raise UsageError("--force extracts all clips again, --repair the damaged ones: give one")
    cluster = parallel.cluster_address(
        settings.backend, scheduler=settings.scheduler, address=settings.address)
    names = tuple(settings.named) if settings.features is None else settings.features
    stores = [store_path(settings.out, name) for name in names]
    has_work = settings.force or not all(map(os.path.exists, stores))
    if settings.backend == "loky" and has_work and not settings.dry_run:
        parallel.start_ahead()
    # Imported late: they have much to import.
    from pipeline.dataset.tables import is_prepared
    from pipeline.extraction.stores import extract_stores
    from pipeline.extraction.targets import make_targets

    targets = make_targets(settings.named, names, trim_db=settings.trim_db)
    # Prepare's setting, for a data set that was not prepared.
    drop_known_bad = (is_prepared(settings.data)
                      or bool(read_values(settings.params, "prepare")["drop_known_bad"]))
    print(extract_stores(
        settings.data, settings.out, targets, drop_known_bad=drop_known_bad,
        limit=settings.limit, allow_failures=settings.allow_failures, trim_db=settings.trim_db,
        jobs=settings.jobs, backend=settings.backend, cluster=cluster, force=settings.force,
        repair=settings.repair, dry_run=settings.dry_run,
    ))


if __name__ == "__main__":
    stage.main("extract", Settings, run, __doc__)
