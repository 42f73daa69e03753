"""Write what an evaluation found: metrics.json, the data of `dvc plots`, and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.scoring.evaluation import Result, confusions
from pipeline.scoring.figures import draw_confusions, draw_curves, draw_per_class, draw_runs
from pipeline.scoring.plot_data import write_confusion, write_curves, write_json, write_per_class

if TYPE_CHECKING:
    import pandas as pd

# Pairs of classes in a figure of confusions.
CONFUSIONS = 15


def write_evaluation(
    out: Path, measured: Mapping[str, Mapping[str, Result]], histories: Mapping[str, pd.DataFrame]
) -> None:
    """Write all files of an evaluation, metrics.json last.

    Parameters
    ----------
    out : Path
    measured : mapping of str to mapping of str to Result
        By run and set of clips.
    histories : mapping of str to pandas.DataFrame
        By run, from :func:`.plot_data.read_histories`; ensembles have none.
    """
    for name, sets in measured.items():
        _write_run(out, name, sets)
    for name, table in histories.items():
        write_curves(out / "curves" / f"{name}.csv", table)
        draw_curves(out / "figures" / f"{name}-curves.png", name, table)
    draw_runs(out / "figures" / "runs.png", measured)
    write_json(out / "metrics.json", {
        name: {kind: result.summary for kind, result in sets.items()}
        for name, sets in measured.items()
    })


def _write_run(out: Path, name: str, sets: Mapping[str, Result]) -> None:
    for kind in [k for k in ("oof", "test") if k in sets]:
        result, file, title = sets[kind], f"{name}-{kind}", f"{name}, {kind}"
        write_per_class(out / "per_class" / f"{file}.csv", result)
        write_confusion(out / "confusion" / f"{file}.csv", result)
        draw_per_class(out / "figures" / f"{file}-per-class.png", title, result)
        if pairs := confusions(result, CONFUSIONS):
            draw_confusions(out / "figures" / f"{file}-confusions.png", title, pairs)
