"""Measure runs (ensembles too) on the clips whose labels are known.

  python -m pipeline.evaluate --runs mfcc logmel ensemble
  dvc metrics diff; dvc plots diff

lwlrap overall and by class with 95 % bootstrap intervals, mean average precision, the classes most
often confused, and where every clip has one label MAP@3 and accuracy: out of fold, and on the test
clips as far as their labels are known, Public and Private together and apart.

Writes into OUT: metrics.json (run -> set of clips -> measure), and a file a run in per_class/,
confusion/, curves/ (what `dvc plots` draws) and figures/ (PNG). The same scores and labels give the
same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.cli.params_file import PARAMS, read_values
from pipeline.runtime.errors import UsageError

if TYPE_CHECKING:
    from pipeline.dataset.tables import Dataset, Label
    from pipeline.runs.folder import RunRecord
    from pipeline.scoring.evaluation import Result

CONFUSIONS = 15


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    runs: Annotated[tuple[str, ...] | None, Help(
        "names of the runs to measure; none: all of params.yaml, and its ensemble"
    )]
    data: Annotated[Path, Help("folder that prepare wrote, with the labels")]
    out: Annotated[Path, Help("folder to write metrics.json and the plots to")]
    seed: Annotated[int, Ge(0), Help("random seed of the bootstrap intervals")]
    resamples: Annotated[int, Ge(1), Help("number of bootstrap resamples per interval")]
    params: Annotated[Path, FlagOnly(), Help(
        "file with the settings; a flag wins over its key there"
    )] = PARAMS


def run(settings: Settings) -> None:
    from pipeline.dataset.tables import read_dataset, read_labels
    from pipeline.runs.folder import RunFolder
    from pipeline.scoring.figures import draw_curves, draw_runs
    from pipeline.scoring.plot_data import read_histories, write_curves, write_json

    names = settings.runs
    if names is None:
        ensemble = read_values(settings.params, "ensemble")["name"]
        names = (*read_values(settings.params, "runs"), ensemble)
    if not names:
        raise UsageError("no runs to measure; name them: --runs A B")
    dataset = read_dataset(settings.data)
    labels = {x.clip_id: x for x in read_labels(settings.data)}
    runs = [RunFolder(settings.runs_dir, name).read() for name in dict.fromkeys(names)]
    _check(settings, dataset, runs)
    # All is read and measured before anything is written: a bad run leaves the old files.
    measured = {each.name: _measure(settings, each, labels) for each in runs}
    histories = {each.name: read_histories(RunFolder(settings.runs_dir, each.name), each.folds)
                 for each in runs if each.folds}
    for name, sets in measured.items():
        _write(settings.out, name, sets)
    for name, table in histories.items():
        write_curves(settings.out / "curves" / f"{name}.csv", table)
        draw_curves(settings.out / "figures" / f"{name}-curves.png", name, table)
    draw_runs(settings.out / "figures" / "runs.png", measured)
    write_json(settings.out / "metrics.json", {
        name: {kind: result.summary for kind, result in sets.items()}
        for name, sets in measured.items()
    })
    _report(measured)
    print(f"Wrote {settings.out / 'metrics.json'} and the files for `dvc plots` beside it")


def _check(settings: Settings, dataset: Dataset, runs: list[RunRecord]) -> None:
    """Raise a UsageError that lists the runs that are of another task, or older than a member."""
    from pipeline.runs.scores import listed
    from pipeline.runs.staleness import stale

    errors = []
    for each in runs:
        if odd := sorted(set(each.classes) ^ set(dataset.classes)):
            errors.append(f"{each.name} and {settings.data} differ in their classes: {listed(odd)}")
            errors[-1] += ": train it again, or prepare as it was"
        errors += stale(settings.runs_dir, each.name)
    if errors:
        raise UsageError("\n".join(errors))


def _measure(settings: Settings, each: RunRecord, labels: dict[str, Label]) -> dict[str, Result]:
    """{set of clips: Result} of one run; prints what is left out."""
    from pipeline.runs.folder import RunFolder
    from pipeline.scoring.evaluation import measure, subsets, truth_of
    from pipeline.scoring.means import mean_over_folds

    single = each.label_mode == "single"
    oof, folds = RunFolder(settings.runs_dir, each.name).load()
    known = set(oof.clip_ids)
    several = {c for c, x in labels.items() if len(x.labels) > 1 and c not in known}
    if single and several:
        print(f"{each.name} gives one label a clip; {len(several)} clips of several labels are "
              "left out")
        labels = {c: x for c, x in labels.items() if c not in several}
    test = mean_over_folds(each.name, folds, single=single) if folds else None
    found, notes = subsets(oof, test, labels)
    for note in notes:
        print(f"{each.name}, {note}")
    return {
        kind: measure(f"{each.name}, {kind}", scores, truth_of(labels, scores), single=single,
                      seed=settings.seed, resamples=settings.resamples)
        for kind, scores in found.items()
    }


def _write(out: Path, name: str, sets: dict[str, Result]) -> None:
    from pipeline.scoring.evaluation import confusions
    from pipeline.scoring.figures import draw_confusions, draw_per_class
    from pipeline.scoring.plot_data import write_confusion, write_per_class

    for kind in [k for k in ("oof", "test") if k in sets]:
        result, file, title = sets[kind], f"{name}-{kind}", f"{name}, {kind}"
        write_per_class(out / "per_class" / f"{file}.csv", result)
        write_confusion(out / "confusion" / f"{file}.csv", result)
        draw_per_class(out / "figures" / f"{file}-per-class.png", title, result)
        if pairs := confusions(result, CONFUSIONS):
            draw_confusions(out / "figures" / f"{file}-confusions.png", title, pairs)


def _report(measured: dict[str, dict[str, Result]]) -> None:
    """Print the table, and the classes most often confused."""
    from pipeline.scoring.evaluation import confusions

    columns = {"mean_average_precision": "mAP", "map_at_3": "MAP@3", "accuracy": "accuracy"}
    rows = [(name, kind, result.summary) for name, sets in measured.items()
            for kind, result in sets.items()]
    width = max(3, *(len(name) for name, _, _ in rows))
    shown = [key for key in columns if key in rows[0][2]]
    print(f"{'run':{width}}  {'clips':13}  lwlrap  95 % interval  "
          + "  ".join(f"{columns[key]:>8}" for key in shown))
    for name, kind, s in rows:
        print(f"{name:{width}}  {kind:7} {s['clips']:5}  {s['lwlrap']:.4f}  "
              f"{s['lwlrap_low']:.3f} - {s['lwlrap_high']:.3f}  "
              + "  ".join(f"{s[key]:8.4f}" for key in shown))
    for name, sets in measured.items():
        if pairs := confusions(sets["oof"], 3):
            print(f"{name} most often takes "
                  + ", ".join(f"{a} for {p} ({n})" for a, p, n in pairs))


if __name__ == "__main__":
    stage.main("evaluate", Settings, run, __doc__)
