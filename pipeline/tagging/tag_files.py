"""Tag many files: decode in workers, and score in this process meanwhile.

Files are handled in chunks, so that memory and disk hold the frames of one chunk however many
files there are. Workers decode a chunk while TensorFlow starts and the networks score what is
there already; only at the end of a chunk may workers wait for the networks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.batching.batches import batch_slices
from pipeline.extraction.targets import Target
from pipeline.runtime.parallel import end_workers, imap, worker_count
from pipeline.runtime.problems import Problem
from pipeline.runtime.progress import ClipProgress
from pipeline.tagging.audio_files import AudioFile
from pipeline.tagging.decoding import DecodedFile, FileTask, FrameWorker, SpooledFrames
from pipeline.tagging.tagger import Clips, Floats, Tagger, segments_of
from pipeline.tagging.windows import has_timeline, window_starts

_BACKEND = "loky"

# A chunk: the frames of that many files and bytes at most, but a file for each worker at least.
_CHUNK_FILES, _CHUNK_BYTES = 4096, 256 << 20

# What a worker gets at a time: a tenth of a second of work.
_TASK_FILES, _TASK_SECONDS = 16, 60.0

# Segments of a long file between two signs of progress.
_PROGRESS_SEGMENTS = 512

# Windows that are scored in one go: full batches, a second or two of work.
_GROUP_WINDOWS = 256


@dataclass(frozen=True, eq=False)
class TimeLine:
    """Scores of a file's windows.

    Attributes
    ----------
    starts : np.ndarray [shape=(n_windows,), dtype=float64]
        First second of each.
    scores : np.ndarray [shape=(n_windows, n_classes), dtype=float32]
    """

    starts: NDArray[np.float64]
    scores: Floats


@dataclass(frozen=True, eq=False)
class FileTags:
    """Scores of one file.

    Attributes
    ----------
    file : AudioFile
    seconds : float
        Length of its audio.
    scores : np.ndarray [shape=(n_classes,), dtype=float32]
        Of the whole file.
    timeline : TimeLine or None
    """

    file: AudioFile
    seconds: float
    scores: Floats
    timeline: TimeLine | None = None


@dataclass
class Tagged:
    """Scores of the good files, and what is wrong with the others; each in the files' order."""

    files: list[FileTags] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def tag_files(
    tagger: Tagger, files: Sequence[AudioFile], *, timeline: str, hop_seconds: float, jobs: int
) -> Tagged:
    """Score files.

    Parameters
    ----------
    tagger : Tagger
    files : sequence of AudioFile
    timeline : {"auto", "always", "never"}
        Which files get one, see :func:`pipeline.tagging.windows.has_timeline`.
    hop_seconds : float
        From one window to the next.
    jobs : int
        Workers that decode; -1: one per CPU core.

    Raises
    ------
    PipelineError
        If a model cannot be loaded, or a worker dies. Bad files are no exceptions.
    """
    tagged = Tagged()
    jobs = min(worker_count(jobs), len(list(_tasks(range(len(files)), files))))
    scoring = _Scoring(tagger, timeline, hop_seconds)
    progress = None
    with ExitStack() as stack:
        spool = stack.enter_context(tempfile.TemporaryDirectory(prefix="tag-"))
        worker = FrameWorker(tagger.targets, Path(spool))
        for chunk in _chunks(files, tagger.targets, jobs):
            done: dict[int, FileTags | Problem] = {}
            tasks = ([FileTask(i, files[i]) for i in task] for task in _tasks(chunk, files))
            with closing(imap(worker, tasks, jobs=jobs, backend=_BACKEND)) as decoded:
                for group in _groups(decoded, tagger.window_seconds):
                    if any(not each.problem for each in group):
                        scoring.start()
                    # Not before TensorFlow has started: the time left would be far off.
                    progress = progress or stack.enter_context(
                        ClipProgress(len(files), sum(file.seconds for file in files))
                    )
                    done |= scoring.score(group, files, progress)
                    progress.update(
                        len(group), 0.0, bad=sum(each.problem is not None for each in group)
                    )
            for i in sorted(done):
                found = done[i]
                if isinstance(found, Problem):
                    tagged.problems.append(found)
                else:
                    tagged.files.append(found)
        if jobs > 1:
            end_workers()
    return tagged


