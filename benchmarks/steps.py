"""What a training step of a recipe's run costs on this machine, by part.

  python benchmarks/steps.py --params recipes/esc10.yaml --run cnn
  python benchmarks/steps.py --params recipes/esc10.yaml --run cnn --network.size tiny --threads 1
  python benchmarks/steps.py --params recipes/esc10.yaml --run cnn --precision float32

It takes the flags of pipeline.train, and a few of its own. Batches are random numbers in memory, so
that nothing waits for data, and no store is needed. It prints the milliseconds of a step of the
bare network (forward, backward, optimizer), of the same with the run's augmentation, of the
augmentation alone, and of scoring a batch; and the seconds that an epoch of 320 clips would take.
Parts alternate, and each is the median of --repeats.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from pipeline.batching.crops import crop_frames
from pipeline.cli.settings import parse
from pipeline.extract import Settings as ExtractSettings
from pipeline.extraction.targets import make_targets
from pipeline.runs.choice import choose_run
from pipeline.runs.recipe import Recipe, make_recipe
from pipeline.store.schema import FeatureSpec
from pipeline.train import Settings, run_entries
from pipeline.training import tensorflow_setup

CLIPS = 320
CLASSES = 10


def recipe_of(flags: list[str]) -> tuple[Recipe, FeatureSpec]:
    """The recipe of a run of train, and what its store would hold."""
    settings = parse("train", Settings, "", flags)
    extract = parse("extract", ExtractSettings, "", ["--params", str(settings.params)])
    _, entry = choose_run(settings, *run_entries())
    (target,) = make_targets(extract.named, (entry.features,), trim_db=extract.trim_db)
    return make_recipe(entry, label_mode="single", default_model="cnn"), target.spec


def median_ms(repeats: int, **parts: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds of each part, the median of alternating runs after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in parts}
    for round_ in range(repeats + 1):
        for name, part in parts.items():
            began = time.perf_counter()
            part()
            if round_:
                times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="threads of TensorFlow; all cores unless given")
    parser.add_argument("--repeats", type=int, default=9)
    arguments, flags = parser.parse_known_args()
    recipe, spec = recipe_of(flags)
    tensorflow_setup.start(arguments.threads)
    import tensorflow as tf

    from pipeline.training.network import make_model

    bare, augmented = (
        make_model(replace(recipe, augment=augment), spec, CLASSES, fold=0,
                   mean=np.zeros(spec.width), variance=np.ones(spec.width))
        for augment in ({}, recipe.augment)
    )
    rng = np.random.default_rng(0)
    shape = (recipe.batch_size, crop_frames(spec, recipe.seconds), spec.width)
    batch = {
        "features": tf.constant(rng.normal(-40, 15, shape), tf.float32),
        "targets": tf.one_hot(rng.integers(CLASSES, size=recipe.batch_size), CLASSES),
        "noisy": tf.zeros(recipe.batch_size),
    }
    step_bare, step_augmented = tf.function(bare.train_step), tf.function(augmented.train_step)

    @tf.function
    def augment() -> Any:
        result = dict(batch)
        for layer in augmented.augmentation:
            result = layer(result, training=True)
        return result["features"]

    found = median_ms(
        arguments.repeats,
        bare=lambda: float(step_bare((batch,))["loss"]),
        augmented=lambda: float(step_augmented((batch,))["loss"]),
        augmentation=lambda: augment().numpy(),
        scoring=lambda: bare.network(batch["features"], training=False).numpy(),
    )
    print(f"{recipe.precision}: {recipe.model}, {bare.network.count_params():,} parameters, "
          f"batches of {' x '.join(map(str, shape))}")
    for name, ms in found.items():
        print(f"  {name:13}{ms:8.1f} ms")
    print(f"  {CLIPS} clips   {CLIPS / recipe.batch_size * found['augmented'] / 1000:8.2f} s")


if __name__ == "__main__":
    main()
