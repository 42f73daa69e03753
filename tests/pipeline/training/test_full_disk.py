"""What a training writes on a disk that is full, or as here, files that may not grow."""

import resource

import keras
import pytest

from pipeline.training import callbacks
from pipeline.training.callbacks import ScalarLog


@pytest.fixture
def limited():
    """Call a function while no file may grow beyond some bytes."""
    def call(n_bytes, function, *args):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        try:
            return function(*args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return call


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("n_bytes", [0, 200, 10_000])
def test_a_model_that_does_not_fit_names_its_file_and_leaves_the_old_one(
        tmp_path, model, limited, n_bytes):
    path = tmp_path / "model.keras"
    path.write_text("the old one")
    with pytest.raises(OSError, match="File too large") as error:
        limited(n_bytes, callbacks._save_model, path, model)
    assert error.value.filename == str(path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"model.keras": "the old one"}
    callbacks._save_model(path, model)
    assert keras.saving.load_model(path, safe_mode=True).count_params() == model.count_params()


@pytest.mark.parametrize("n_bytes", [0, 60, 100])
def test_logs_that_do_not_fit_are_an_error_of_the_system_with_their_file(
        tmp_path, model, limited, n_bytes):
    log = ScalarLog(tmp_path / "logs")
    log.set_model(model)
    with pytest.raises(OSError, match="File too large") as error:
        limited(n_bytes, log.on_epoch_end, 0, {"loss": 1.0, "val_loss": 2.0})
    assert f"{tmp_path}/logs/train/events.out.tfevents." in error.value.filename
