"""Parse JSON that anybody may have written."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; bytes must be UTF-8, with or without a byte order mark.

    Raises
    ------
    ValueError
        If it is no JSON, or nested deeper than Python can follow.

    Examples
    --------
    >>> parse_json(b'{"folds": [0, 1]}')
    {'folds': [0, 1]}
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
