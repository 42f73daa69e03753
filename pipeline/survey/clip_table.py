"""Gather what is known of every clip into one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.dataset.tables import Clip, Dataset, Label, read_clips, read_labels
from pipeline.runtime import problems
from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import Problem
from pipeline.store.reader import Store, open_store
from pipeline.survey.levels import LEVELS, Level, measure_levels

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Survey:
    """A data set, as prepare and extract left it.

    Attributes
    ----------
    dataset : Dataset
    clips : pandas.DataFrame
        One row per row of labels.csv, by ``clip_id``, with the columns of :func:`clip_table`.
    stores : dict of str to Store
        By the features' names.
    prepare_problems, extract_problems : tuple of Problem
        What the stages found wrong with the data.
    level_sr : int or None
        Sampling rate (in Hz) that all levels were measured at; None: that of each clip's file.
    """

    dataset: Dataset
    clips: pd.DataFrame
    stores: dict[str, Store]
    prepare_problems: tuple[Problem, ...]
    extract_problems: tuple[Problem, ...]
    level_sr: int | None


def store_of(stores: Mapping[str, Store], kind: str) -> Store | None:
    """Return the store of a kind of feature; of several, the one with the highest sampling rate."""
    found = [store for store in stores.values() if store.spec.feature == kind]
    return max(found, key=lambda store: store.spec.declaration.sr, default=None)


def rows_of(clips: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield the clip id and the values of some columns for each row of a table of clips."""
    return zip(clips.index, *(clips[name] for name in columns), strict=True)


def survey(data: Path, stores: Path, *, decode: bool, jobs: int) -> Survey:
    """Read all tables of a data set and open its stores.

    Parameters
    ----------
    data : Path
        The folder that prepare wrote.
    stores : Path
        The folder that extract wrote; it may have no stores, or be missing.
    decode : bool
        Whether to decode files to measure their levels, see :func:`.levels.measure_levels`.
    jobs : int
        Number of threads; -1: one per CPU core.

    Returns
    -------
    Survey

    Raises
    ------
    UsageError
        If a table is missing or damaged.
    StoreError
        If a store is damaged.
    """
    if stores.exists() and not stores.is_dir():
        raise UsageError(f"--stores {stores}: not a folder")
    dataset, clips = read_clips(data)
    labels = read_labels(data)
    opened = {path.stem: open_store(path) for path in sorted(stores.glob("*.h5"))}
    if opened and not any(label.clip_id in store for label in labels for store in opened.values()):
        raise UsageError(f"{stores} holds none of the clips of {data}: extract its clips, or name "
                         "another folder with --stores")
    waveform = store_of(opened, "waveform")
    levels = {} if waveform is None else measure_levels(
        waveform, clips, root=dataset.root, decode=decode, jobs=jobs
    )
    table = clip_table(clips, labels, levels=levels, stores=tuple(opened.values()))
    level_sr = None if decode or waveform is None else waveform.spec.declaration.sr
    return Survey(dataset, table, opened, _read(data), _read(stores), level_sr)


def clip_table(
    clips: Iterable[Clip], labels: Iterable[Label], *, levels: dict[str, Level],
    stores: Sequence[Store],
) -> pd.DataFrame:
    """Make the table of clips.

    Returns
    -------
    pandas.DataFrame
        In the order of `labels`, with the columns

        - ``split``; ``labels`` (tuple of str); ``fold`` and ``usage`` as in labels.csv,
        - ``path``, ``seconds``, ``sr`` (in Hz), ``channels`` and ``format`` of the source file;
          NaN or None for a clip without a row in clips.csv,
        - ``extracted``: whether every store has it,
        - the fields of :class:`.levels.Level`, NaN if no waveform store has the clip,
        - ``digest``: SHA-256 of the source file, None if no store has the clip.
    """
    import pandas as pd

    sources = {clip.clip_id: clip for clip in clips}
    digests = {c: d for store in stores for c, d in zip(store, store.digests, strict=True)}
    nan = float("nan")
    rows = []
    for label in labels:
        clip = sources.get(label.clip_id)
        header = None if clip is None else clip.header
        level = levels.get(label.clip_id)
        rows.append({
            "clip_id": label.clip_id, "split": label.split, "labels": label.labels,
            "fold": label.fold, "usage": label.usage,
            "path": None if clip is None else clip.path,
            "seconds": nan if header is None else header.frames / header.sr,
            "sr": nan if header is None else header.sr,
            "channels": nan if header is None else header.channels,
            "format": None if header is None else f"{header.format} {header.subtype}",
            "extracted": all(label.clip_id in store for store in stores),
            "digest": digests.get(label.clip_id),
            **{name: nan if level is None else getattr(level, name) for name in LEVELS},
        })
    return pd.DataFrame(rows).set_index("clip_id")


def _read(folder: Path) -> tuple[Problem, ...]:
    return tuple(problems.read_csv(folder / "problems.csv"))
