"""Decode every clip once, in parallel, into HDF5 stores of waveforms, MFCC and log-mel frames.

  python -m pipeline.extract                              what prepare wrote, as params.yaml says
  python -m pipeline.extract --sr 44100 --jobs 2          every feature at 44.1 kHz
  python -m pipeline.extract --data data/demo             a data set's folder, without prepare
  python -m pipeline.extract --features logmel --n-mels 64 --feature-dtype float16

A rerun does only what is missing: nothing if nothing changed, one store if one store's settings
changed, one clip if one clip changed. After Ctrl-C, a kill or a loss of power, the same command
goes on where it stopped, and the bytes are those of an uninterrupted run.

Bad clips are all listed, on the terminal and in problems.csv beside the stores; nothing is sealed
then, unless --allow-failures says how many may be left out.

exit codes: 0 done, 1 no space left or the like, 2 usage, 3 more bad clips than allowed, 4 a
corrupt store, 130 and 143 stopped by a signal
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from annotated_types import Ge, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Replaces, Section
from pipeline.cli.params_file import PARAMS, read_values
from pipeline.runtime.choices import Backend, FeatureName, FrameDtype, WaveformDtype

if TYPE_CHECKING:
    from pipeline.extraction.extractors import Target
    from pipeline.extraction.request import Summary

RATES = ("waveform_sr", "mfcc_sr", "logmel_sr")
Rate = Annotated[int, Ge(1000), Le(768_000)]

# For the workers, and before NumPy is imported here. One thread each, for a BLAS with more may
# round sums differently; and memory that is freed stays with glibc, for blocks of half a megabyte
# come again and again, and fetching them from the system each time costs a tenth of the run.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


@dataclass(frozen=True)
class Settings:
    data: Annotated[Path, Help("folder that prepare wrote, or a data set's folder")]
    out: Annotated[Path, Help("folder to write the stores to")]
    features: Annotated[tuple[FeatureName, ...], Help("features to extract, one store each")]
    sr: Annotated[Rate, Replaces(*RATES), Help(
        "sampling rate of all features that have none of their own (Hz)"
    )]
    waveform_sr: Annotated[Rate | None, Help(
        "sampling rate of the waveforms (Hz); none: that of --sr"
    )]
    mfcc_sr: Annotated[Rate | None, Help("sampling rate for the MFCC (Hz); none: that of --sr")]
    logmel_sr: Annotated[Rate | None, Help(
        "sampling rate for the log-mel frames (Hz); none: that of --sr"
    )]
    n_fft: Annotated[int, Ge(16), Le(1 << 20), Help("length of the FFT window (samples)")]
    hop_length: Annotated[int, Ge(1), Help("distance between successive frames (samples)")]
    n_mels: Annotated[int, Ge(1), Help("number of mel bands")]
    n_mfcc: Annotated[int, Ge(1), Help("number of MFCC coefficients, at most --n-mels")]
    fmin: Annotated[float, Ge(0), Help("lower edge of the lowest mel band (Hz)")]
    fmax: Annotated[float | None, Help(
        "upper edge of the highest mel band (Hz); none: half the sampling rate"
    )]
    top_db: Annotated[float | None, Help(
        "clip values to this range below the clip's maximum (dB); none: no clipping"
    )]
    trim_db: Annotated[float, Ge(0.1), Help(
        "leading and trailing frames this far below the clip's loudest frame are silence (dB)"
    )]
    waveform_dtype: Annotated[WaveformDtype, Help(
        "data type of stored samples; int16 halves the size and clips beyond full scale"
    )]
    feature_dtype: Annotated[FrameDtype, Help(
        "data type of stored frames; float16 halves the size and rounds to 3 digits"
    )]
    jobs: Annotated[int, Ge(-1), Le(1024), Section("machine"), Help(
        "number of parallel workers; -1: one per CPU core"
    )]
    backend: Annotated[Backend, Section("machine"), Help(
        "joblib backend; loky: processes, threading: threads, dask and ray: a cluster's workers"
    )]
    allow_failures: Annotated[int, Ge(0), Help(
        "number of bad clips to accept and leave out; with more, no store is written"
    )]
    force: Annotated[bool, FlagOnly(), Help(
        "extract all clips again, even those that have not changed"
    )] = False
    limit: Annotated[int | None, Ge(1), FlagOnly(), Help(
        "extract only the first N clips, for a quick try"
    )] = None
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings; a flag wins over its key there"
    )] = PARAMS


def run(settings: Settings) -> None:
    os.environ.update(ENVIRONMENT)
    from pipeline.runtime import parallel
    from pipeline.runtime.errors import UsageError
    from pipeline.store.partial import store_path

    if settings.jobs == 0:
        raise UsageError("--jobs is 0; it needs 1 or more, or -1 for one a core")
    stores = [store_path(settings.out, feature) for feature in settings.features]
    if settings.force or not all(map(os.path.exists, stores)):
        parallel.start_ahead(jobs=settings.jobs, backend=settings.backend)
    # Only now, for they have much to import.
    from pipeline.dataset.tables import is_prepared
    from pipeline.extraction.inputs import clips_of
    from pipeline.extraction.request import Request
    from pipeline.extraction.run import extract
    from pipeline.runtime.files import locked

    targets = make_targets(settings)
    with locked(settings.out):
        dataset, clips, earlier, accepted = clips_of(
            settings.data, settings.out,
            # Said in the section of the stage that knows data sets, and needed without one alone.
            drop_known_bad=is_prepared(settings.data)
            or read_values(settings.params, "prepare")["drop_known_bad"],
        )
        summary = extract(Request(
            root=dataset.root, clips=clips[:settings.limit], targets=targets, out=settings.out,
            trim_db=settings.trim_db, jobs=settings.jobs, backend=settings.backend,
            allow_failures=settings.allow_failures, earlier=earlier, accepted=accepted,
            force=settings.force,
        ))
    show(settings.out, summary)


def make_targets(settings: Settings) -> list[Target]:
    """The stores that the settings ask for."""
    from pipeline.extraction.extractors import make_target
    from pipeline.runtime.errors import UsageError

    s = settings
    spectral = {
        "n_fft": s.n_fft, "hop_length": s.hop_length, "n_mels": s.n_mels,
        "fmin": s.fmin, "fmax": s.fmax, "top_db": s.top_db,
    }
    configs: dict[str, dict[str, Any]] = {
        "waveform": {"sr": s.waveform_sr or s.sr},
        "mfcc": {"sr": s.mfcc_sr or s.sr, "n_mfcc": s.n_mfcc, **spectral},
        "logmel": {"sr": s.logmel_sr or s.sr, **spectral},
    }
    targets, errors = [], []
    for name in dict.fromkeys(s.features):
        dtype = s.waveform_dtype if name == "waveform" else s.feature_dtype
        try:
            targets.append(make_target(name, trim_db=s.trim_db, dtype=dtype, **configs[name]))
        except UsageError as error:
            errors.append(str(error))
    if not s.features:
        errors.append("features names none; known: " + ", ".join(get_args(FeatureName)))
    if errors:
        raise UsageError("\n".join(errors))
    return targets


def show(out: Path, summary: Summary) -> None:
    """The closing summary."""
    from pipeline.runtime.progress import hours, size
    from pipeline.store.partial import store_path

    for name in summary.up_to_date:
        path = store_path(out, name)
        print(f"{path}: up to date, {size(path.stat().st_size)}")
    for path in summary.sealed.values():
        print(f"{path}: {size(path.stat().st_size)}")
    if summary.clipped_clips:
        print(
            f"{summary.clipped_samples} samples of {summary.clipped_clips} clips are beyond full "
            "scale and were clipped to int16; --waveform-dtype float32 keeps them"
        )
    if summary.problems:
        print(f"{len(summary.problems)} bad clips left out: {out / 'problems.csv'}")
    if summary.sealed and not summary.extracted:
        print(f"extract: no clip decoded; {summary.reused} taken over")
    elif summary.sealed:
        speed = summary.audio_seconds / max(summary.wall_seconds, 1e-9)
        print(
            f"extract: {summary.extracted} clips ({hours(summary.audio_seconds)}) in "
            f"{summary.wall_seconds:.1f} s, {speed:.0f} x real time"
            + (f"; {summary.reused} taken over" if summary.reused else "")
        )
    else:
        print("extract: nothing to do")


if __name__ == "__main__":
    stage.main("extract", Settings, run, __doc__)
