"""Write a whole run's curves and pictures for TensorBoard, beside those of its folds.

A callback writes the scalars of each fold. What concerns the run is written once, when its folds
are trained: each measure's mean over the folds as long as all of them train, some clips as the
network sees them and as log-mel spectrograms, and the confusion matrix. TensorFlow, whose import
takes seconds, is not needed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary

from pipeline.dataset.tables import Label
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.runtime.files import atomic_write
from pipeline.scoring.evaluation import truth_of
from pipeline.scoring.figures import plain_style
from pipeline.scoring.metrics import confusion_counts
from pipeline.scoring.plot_data import read_histories
from pipeline.store.reader import Store, open_store
from pipeline.training.event_file import append, event_path

_PICTURES = 6
_SECONDS = 5.0  # of a clip that are shown
_DPI = 90


def log_run(folder: RunFolder, store: Store, labels: Sequence[Label]) -> None:
    """Write RUNS/NAME/logs from the records and scores of the finished folds.

    Parameters
    ----------
    folder : RunFolder
        A trained run.
    store : Store
        Of its feature.
    labels : sequence of Label
        Of all clips.
    """
    record = folder.read()
    oof = folder.load_out_of_fold()
    by_clip = {label.clip_id: label for label in labels}
    path = event_path(folder.logs, "run")
    with atomic_write(path) as partial:
        histories = read_histories(folder, record.folds)
        by_epoch = histories.groupby("epoch")
        # Up to the last epoch of all folds: beyond it, the mean would be that of other folds.
        everywhere = by_epoch["fold"].nunique() == len(record.folds)
        means = by_epoch.mean().drop(columns="fold")[everywhere]
        for epoch, row in means.iterrows():
            # Keras counts epochs from 0.
            append(partial, int(str(epoch)) - 1, [
                Summary.Value(tag=f"mean_over_folds/{name}", simple_value=float(value))
                for name, value in row.items() if np.isfinite(value)
            ])
        last = len(means) - 1
        for tag, shown in (("clips", store), ("log_mel", _log_mel_beside(store, oof.clip_ids))):
            if shown is not None:
                append(partial, 0, [_image(tag, _draw_clips(shown, oof.clip_ids, by_clip))])
        truth = truth_of(by_clip, oof)
        if (truth.sum(axis=1) == 1).any():
            append(partial, last, [_image("confusion_matrix", _draw_confusions(oof, truth))])
    for other in folder.logs.iterdir():
        if other != path:
            other.unlink()


def _log_mel_beside(store: Store, clip_ids: Sequence[str]) -> Store | None:
    """The store of log-mel frames of these clips in the folder of another feature's store."""
    for path in sorted(store.path.parent.glob("*.h5")):
        try:
            other = open_store(path)
        except (StoreError, UsageError):
            continue  # of another program, or damaged: the training does not need it
        if other.spec.feature == "logmel" != store.spec.feature and all(
            clip_id in other for clip_id in clip_ids
        ):
            return other
    return None


def _image(tag: str, figure: Figure) -> Any:
    file = io.BytesIO()
    # Not by `savefig`, which arranges a figure twice: that takes longer than drawing it.
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(file)
    width, height = canvas.get_width_height()
    return Summary.Value(tag=tag, image=Summary.Image(
        encoded_image_string=file.getvalue(), width=width, height=height, colorspace=4,
    ))


def _draw_clips(store: Store, clip_ids: Sequence[str], labels: Mapping[str, Label]) -> Figure:
    """Draw some of the run's clips, evenly spaced over the list; spectra are standardized."""
    places = np.unique(np.linspace(0, len(clip_ids) - 1, _PICTURES).astype(int))
    shown = [clip_ids[i] for i in places]
    feature = store.spec.declaration
    step = feature.seconds_per_frame
    mean, std = store.mean_std()
    with plain_style():
        figure = Figure(figsize=(11, 1.4 + 1.15 * len(shown)), layout="constrained",
                        dpi=_DPI)
        for axes, clip_id in zip(figure.subplots(-(-len(shown) // 2), 2, squeeze=False).flat, shown,
                                 strict=False):
            length = int(store.length[store.index_of(clip_id)])
            n_frames = min(length, max(1, round(_SECONDS / step)))
            frames = store.crop(clip_id, 0, n_frames)
            if frames.ndim == 2:
                scaled = (frames - mean) / np.maximum(std, 1e-9)
                axes.imshow(scaled.T, origin="lower", aspect="auto", cmap="magma", vmin=-2, vmax=3,
                            extent=(0, n_frames * step, 0, frames.shape[1]))
            else:
                axes.plot(np.arange(n_frames) * step, frames, lw=0.4)
            axes.set_title(f"{clip_id}: {', '.join(labels[clip_id].labels)}", fontsize=8,
                           loc="left", parse_math=False)
            axes.set_ylabel(feature.axis.label, fontsize=8)
            axes.tick_params(labelsize=7)
        figure.supxlabel("s", fontsize=8)
    return figure


def _draw_confusions(oof: Scores, truth: NDArray[np.bool_]) -> Figure:
    """Draw how the clips of each class were classified, over the clips of exactly one label."""
    one = truth.sum(axis=1) == 1
    counts = confusion_counts(truth[one], oof.values[one])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n = len(oof.classes)
    with plain_style():
        side = 3.5 + 0.13 * n
        figure = Figure(figsize=(side + 0.8, side), layout="constrained", dpi=_DPI)
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, label="share of the class's clips", shrink=0.6)
        axes.set_xticks(range(n), oof.classes, rotation=90, fontsize=7, parse_math=False)
        axes.set_yticks(range(n), oof.classes, fontsize=7, parse_math=False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        axes.set_title(f"{one.sum()} clips of one label, out of fold", fontsize=9, loc="left")
    return figure
