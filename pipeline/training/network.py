"""Build a recipe's network, and digest what decides its scores."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from models.augmentation.table import augmentation_layers
from models.build import build
from models.losses import make_loss
from models.optimization import make_optimizer
from pipeline.runs.recipe import Recipe
from pipeline.runtime.errors import UsageError
from pipeline.store.schema import FeatureSpec
from pipeline.training.network_task import NetworkTask
from pipeline.training.trainer import Trainer, metrics_for
from pipeline.training_data.crop_lengths import lengths_text, network_shape


def make_model(
    recipe: Recipe, spec: FeatureSpec, n_classes: int, *, fold: int, mean: ArrayLike,
    variance: ArrayLike, steps_per_epoch: int = 1, strategy: Any = None,
) -> Trainer:
    """Build and compile a fold's model before its first epoch.

    Parameters
    ----------
    recipe : Recipe
    spec : FeatureSpec
    n_classes : int
    fold : int
        With the recipe's seed it decides the initial weights.
    mean, variance : array-like
        Of the training clips, as :func:`models.build.build` takes them.
    steps_per_epoch : int
        Batches per epoch, for schedules of the learning rate.
    strategy : tf.distribute.Strategy, optional
        Of the devices that hold the variables, as :func:`.tensorflow_setup.strategy` gives it.

    Raises
    ------
    UsageError
        If the model cannot take such crops or settings; lists everything that is wrong.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(_seed(recipe.seed, fold))
    keras.config.set_dtype_policy(recipe.precision)
    # Not before the session is cleared, which would forget the scope.
    with nullcontext() if strategy is None else strategy.scope():
        return _trainer(recipe, spec, n_classes, fold=fold, mean=mean, variance=variance,
                        steps_per_epoch=steps_per_epoch)


def _trainer(
    recipe: Recipe, spec: FeatureSpec, n_classes: int, *, fold: int, mean: ArrayLike,
    variance: ArrayLike, steps_per_epoch: int,
) -> Trainer:
    errors: list[str] = []
    feature = spec.declaration
    try:
        network = build(
            recipe.model, network_shape(recipe, spec), n_classes,
            labels=recipe.labels, normalization=recipe.normalization, mean=mean,
            variance=variance, channels=feature.channels, network=recipe.network,
        )
    except ValueError as error:
        errors.append(f"--model {recipe.model} on {recipe.features}, crops of "
                      f"{lengths_text(recipe, spec)}: {error}")
    try:
        augmentation = augmentation_layers(
            recipe.augment, unit=spec.units, fill=mean, seed=_seed(recipe.seed, fold, 1),
            bands=feature.channels == 1 and bool(feature.axis.hz),
        )
    except ValueError as error:
        errors += [f"on {recipe.features}: {line}" for line in str(error).splitlines()]
    losses: list[Any] = []
    for settings in (recipe.loss, recipe.noisy_loss):
        try:
            losses.append(make_loss(settings, labels=recipe.labels) if settings else losses[0])
        except ValueError as error:
            errors.append(f"--labels {recipe.labels}: {error}")
            losses.append(None)
    try:
        optimizer = make_optimizer(
            recipe.optimizer, recipe.schedule, recipe.averaging,
            learning_rate=recipe.learning_rate, steps_per_epoch=steps_per_epoch,
            epochs=recipe.epochs,
        )
    except ValueError as error:
        errors.append(str(error))
    if errors:
        raise UsageError("\n".join(errors))
    trainer = Trainer(
        network, augmentation=augmentation, loss=losses[0], noisy_loss=losses[1],
        noisy_head=recipe.noisy_head, averaging=recipe.averaging,
        metrics=metrics_for(recipe.labels),
    )
    trainer.compile(optimizer)
    return trainer


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def network_digest(task: NetworkTask) -> str:
    """SHA-256 over the built network: layers, augmentation, losses and optimizer, and own code.

    Layers are numbered, so that their names do not matter. Of a class that is not Keras' own,
    the configuration does not tell what it computes, so its code counts too, without comments and
    docstrings; functions that it calls do not. The mean and variance are made up and the same for
    every fold, with a constant feature among them, so that the rule for these is covered.
    """
    n_features = max(1, task.spec.width)
    variance = np.arange(n_features, dtype=np.float64)  # 0 for the first: constant
    trainer = make_model(task.recipe, task.spec, task.n_classes, fold=0,
                         mean=np.arange(n_features) - 0.5, variance=variance)
    layers = list(_all_layers(trainer.whole))
    numbers = {layer.name: f"#{i}" for i, layer in enumerate(layers)}
    parts = [*trainer.augmentation, trainer.curated_loss, trainer.noisy_loss, trainer.optimizer]
    own = {each for part in (*layers, *parts, *_parts_of(trainer.optimizer))
           for each in type(part).__mro__ if each.__module__.partition(".")[0] == "models"}
    content = {
        "layers": _renamed(trainer.whole.get_config(), numbers),
        "parts": [_unnamed(part) for part in parts],
        "code": sorted(_code(each) for each in own),
    }
    text = json.dumps(content, sort_keys=True, default=lambda x: np.asarray(x).tolist())
    return hashlib.sha256(text.encode()).hexdigest()


def _parts_of(optimizer: Any) -> Iterator[Any]:
    """The schedule and the inner optimizer of an optimizer, where it has them."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        yield inner
        yield from _parts_of(inner)
    schedule = getattr(optimizer, "_learning_rate", None)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        yield schedule


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)


def _renamed(content: Any, numbers: dict[str, str]) -> Any:
    if isinstance(content, str):
        return numbers.get(content, content)
    if isinstance(content, dict):
        return {key: _renamed(value, numbers) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_renamed(value, numbers) for value in content]
    return content


def _unnamed(part: Any) -> dict[str, Any]:
    content = keras.saving.serialize_keras_object(part)
    content["config"].pop("name", None)  # numbered by the objects of its kind so far
    return content


def _code(each: type) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
