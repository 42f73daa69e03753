"""Audio features, one per file: frozen dataclasses that can be called on an array.

May import: signal, kernels.
"""

from __future__ import annotations

import difflib
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.base import Feature

# Kind -> where its class is. Named, not imported: NumPy takes longer than a stage's --help may.
FEATURES: dict[str, str | type[Feature]] = {
    "waveform": "features.waveform:Waveform",
    "mfcc": "features.mfcc:Mfcc",
    "logmel": "features.logmel:LogMel",
    "delta": "features.delta:Delta",
    "pcen": "features.pcen:Pcen",
}


def feature_class(kind: str) -> type[Feature]:
    """Return the class of a kind of feature.

    Parameters
    ----------
    kind : str
        A key of :data:`FEATURES`, such as ``"logmel"``.

    Returns
    -------
    type
        A subclass of :class:`features.base.Feature`, imported now if it was not before.

    Raises
    ------
    ValueError
        If there is no such kind; the known ones are listed.

    Examples
    --------
    >>> feature_class("mfcc").__name__
    'Mfcc'
    """
    if kind not in FEATURES:
        near = difflib.get_close_matches(str(kind), FEATURES, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(FEATURES)}"
        raise ValueError(f"kind is {kind!r}; {hint}")
    found = FEATURES[kind]
    if isinstance(found, str):
        module, _, name = found.partition(":")
        return getattr(import_module(module), name)
    return found


def make_feature(kind: str, **settings: Any) -> Feature:
    """Make a feature of a kind.

    Parameters
    ----------
    kind : str
        A key of :data:`FEATURES`.
    **settings : object
        Fields of the kind's class; those left out have their defaults.

    Returns
    -------
    Feature

    Raises
    ------
    ValueError
        If the kind is unknown, a setting is not one of its own, or a value is wrong.

    Examples
    --------
    >>> make_feature("logmel", n_mels=64).width
    64
    """
    made_of = feature_class(kind)
    known = [field.name for field in fields(made_of)]
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(f"{kind}: no setting {', '.join(unknown)}; known: {', '.join(known)}")
    return made_of(**settings)
