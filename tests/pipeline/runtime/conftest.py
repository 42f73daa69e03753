"""Clips that are extracted by each backend, and what it has to make of them."""

import pytest


@pytest.fixture(scope="module")
def data(request, make_data_set):
    """As many short clips as the module's N says."""
    return make_data_set().fill(request.module.N, seconds=0.05).prepare()


@pytest.fixture(scope="module")
def reference(request, data, extract, stores_of):
    """The bytes of their stores, made by one job."""
    assert extract(data, data.root / "reference").extracted == request.module.N
    return stores_of(data.root / "reference")
