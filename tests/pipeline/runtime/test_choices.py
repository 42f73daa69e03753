"""What flags offer is what the tables behind them have."""

from __future__ import annotations

from typing import get_args

import pytest

from pipeline.runtime import choices


def test_ensemble_methods():
    from pipeline.ensembling import means

    assert {*means.MEANS, "stack", "boost"} == {*get_args(choices.EnsembleMethod)}


def test_networks():
    pytest.importorskip("tensorflow")
    from models.build import ACTIVATIONS, NORMALIZATIONS
    from pipeline.training.callbacks import MONITORS

    assert get_args(choices.Normalization) == NORMALIZATIONS
    assert {*get_args(choices.LabelMode)} == set(ACTIVATIONS)
    assert get_args(choices.Monitor) == tuple(MONITORS)
