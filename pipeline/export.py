"""Export a trained run as one model file with the front end inside: waveform in, tag scores out.

  python -m pipeline.export --run mfcc                            a SavedModel, for TensorFlow
  python -m pipeline.export --run mfcc --format litert            for phones and small machines
  python -m pipeline.export --run mfcc --format onnx --out tagger.onnx
  python -m pipeline.export --run mfcc --fold 0                   one fold's network

The model takes a clip's waveform (float32, mono, of any length) at the sampling rate of the run's
feature, and gives its scores: those that predict and evaluate give the clip, by the same front end,
normalization, crops and means over crops and folds. Resampling is not inside. It computes in
float32, also where the run was trained in mixed precision. Class names, sampling rate and settings
are in the file, see docs/export.md.

Before the file gets its name it is opened by its own runtime, and its scores of some real clips of
the data set are held against those of the extractor and Keras. If they differ by more than
--tolerance, export fails and leaves what was there before.

exit codes: 0 done, 1 the format cannot hold the run's networks, 2 usage, 4 a damaged run, a feature
that this version computes differently, or an exported model that does not pass its check
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from pipeline.cli import main as stage
from pipeline.cli.markers import FlagOnly, Help
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Settings:
    runs_dir: Annotated[Path, Help("folder of all runs")]
    data: Annotated[Path, Help("folder that prepare wrote, whose clips check the model")]
    stores: Annotated[Path, Help(
        "folder of stores; where the audio is gone, a store of waveforms checks the model"
    )]
    format: Annotated[Literal["saved_model", "litert", "onnx"], Help("format of the model")]
    clips: Annotated[int, Ge(1), Help("number of real clips to check the model with")]
    tolerance: Annotated[float, Gt(0), Help(
        "largest difference allowed of a score from Keras' in float32"
    )]
    run: Annotated[str | None, FlagOnly(), Help("name of the run to export")] = None
    fold: Annotated[int | None, Ge(0), FlagOnly(), Help(
        "export the network of this fold alone; none: all folds, whose mean the model gives"
    )] = None
    out: Annotated[Path | None, FlagOnly(), Help(
        "file to write, a folder for saved_model; "
        "none: exports/NAME, with .tflite or .onnx for the others"
    )] = None


def run(settings: Settings) -> None:
    from pipeline.exporting.export_run import choose_folds, export_run, output_path
    from pipeline.runs.folder import RunFolder
    from pipeline.runs.identity import check_feature, read_training

    if settings.run is None:
        raise UsageError("no run is named; give --run NAME")
    folder = RunFolder(settings.runs_dir, settings.run)
    trained, spec = read_training(folder)
    check_feature(folder, spec, use="export")
    export_run(
        folder, trained, spec, folds=choose_folds(trained, settings.fold), kind=settings.format,
        out=output_path(settings.out, settings.run, settings.format), data=settings.data,
        stores=settings.stores, n_clips=settings.clips, tolerance=settings.tolerance,
    )


if __name__ == "__main__":
    stage.main("export", Settings, run, __doc__)
