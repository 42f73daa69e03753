"""The stores to make: a feature, and what its store says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from features import make_feature
from features.base import Feature
from pipeline.runtime.errors import UsageError
from pipeline.store.schema import FeatureSpec, spec_of


@dataclass(frozen=True)
class Target:
    """A store to make.

    Attributes
    ----------
    feature : Feature
        What is extracted.
    spec : FeatureSpec
        Its description, which goes into the file.
    """

    feature: Feature
    spec: FeatureSpec

    @property
    def name(self) -> str:
        """The feature's name, which is the store's: ``mfcc`` is in ``mfcc.h5``."""
        return self.spec.feature


def make_target(kind: str, *, trim_db: float, **settings: Any) -> Target:
    """Make a target out of a feature's settings.

    Parameters
    ----------
    kind : str
        A key of :data:`features.FEATURES`.
    trim_db : float
        How far below a clip's loudest frame silence begins (in dB).
    **settings
        Of the feature.

    Raises
    ------
    UsageError
        If the feature refuses its settings; the message lists all that is wrong.
    """
    try:
        feature = make_feature(kind, **settings)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Target(feature, spec_of(feature, trim_db))
