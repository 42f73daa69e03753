"""Write event files for TensorBoard with its record writer, which needs no TensorFlow.

TensorFlow's own writer reports a full disk as an error of the graph, without the file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from pipeline.runtime.files import naming

_FORMAT = "brain.Event:2"  # begins every event file


def event_path(folder: Path, part: str) -> Path:
    """A name for a new event file; `part` tells files of one second apart."""
    return folder / f"events.out.tfevents.{time.time():.0f}.{part}"


def append(path: Path, step: int, values: Sequence[Any]) -> None:
    """Append summary values to an event file, which is created if need be.

    Raises
    ------
    OSError
        With the path: no space left, no permission.
    """
    now = time.time()
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), open(path, "ab") as file:
        writer = RecordWriter(file)
        if not file.tell():
            writer.write(Event(wall_time=now, file_version=_FORMAT).SerializeToString())
        event = Event(wall_time=now, step=step, summary=Summary(value=values))
        writer.write(event.SerializeToString())


def append_scalars(path: Path, step: int, scalars: Mapping[str, float]) -> None:
    """Append scalars by their tags, as :func:`append` does."""
    append(path, step, [
        value for tag, scalar in scalars.items() for value in scalar_pb(tag, scalar).value
    ])
