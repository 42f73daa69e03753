"""One training on two devices gives what it gives on one. Two parts of the CPU stand for GPUs."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pipeline.runs.folder import RunFolder
from training_world import TINY, World

pytestmark = pytest.mark.slow

# Devices are split before TensorFlow uses any, so in a process of its own.
CODE = """
import json, sys
from pipeline.training import tensorflow_setup as backend
backend.start(1)
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipeline import train
from pipeline.cli.settings import parse
from pipeline.training import callbacks

row = callbacks.EpochDisplay.row

def stop_after(epoch):
    def shown(self, values, seconds, *, mark):
        row(self, values, seconds, mark=mark)
        if values["epoch"] == epoch:
            raise KeyboardInterrupt
    callbacks.EpochDisplay.row = shown

for name, n_devices, stop, flags in json.loads(sys.argv[1]):
    devices = [f"CPU:{i}" for i in range(n_devices)]
    backend.mirrored_devices = lambda devices=devices: devices
    stop_after(stop)
    try:
        train.run(parse("train", train.Settings, "", ["--run", name, *flags]))
    except KeyboardInterrupt:
        pass
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, stage_command):
    """Runs on one and two devices, with and without augmentation, and how the last process ended.
    """
    world = World(tmp_path_factory.mktemp("devices")).write()
    # No batch normalization, whose moments are of a replica's share: the sums are the same.
    plain = ["--features", "mfcc", *world.where, *TINY, "--fold", 0, "--epochs", 3, "--keep",
             "last", "--averaging", "{kind: ema}"]
    changed = [*plain, "--model", "cnn", "--network", "{size: tiny}", "--augment",
               "{time_shift: {}, mixup: {}, masks: {}}"]
    jobs = [("one", 1, 0, plain), ("two", 2, 0, plain), ("whole", 2, 0, changed),
            ("stopped", 2, 2, changed), ("stopped", 2, 0, [*changed, "--resume"]),
            ("moved", 2, 2, changed), ("moved", 1, 0, [*changed, "--resume"])]
    text = json.dumps([(*job[:3], [str(flag) for flag in job[3]]) for job in jobs])
    ended = subprocess.run([sys.executable, "-c", CODE, text], capture_output=True, text=True,
                           env=stage_command.environment)
    assert ended.returncode == 0, ended.stderr
    return world, ended.stdout


def test_two_devices_train_as_one_does(trained):
    world, said = trained
    assert said.count("2 GPUs share each batch") == 5
    scores = {}
    for name in ("one", "two"):
        folder = RunFolder(world.runs, name).fold(0)
        scores[name] = RunFolder(world.runs, name).load()[0].values
        history = np.genfromtxt(folder.history, delimiter=",", names=True)
        assert len(history) == 3
        scores[name, "loss"] = history["loss"]
    np.testing.assert_allclose(scores["two"], scores["one"], rtol=1e-4)
    np.testing.assert_allclose(scores["two", "loss"], scores["one", "loss"], rtol=1e-5)


def test_a_stopped_training_on_two_devices_goes_on_to_the_same_scores(trained):
    world, said = trained
    assert "resumes after epoch 2" in said
    whole, stopped = (RunFolder(world.runs, name).load()[0].values for name in ("whole", "stopped"))
    np.testing.assert_allclose(stopped, whole, rtol=1e-5)


def test_a_training_that_goes_on_with_fewer_devices_says_so(trained):
    _, said = trained
    assert said.count("note: begun on 2 GPUs, continued on one device: its scores") == 1
