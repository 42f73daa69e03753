"""Read and write JSON records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.runtime.files import atomic_write, read_limited
from pipeline.runtime.json_text import parse_json


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically, keys in the order given."""
    with atomic_write(path) as partial:
        partial.write_text(
            json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if there is none, or the file is damaged."""
    try:
        result = parse_json(read_limited(path))
    except (FileNotFoundError, ValueError):
        return None
    return result if isinstance(result, dict) else None