def _chunks(
    files: Sequence[AudioFile], targets: Iterable[Target], jobs: int
) -> Iterator[list[int]]:
    """Divide the files, in their order."""
    bytes_per_second = sum(
        t.spec.frame_bytes / t.feature.seconds_per_frame for t in targets
    )
    chunk: list[int] = []
    n_bytes = 0.0
    for i, file in enumerate(files):
        chunk.append(i)
        n_bytes += file.seconds * bytes_per_second
        is_full = len(chunk) >= _CHUNK_FILES or n_bytes >= _CHUNK_BYTES
        if is_full and len(chunk) >= jobs:
            yield chunk
            chunk, n_bytes = [], 0.0
    if chunk:
        yield chunk


def _tasks(rows: Iterable[int], files: Sequence[AudioFile]) -> Iterator[list[int]]:
    """Divide a chunk; long files first, so that no worker is left alone with one at the end."""
    task: list[int] = []
    seconds = 0.0
    for i in sorted(rows, key=lambda i: (-files[i].seconds, i)):
        task.append(i)
        seconds += files[i].seconds
        if len(task) == _TASK_FILES or seconds >= _TASK_SECONDS:
            yield task
            task, seconds = [], 0.0
    if task:
        yield task


def _groups(
    decoded: Iterable[list[DecodedFile]], window_seconds: float
) -> Iterator[list[DecodedFile]]:
    """Collect files to score in one go; the first ones at once, for TensorFlow to start early."""
    group: list[DecodedFile] = []
    n_windows, enough = 0.0, 1
    for each in (each for batch in decoded for each in batch):
        if any(isinstance(frames, SpooledFrames) for frames in each.frames.values()):
            yield [each]
            continue
        group.append(each)
        n_windows += max(1.0, each.seconds / window_seconds)
        if n_windows >= enough:
            yield group
            group, n_windows, enough = [], 0.0, _GROUP_WINDOWS
    if group:
        yield group


class _Scoring:
    """Score decoded files."""

    def __init__(self, tagger: Tagger, timeline: str, hop_seconds: float) -> None:
        self._tagger, self._timeline, self._hop_seconds = tagger, timeline, hop_seconds
        self._started = False

    def start(self) -> None:
        """Load the models, once; not before a good file has come."""
        if not self._started:
            for model in self._tagger.models:
                model.start()
            self._started = True

    def score(
        self, group: Sequence[DecodedFile], files: Sequence[AudioFile], progress: ClipProgress
    ) -> dict[int, FileTags | Problem]:
        """Return what is to be said of each file, by its number; counts the seconds on the way."""
        result: dict[int, FileTags | Problem] = {
            each.index: each.problem for each in group if each.problem
        }
        if good := [each for each in group if not each.problem]:
            result |= self._scored(good, files, progress)
            for each in good:
                for frames in each.frames.values():
                    if isinstance(frames, SpooledFrames):
                        frames.path.unlink()
        return result

    def _scored(
        self, group: Sequence[DecodedFile], files: Sequence[AudioFile], progress: ClipProgress
    ) -> dict[int, FileTags]:
        window = self._tagger.window_seconds
        starts = {
            row: window_starts(each.seconds, window, self._hop_seconds)
            for row, each in enumerate(group)
            if has_timeline(each.seconds, window, mode=self._timeline)
        }
        n_segments, scores = 0, {}
        for model in self._tagger.models:
            clips = clips_of(group, model.target)
            segments = segments_of(clips, starts, window)
            n_segments, pieces = len(segments), []
            # Seconds of the files per frame to score, shared by the models.
            share = sum(each.seconds for each in group) / len(self._tagger.models)
            share /= max(1, int(segments.length.sum()))
            for part in batch_slices(len(segments), _PROGRESS_SEGMENTS):
                pieces.append(model.scores(clips, segments[part]))
                progress.update(0, share * int(segments.length[part].sum()), bad=0)
            scores[model.name] = [np.concatenate(each) for each in zip(*pieces, strict=True)]
        values = self._tagger.combine(scores, n_segments)
        counts = [len(starts.get(row, ())) for row in range(len(group))]
        windows = np.split(values[len(group):], np.cumsum(counts)[:-1])
        return {
            each.index: FileTags(
                files[each.index], each.seconds, values[row],
                TimeLine(starts[row], windows[row]) if row in starts else None,
            ) for row, each in enumerate(group)
        }


def clips_of(group: Sequence[DecodedFile], target: Target) -> Clips:
    """Put the frames of some files one after the other; those of a single long one stay mapped."""
    arrays = [
        np.asarray(frames.mapped()) if isinstance(frames, SpooledFrames) else frames
        for frames in (each.frames[target.name] for each in group)
    ]
    length = np.array([len(each) for each in arrays], np.int64)
    frames = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    sound = np.array([each.sound[target.name] for each in group], np.int64)
    return Clips(target.spec, frames, np.cumsum(length) - length, length, sound)
