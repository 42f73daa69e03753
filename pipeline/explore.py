"""Write an HTML page on the data: what is in a data set, what is odd, how it looks and sounds.

  python -m pipeline.explore
  python -m pipeline.explore --data prepared --stores stores --examples 5

One file, which needs no network: clips, hours and labels of each set; clips per class; sets of
labels and labels that occur together; lengths, levels and formats; duplicates and problems; all
clips in a table, the suspicious ones first; and for each class some clips with player, waveform,
log-mel and MFCC.

Everything is read from the tables and stores; what can be heard on the page is decoded. So are
files whose sampling rate is not that of the waveform store, because resampling changes levels;
--no-decode takes those of the store. Levels and duplicates need a waveform store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le

from pipeline.cli import main as stage
from pipeline.cli.markers import Help, Section


@dataclass(frozen=True)
class Settings:
    data: Annotated[Path, Help("folder that prepare wrote")]
    stores: Annotated[Path, Help("folder of the stores that extract wrote")]
    out: Annotated[Path, Help("HTML file to write")]
    examples: Annotated[int, Ge(0), Help("number of clips to hear per class")]
    suspicious: Annotated[int, Ge(0), Help("number of suspicious clips to hear")]
    seconds: Annotated[float, Gt(0), Le(60), Help("how much of each clip to hear (s)")]
    decode: Annotated[bool, Help(
        "decode files of another sampling rate than the waveform store, to measure their levels"
    )]
    seed: Annotated[int, Ge(0), Help("random seed of the choice of examples")]
    jobs: Annotated[int, Ge(-1), Le(1024), Section("machine"), Help(
        "number of threads that decode and draw; -1: one per CPU core"
    )]


def run(settings: Settings) -> None:
    from pipeline.reports.data_sections import make_sections
    from pipeline.reports.data_sections.material import gather
    from pipeline.reports.page import check_output, write_page
    from pipeline.reports.templating import counted
    from pipeline.runtime.progress import hours, size
    from pipeline.survey.clip_table import survey

    check_output(settings.out)
    found = survey(settings.data, settings.stores, decode=settings.decode, jobs=settings.jobs)
    material = gather(
        found, examples=settings.examples, suspicious=settings.suspicious, seconds=settings.seconds,
        seed=settings.seed, jobs=settings.jobs,
    )
    dataset, seconds = found.dataset, found.clips["seconds"].sum()
    n_classes = len(dataset.classes)
    n_bytes = write_page(
        settings.out, f"The data in {dataset.root.name}",
        f"{counted(len(found.clips), 'clip')}, {hours(seconds)} of audio, {n_classes} "
        f"class{'' if n_classes == 1 else 'es'}, "
        f"{'several labels' if dataset.label_mode == 'multi' else 'one label'} per clip. "
        "Written by python -m pipeline.explore.",
        make_sections(material),
    )
    print(f"explore: {len(found.clips)} clips, {len(material.flags)} of them suspicious, "
          f"{len(material.cards)} to hear")
    print(f"Wrote {settings.out} ({size(n_bytes)})")


if __name__ == "__main__":
    stage.main("explore", Settings, run, __doc__)
