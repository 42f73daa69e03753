"""Write an HTML page on models: how runs score, what they confuse, which labels they doubt.

  python -m pipeline.report                      # the ensemble and its members
  python -m pipeline.report --runs mfcc logmel   # two runs side by side

One file, which needs no network: scores with 95 % bootstrap intervals and the gain of each step of
an ensemble; lwlrap of each class against its number of clips; training curves; confusions;
calibration; the worst clips and likely label errors with player, waveform, log-mel and MFCC. The
first run is shown in most detail; two named runs are compared class by class and clip by clip.

Also writes LABEL_ERRORS, a CSV of suspicious clips. Fill in the column action (keep, correct or
drop) in a copy of it, and run `python -m pipeline.prepare --relabel corrections.csv`. With `dvc
repro`, name the copy in params.yaml (prepare.relabel) and in dvc.yaml (vars: relabel); otherwise
it prepares without the corrections.

Clips are played from their files or from the waveform store. Without both they are shown without
sound, without stores also without spectrograms.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help, Section
from pipeline.cli.params_file import PARAMS, read_values, run_names
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    runs: Annotated[tuple[str, ...] | None, Help(
        "names of the runs to show; two are compared; none: the ensemble of params.yaml and its "
        "members"
    )]
    data: Annotated[Path, Help("folder that prepare wrote")]
    stores: Annotated[Path, Help("folder of the stores that extract wrote")]
    out: Annotated[Path, Help("HTML file to write")]
    label_errors: Annotated[Path, Help("CSV file of likely label errors to write")]
    clips: Annotated[int, Ge(0), Help(
        "number of clips to hear: of the worst, and of the likely label errors of each set"
    )]
    seconds: Annotated[float, Gt(0), Le(60), Help("how much of each clip to hear (s)")]
    seed: Annotated[int, Ge(0), Help("random seed of the bootstrap intervals")]
    resamples: Annotated[int, Ge(1), Help("number of bootstrap resamples per interval")]
    jobs: Annotated[int, Ge(-1), Le(1024), Section("machine"), Help(
        "number of threads that decode and draw; -1: one per CPU core"
    )]
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings, or those that differ from params.yaml; a flag wins over its key"
    )] = PARAMS


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_clips, read_labels
    from pipeline.diagnostics.evaluated_runs import check_runs
    from pipeline.diagnostics.label_error_table import check_label_errors, write_label_errors
    from pipeline.diagnostics.reported_runs import (
        all_notes,
        default_runs,
        label_modes,
        read_run,
        uneven_clips,
    )
    from pipeline.reports.model_sections import make_sections
    from pipeline.reports.model_sections.material import Sources, gather
    from pipeline.reports.page import check_output, write_page
    from pipeline.runs.folder import RunFolder
    from pipeline.runtime.progress import size
    from pipeline.store.reader import open_store

    check_output(settings.out)
    check_label_errors(settings.label_errors, page=settings.out)
    names = settings.runs
    if names is None:
        names = default_runs(settings.runs_dir, read_values(settings.params, "ensemble")["name"],
                             run_names(settings.params))
    if not names:
        raise UsageError(f"{settings.runs_dir} has none of the runs of {settings.params}; train "
                         "one (python -m pipeline.train --run NAME), or name some with --runs")
    dataset, clips = read_clips(settings.data)
    labels = {label.clip_id: label for label in read_labels(settings.data)}
    folders = [RunFolder(settings.runs_dir, name) for name in dict.fromkeys(names)]
    check_runs(folders, dataset, data=settings.data)
    stores = {path.stem: open_store(path) for path in sorted(settings.stores.glob("*.h5"))}
    runs = [read_run(folder, labels, seed=settings.seed, resamples=settings.resamples)
            for folder in folders]
    file = os.path.relpath(settings.label_errors, settings.out.parent)
    material = gather(
        dataset, labels, runs, Sources(dataset.root, clips, stores),
        pair=settings.runs is not None and len(runs) == 2, n_clips=settings.clips,
        seconds=settings.seconds, table=file, seed=settings.seed, resamples=settings.resamples,
        jobs=settings.jobs,
    )
    for note in (*all_notes(runs), *uneven_clips(runs)):
        print(note)
    suspicious, kept = write_label_errors(settings.label_errors, material.search.found)
    n_bytes = write_page(
        settings.out, f"Models of {dataset.root.absolute().name}",
        f"{', '.join(each.name for each in runs)}: {len(dataset.classes)} classes, "
        f"{label_modes(runs)}. Written by python -m pipeline.report.",
        make_sections(material),
    )
    print(f"report: {', '.join(each.name for each in runs)}; {len(material.cards)} clips to hear")
    earlier = f", with {kept} earlier decisions" if kept else ""
    print(f"Wrote {settings.label_errors} ({suspicious} suspicious clips{earlier})")
    print(f"Wrote {settings.out} ({size(n_bytes)})")


if __name__ == "__main__":
    stage.main("report", Settings, run, __doc__)
