"""Tags of files for programs: one JSON document, or a CSV with a row per file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runtime.rows import write_rows
from pipeline.tagging.tag_files import FileTags, Tagged
from pipeline.tagging.tagger import Floats, Tagger
from pipeline.tagging.text import top_classes
from pipeline.tagging.windows import stretches


def json_document(
    tagger: Tagger, tagged: Tagged, *, top: int, min_score: float, hop_seconds: float
) -> dict[str, Any]:
    """Make the document that ``--json`` prints.

    ::

        {"model": {"name", "kind", "about", "label_mode", "scale", "classes", "window_seconds",
                   "hop_seconds"},
         "files": [{"file", "seconds",
                    "tags": [{"tag", "score"}],        the top ones that reach the least score
                    "scores": [...],                   one per class
                    "timeline": null or {
                        "stretches": [{"start", "end", "tag" or null, "score"}],
                        "windows": [{"start", "end", "scores": [...]}]}}],
         "problems": [{"where", "reason", "found", "advice"}]}

    Times are in seconds, to a millionth. Scores are float32, with as many digits as it takes to
    read the same ones back. A byte of a file's name that is not UTF-8 is a lone surrogate
    (``\\udcff``), as Python's ``os.fsdecode`` has it.
    """
    return {
        "model": {
            "name": tagger.name, "kind": tagger.kind, "about": tagger.about,
            "label_mode": tagger.label_mode, "scale": tagger.scale,
            "classes": list(tagger.classes), "window_seconds": tagger.window_seconds,
            "hop_seconds": hop_seconds,
        },
        "files": [_file(tagger, tags, top=top, min_score=min_score) for tags in tagged.files],
        "problems": [asdict(problem) for problem in tagged.problems],
    }


def _file(tagger: Tagger, tags: FileTags, *, top: int, min_score: float) -> dict[str, Any]:
    best = top_classes(tags.scores, top=top, min_score=min_score)
    scores = _numbers(tags.scores)
    result: dict[str, Any] = {
        "file": tags.file.name, "seconds": round(tags.seconds, 6),
        "tags": [{"tag": tagger.classes[k], "score": scores[k]} for k in best],
        "scores": scores, "timeline": None,
    }
    if (line := tags.timeline) is not None:
        window = tagger.window_seconds
        result["timeline"] = {
            "stretches": [
                {"start": round(each.start, 6), "end": round(each.end, 6),
                 "tag": None if each.tag is None else tagger.classes[each.tag],
                 "score": _numbers(np.array([each.score], np.float32))[0]}
                for each in stretches(line.starts, window, tags.seconds, line.scores,
                                      min_score=min_score)
            ],
            "windows": [
                {"start": round(start, 6), "end": round(min(start + window, tags.seconds), 6),
                 "scores": _numbers(values)}
                for start, values in zip(line.starts.tolist(), line.scores, strict=True)
            ],
        }
    return result


def _numbers(values: Floats) -> list[float]:
    """The shortest numbers that are the same float32, 0.1 and not 0.10000000149011612."""
    return [float(str(value)) for value in values]


def write_csv(path: Path, tagger: Tagger, files: Sequence[FileTags]) -> None:
    """Write ``file,seconds,`` and a column of scores per class, a row per file, atomically.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_rows(path, ("file", "seconds", *tagger.classes), _rows(files))


def _rows(files: Sequence[FileTags]) -> Iterator[list[str]]:
    for tags in files:
        # A CSV is UTF-8, names need not be.
        name = os.fsencode(tags.file.path).decode("utf-8", "backslashreplace")
        yield [name, f"{tags.seconds:.6g}", *map(str, tags.scores)]
