"""Start TensorFlow quietly and repeatably, and feed batches to it.

Batches go through ``tf.data.Dataset.from_generator`` with a prefetch: its own thread cuts the next
ones while the network computes, and NumPy lets go of the interpreter's lock while it copies.
Measured with benchmarks/batches.py on two busy cores, an epoch of conv2d over 1,118 MFCC crops took
5.3 s, 0.98 of the time from tensors in memory, where 0.05 either way is noise; its batches by
themselves take 0.07 s, so they cannot add more than 1.2 %. ``keras.utils.PyDataset``, with a worker
or without, came out the same. A network that does nothing but find a maximum (dummy2d) is no slower
than a copy of its input, and there an epoch takes a sixth longer either way.

Repeatable means: the same seed gives the same weights, to the bit, on one machine with one number
of threads. On a CPU TensorFlow runs independent operations side by side, and two that share the
same threads sum in a random order, ``enable_op_determinism`` or not. So on a CPU operations run
one after the other, each on all of its threads. The cost was below the noise, too.

oneDNN's kernels are switched on. TensorFlow does so by itself only on x86 processors with AVX-512
VNNI or newer; on one with AVX2 alone, a training step of ``cnn`` (tiny, 32 crops of 221 x 80) takes
213 ms with them and 378 ms without (benchmarks/steps.py, one thread).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

from pipeline.runtime.errors import UsageError
from pipeline.runtime.standard_error import held_back

_PREFETCH = 2


def start(threads: int | None = None, *, side_by_side: int = 1) -> None:
    """Import TensorFlow; to be called before anything else does.

    Parameters
    ----------
    threads : int, optional
        Threads per operation; all cores unless given.
    side_by_side : int
        Operations that may run at the same time on a CPU. More than one only where nothing is
        trained: see above. It has no effect once an operation has run.

    Raises
    ------
    UsageError
        If TensorFlow or TensorBoard is not installed.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if threads is not None:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with held_back():
            import tensorflow as tf
        if find_spec("tensorboard") is None:  # TensorFlow 2.21 does not bring it
            raise ImportError("TensorBoard is missing")
    except ImportError as error:
        raise UsageError(
            f"TensorFlow does not start ({error}); install it with: pip install '.[train]'"
        ) from None
    # Every fold's network is traced for itself, which TensorFlow warns of as a likely mistake.
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
    _exempt_imports()
    if not tf.config.list_physical_devices("GPU"):
        # Read when the first operation runs.
        os.environ["TF_NUM_INTEROP_THREADS"] = str(side_by_side)


@cache
def _exempt_imports() -> None:
    """Exempt the objects that TensorFlow and Keras consist of from garbage collection, once.

    There are a million of them, and Keras collects garbage before each network: that takes 0.3 s
    of a processor with them, and nearly nothing without.
    """
    import keras  # noqa: F401 (TensorFlow does not import all of it)

    gc.freeze()


def strategy(*, side_by_side: int) -> Any:
    """How one training is spread: over all GPUs, each with a share of every batch, or not at all.

    Folds side by side share what there is, so they are not spread. The losses that replicas sum up
    have to be divided by their number: see :class:`pipeline.training.trainer.Trainer`.

    Parameters
    ----------
    side_by_side : int
        Folds that are trained at the same time.

    Returns
    -------
    tf.distribute.Strategy
    """
    import tensorflow as tf

    devices = mirrored_devices()
    if side_by_side > 1 or len(devices) < 2:
        return tf.distribute.get_strategy()
    return _mirrored(tuple(devices))


@cache
def _mirrored(devices: tuple[str, ...]) -> Any:
    # One for all folds of a process: replicas of two would take part in each other's sums.
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)


def mirrored_devices() -> list[str]:
    """Names of the devices that may share a training: the GPUs."""
    import tensorflow as tf

    return [device.name for device in tf.config.list_logical_devices("GPU")]


def dataset(
    make: Callable[[], Iterable[tuple[Any, ...]]], *shapes: tuple[int | None, ...],
    n_batches: int | None = None,
) -> Any:
    """A ``tf.data.Dataset`` over float32 batches that a thread makes ahead of their use.

    Parameters
    ----------
    make : callable
        Gives an iterable over the batches, each a tuple of arrays.
    *shapes : tuple of int
        Of one element of each array: without the axis along the batch; None where it differs from
        batch to batch.
    n_batches : int, optional
        Where there is one epoch alone. Without it, ``fit(steps_per_epoch=…)`` takes one epoch after
        the other from a single pass of `make`.
    """
    import tensorflow as tf

    signature = tuple(tf.TensorSpec((None, *shape), tf.float32) for shape in shapes)
    result = tf.data.Dataset.from_generator(make, output_signature=signature)
    if n_batches is not None:
        result = result.apply(tf.data.experimental.assert_cardinality(n_batches))
    return result.prefetch(_PREFETCH)
