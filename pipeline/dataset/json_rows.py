"""Read a table of JSON lines, one object per row, as if it were a CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import read_limited
from pipeline.runtime.json_text import parse_json
from pipeline.runtime.rows import each_row


def each_table_row(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and the rows of a CSV, or of a .jsonl, each with the line it begins on.

    The header of a .jsonl is all keys of its objects, on line 0. A list of texts is one cell, its
    items separated by commas as labels are; null and a missing key are an empty cell.

    Raises
    ------
    UsageError
        If it is not UTF-8, not such a table, or holds nothing.
    """
    return _each_json_row(path) if path.suffix == ".jsonl" else each_row(path)


def _each_json_row(path: Path) -> Iterator[tuple[int, list[str]]]:
    if not path.is_file():
        raise UsageError(f"{path}: not a file")
    rows: list[tuple[int, dict[str, object]]] = []
    errors = []
    for line, data in enumerate(read_limited(path).split(b"\n"), 1):
        if not data.strip():
            continue
        try:
            row = parse_json(data)
        except ValueError as error:  # bad UTF-8 and bad JSON both
            errors.append(f"{path}:{line}: not JSON: {error}")
            continue
        if isinstance(row, dict):
            rows.append((line, row))
        else:
            errors.append(f"{path}:{line}: needs an object with a key per column")
    if errors:
        raise UsageError("\n".join(errors))
    if not rows:
        raise UsageError(f"{path}: empty; needs a line per clip")
    header = list(dict.fromkeys(key for _, row in rows for key in row))
    yield 0, header
    for line, row in rows:
        yield line, [_cell(row.get(key)) for key in header]


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)
