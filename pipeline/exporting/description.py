"""What an exported model says of itself: a JSON text inside the file, the same in every format.

==============  ==================================================================================
SavedModel      the file ``assets.extra/audio_tagging.json`` in the model's folder
LiteRT          the file ``audio_tagging.json`` in a ZIP archive behind the model, where LiteRT's
                tools look for a model's associated files; ``unzip -p`` shows it
ONNX            the entry ``audio_tagging`` of ``metadata_props``
==============  ==================================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipeline.runtime.json_text import parse_json

FORMAT_VERSION = 1
KEY = "audio_tagging"
FILE = f"{KEY}.json"


@dataclass(frozen=True)
class Description:
    """Everything that a user of an exported model needs to know.

    Attributes
    ----------
    run : str
        Name of the run that it was exported from.
    model_version : str
        Changes with every network that is trained: the first 16 hexadecimal digits of a SHA-256
        over the folds' model files.
    folds : tuple of int
        The folds whose networks are inside; scores are their geometric mean.
    label_mode : {"single", "multi"}
        One label per clip, and its scores sum to 1; or any number.
    classes : tuple of str
        In the order of the scores.
    sr : int
        Sampling rate that the waveform needs to have (in Hz).
    seconds : float
        Length of the crops that the networks see (in seconds). Longer clips are covered by several,
        whose scores are averaged.
    pad : {"silence", "repeat"}
        What fills up clips that are shorter than a crop.
    feature : dict
        Kind, version, dtype and settings of the feature that the networks were trained on.
    """

    run: str
    model_version: str
    folds: tuple[int, ...]
    label_mode: str
    classes: tuple[str, ...]
    sr: int
    seconds: float
    pad: str
    feature: dict[str, Any]

    def to_json(self, *bodies: bytes) -> str:
        """Describe the model as JSON, with a checksum over `bodies`, the model itself."""
        checked = {"bytes": sum(map(len, bodies)), "sha256": _digest(*bodies)}
        content = {"format_version": FORMAT_VERSION, **asdict(self), "model": checked}
        return json.dumps(content, indent=1, ensure_ascii=False)


def read_description(text: str | bytes) -> tuple[Description, Mapping[str, Any]]:
    """Read what :meth:`Description.to_json` wrote.

    Returns
    -------
    description : Description
    checked : mapping
        Size (``bytes``) and checksum (``sha256``) of the model itself, see :func:`check_body`.

    Raises
    ------
    ValueError
        If it is no such text, or of a later version.
    """
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError("its description is no JSON object")
    if content.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"its description is of version {content.get('format_version')!r}; this "
                         f"version of the pipeline reads {FORMAT_VERSION}")
    names = [f.name for f in fields(Description)]
    if missing := [name for name in (*names, "model") if name not in content]:
        raise ValueError(f"its description lacks {', '.join(missing)}")
    values = {name: content[name] for name in names}
    for name in ("classes", "folds"):
        if not isinstance(values[name], list):
            raise ValueError(f"its description has no list of {name}")
        values[name] = tuple(values[name])
    found = Description(**values)
    checked = content["model"]
    errors = [
        what for what, holds in {
            "classes": found.classes and all(isinstance(c, str) for c in found.classes),
            "sr": type(found.sr) is int and found.sr > 0,
            "seconds": isinstance(found.seconds, int | float) and found.seconds > 0,
            "label_mode": found.label_mode in ("single", "multi"),
            "run": isinstance(found.run, str),
            "feature": isinstance(found.feature, dict),
            "model": isinstance(checked, dict) and type(checked.get("bytes")) is int,
        }.items() if not holds
    ]
    if errors:
        raise ValueError(f"its description has no valid {', '.join(errors)}")
    return found, checked


def check_body(checked: Mapping[str, Any], *bodies: bytes) -> None:
    """Raise a ValueError if the model itself is not the one that was described."""
    if sum(map(len, bodies)) != checked["bytes"] or _digest(*bodies) != checked.get("sha256"):
        raise ValueError("it is not as it was exported: its checksum is another")


def _digest(*bodies: bytes) -> str:
    digest = hashlib.sha256()
    for body in bodies:
        digest.update(body)
    return digest.hexdigest()
