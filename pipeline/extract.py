"""Decode every clip once, in parallel, into HDF5 stores of waveforms, MFCC and log-mel frames.

  python -m pipeline.extract                              what prepare wrote, with params.yaml
  python -m pipeline.extract --dry-run                    show what would be done, write nothing
  python -m pipeline.extract --sr 44100 --jobs 2          every feature at 44.1 kHz
  python -m pipeline.extract --data data/demo             a data set's folder, without prepare
  python -m pipeline.extract --features logmel --n-mels 64 --feature-dtype float16

A rerun extracts only what is missing: nothing if nothing changed, one store if its settings
changed, one clip if its file changed. To resume after Ctrl-C, a kill or a power failure, run the
same command again; the stores are the same bytes as those of an uninterrupted run.

All bad clips are listed, on the terminal and in problems.csv beside the stores. No store is sealed
then, unless --allow-failures accepts that many.

exit codes: 0 done, 1 system error such as no space left, 2 usage, 3 more bad clips than allowed,
4 corrupt store, 130 and 143 stopped by a signal
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import main as stage
from pipeline.cli.settings import PARAMS, read_values, setting

if TYPE_CHECKING:
    from pipeline.extraction.extractors import Target

FEATURES = ("waveform", "mfcc", "logmel")
RATES = ("waveform_sr", "mfcc_sr", "logmel_sr")
MAX_SR = 768_000

# For the workers, and set before NumPy is imported here. One thread each because a BLAS with more
# may round sums differently. Freed memory stays with glibc because blocks of half a megabyte are
# needed again and again, and getting them from the system each time takes a tenth of the run.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


@dataclass(frozen=True)
class Settings:
    data: Path = setting("what prepare wrote, or a data set's folder")
    out: Path = setting("the stores' folder")
    features: tuple[str, ...] = setting("what to extract", choices=FEATURES)
    sr: int = setting(
        "sampling rate of every feature (Hz)", minimum=1000, maximum=MAX_SR, replaces=RATES
    )
    waveform_sr: int | None = setting(
        "rate of the waveforms, if not --sr (Hz)", minimum=1000, maximum=MAX_SR
    )
    mfcc_sr: int | None = setting("rate of the MFCC, if not --sr", minimum=1000, maximum=MAX_SR)
    logmel_sr: int | None = setting(
        "rate of the log-mel frames, if not --sr", minimum=1000, maximum=MAX_SR
    )
    n_fft: int = setting("FFT length (samples)", minimum=16, maximum=1 << 20)
    hop_length: int = setting("distance between frames (samples)", minimum=1)
    n_mels: int = setting("mel bands", minimum=1)
    n_mfcc: int = setting("cepstral coefficients", minimum=1)
    fmin: float = setting("lowest frequency (Hz)", minimum=0)
    fmax: float | None = setting("highest frequency (Hz); none is sr / 2")
    top_db: float | None = setting("floor below a clip's loudest band (dB); none leaves -100 dB")
    trim_db: float = setting("silence is this far below a clip's loudest frame (dB)", minimum=0.1)
    waveform_dtype: str = setting("how samples are stored", choices=("int16", "float32"))
    feature_dtype: str = setting("how frames are stored", choices=("float16", "float32"))
    jobs: int = setting("workers; -1 is one a core", minimum=-1, maximum=1024)
    backend: str = setting(
        "joblib's backend", choices=("loky", "threading", "dask", "ray")
    )
    allow_failures: int = setting("bad clips to leave out rather than stop", minimum=0)
    force: bool = setting("extract everything again", flag_only=True, default=False)
    dry_run: bool = setting("show the plan, write nothing", flag_only=True, default=False)
    limit: int | None = setting("only the first N clips, to try", minimum=1, flag_only=True)
    params: Path = setting("where the settings are", flag_only=True, default=PARAMS)


def run(settings: Settings) -> None:
    os.environ.update(ENVIRONMENT)
    from pipeline.runtime import parallel
    from pipeline.runtime.errors import UsageError
    from pipeline.store.partial import store_path

    if settings.jobs == 0:
        raise UsageError("--jobs is 0; it needs 1 or more, or -1 for one a core")
    stores = [store_path(settings.out, feature) for feature in settings.features]
    if not settings.dry_run and (settings.force or not all(map(os.path.exists, stores))):
        parallel.start_ahead(jobs=settings.jobs, backend=settings.backend)
    # Imported late: they have much to import.
    from pipeline.extraction.inputs import read_inputs
    from pipeline.extraction.plan import describe, make_plan
    from pipeline.extraction.reuse import find_reusable, source_states
    from pipeline.extraction.run import extract, summary_of
    from pipeline.runtime import problems
    from pipeline.runtime.files import locked

    targets = make_targets(settings)
    workers: dict[str, Any] = {"jobs": settings.jobs, "backend": settings.backend}
    with nullcontext() if settings.dry_run else locked(settings.out):
        inputs = read_inputs(
            settings.data, limit=settings.limit, drop_known_bad=drops_known_bad(settings),
            header_cache=None if settings.dry_run else settings.out / "headers.csv",
        )
        reusable = find_reusable(settings.out, targets, force=settings.force)
        states = source_states(
            inputs.root, inputs.clips, settings.out, reusable.values(), **workers
        )
        plan = make_plan(
            inputs, targets, reusable, states, allow_failures=settings.allow_failures
        )
        if settings.dry_run:
            problems.show(plan.problems)
            print(describe(plan, allow_failures=settings.allow_failures))
            print("extract: dry run, nothing written")
            return
        summary = extract(
            plan, settings.out, reusable, states, **workers, force=settings.force,
            allow_failures=settings.allow_failures, trim_db=settings.trim_db,
        )
    print(summary_of(settings.out, summary))


def drops_known_bad(settings: Settings) -> bool:
    """Read prepare's setting, which is needed for a data set that was not prepared."""
    from pipeline.dataset.tables import is_prepared

    return is_prepared(settings.data) or bool(
        read_values(settings.params, "prepare")["drop_known_bad"]
    )


def make_targets(settings: Settings) -> list[Target]:
    """Build the targets that the settings ask for."""
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
        errors.append("features names none; known: " + ", ".join(FEATURES))
    if errors:
        raise UsageError("\n".join(errors))
    return targets


if __name__ == "__main__":
    stage.main("extract", Settings, run, __doc__)
