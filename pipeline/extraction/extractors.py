"""From settings to what is extracted: extractors, and what their stores say of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from features.logmel import LogMel
from features.mfcc import Mfcc
from features.waveform import Waveform
from pipeline.runtime.errors import UsageError
from pipeline.store.schema import FeatureSpec

Extractor = Waveform | LogMel | Mfcc

FEATURES: dict[str, type[Extractor]] = {"waveform": Waveform, "mfcc": Mfcc, "logmel": LogMel}


@dataclass(frozen=True)
class Target:
    """A store to be made: the extractor and the description that goes into the file."""

    extractor: Extractor
    spec: FeatureSpec

    @property
    def name(self) -> str:
        """The feature's name, which is the store's: ``mfcc`` is in ``mfcc.h5``."""
        return self.spec.feature


def make_target(name: str, *, dtype: str, trim_db: float, **config: Any) -> Target:
    """One feature's target.

    Parameters
    ----------
    name : str
        A key of :data:`FEATURES`.
    dtype : str
        Of the stored frames.
    trim_db : float
        How far below a clip's loudest frame silence begins (in dB).
    **config
        Settings of the extractor.

    Raises
    ------
    UsageError
        If the extractor refuses its settings; the message lists all that is wrong.
    """
    try:
        extractor = FEATURES[name](**config)
    except ValueError as error:
        raise UsageError(str(error)) from None
    spec = FeatureSpec(
        feature=name, version=extractor.version, dtype=dtype, width=extractor.width,
        units=extractor.units, config={**asdict(extractor), "trim_db": trim_db},
    )
    return Target(extractor, spec)
