"""The state of a training, and files that are none."""

import zipfile

import keras
import numpy as np
import pytest

from pipeline.runtime.errors import StoreError
from pipeline.training import checkpoint

HISTORY = [{"epoch": 1.0, "loss": 0.5}]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    path = tmp_path_factory.mktemp("state") / "training.npz"
    checkpoint.save(path, model, HISTORY)
    with np.load(path) as arrays:
        return model, path, dict(arrays)


def test_a_state_is_restored(saved):
    model, path, _ = saved
    before = model.get_weights()
    model.set_weights([weight + 1 for weight in before])
    assert checkpoint.restore(path, model) == HISTORY
    for weight, restored in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(restored, weight)


@pytest.mark.parametrize(("changes", "message"), [
    ({"history": None}, "not the state"), ({"columns": None}, "not the state"),
    ({"variable-0000": None}, "not the state"), ({"more": np.zeros(1)}, "not the state"),
    ({"variable-0000": np.zeros((4, 3), np.float32)}, "another model"),
    ({"variable-0000": np.full((4, 2), "text")}, "another model"),
    ({"history": np.empty((0, 2))}, "no epochs"), ({"history": np.zeros(())}, "."),
    ({"history": np.zeros((1, 3))}, "."), ({"columns": np.zeros((2, 2))}, "."),
])
def test_a_file_of_other_arrays_is_a_store_error(saved, tmp_path, changes, message):
    model, _, arrays = saved
    weights = model.get_weights()
    path = tmp_path / "training.npz"
    np.savez(path, **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
    with pytest.raises(StoreError, match=rf"cannot resume from this file: .*{message}.*Delete it"):
        checkpoint.restore(path, model)
    for weight, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(after, weight)


def test_a_state_that_unpacks_to_more_than_it_is_or_has_no_arrays_is_a_store_error(saved, tmp_path):
    model, path, _ = saved
    for compression, content in ((zipfile.ZIP_DEFLATED, None), (zipfile.ZIP_STORED, b"no array")):
        with zipfile.ZipFile(path) as whole, \
                zipfile.ZipFile(tmp_path / "x.npz", "w", compression) as packed:
            for name in whole.namelist():
                packed.writestr(name, whole.read(name) if content is None else content)
        with pytest.raises(StoreError, match="cannot resume from this file"):
            checkpoint.restore(tmp_path / "x.npz", model)
