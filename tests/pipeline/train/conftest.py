"""Worlds to train in, and trainings that end as if killed."""

import shutil

import pytest

from pipeline.training.callbacks import EpochDisplay
from training_world import (
    TINY,
    Killed,
    World,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path).write()


@pytest.fixture
def train(call_stage, tmp_path):
    """Train with small settings in this process."""
    where = World(tmp_path).where
    return lambda *flags: call_stage("train", "--features", "mfcc", *where, *TINY, *flags)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, call_stage):
    """A world with a finished run, not to be changed; and how the training ended."""
    world = World(tmp_path_factory.mktemp("trained")).write()
    return world, call_stage("train", "--features", "mfcc", *world.where, *TINY)


@pytest.fixture
def done(trained, tmp_path):
    """A world of one's own with a finished run."""
    shutil.copytree(trained[0].root, tmp_path, dirs_exist_ok=True)
    return World(tmp_path)


@pytest.fixture
def copy_after(monkeypatch):
    """Copy a run in the middle of its training, as a kill after an epoch would leave it."""
    def copy(epoch, run, to):
        show = EpochDisplay.row

        def row(self, values, seconds, *, mark):
            show(self, values, seconds, mark=mark)
            if values["epoch"] == epoch:
                shutil.copytree(run, to)

        monkeypatch.setattr(EpochDisplay, "row", row)

    yield copy
    monkeypatch.undo()


@pytest.fixture
def kill_after(monkeypatch):
    """Make trainings end as if killed after an epoch."""
    def kill(epoch):
        def row(self, values, seconds, *, mark):
            if values["epoch"] == epoch:
                raise Killed

        monkeypatch.setattr(EpochDisplay, "row", row)

    yield kill
    monkeypatch.undo()
