"""Build a recipe's network, and digest what decides its scores."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from models.build import build, compile_for
from pipeline.runs.recipe import Recipe
from pipeline.runtime.errors import UsageError
from pipeline.store.schema import FeatureSpec
from pipeline.training.crop_lengths import lengths_text, network_shape
from pipeline.training.task import NetworkTask


def make_model(
    recipe: Recipe, spec: FeatureSpec, n_classes: int, *, fold: int, mean: ArrayLike,
    variance: ArrayLike,
) -> keras.Model:
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

    Raises
    ------
    UsageError
        If the model cannot take such crops or settings.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(_seed(recipe.seed, fold))
    keras.config.set_dtype_policy("mixed_float16" if recipe.mixed_precision else "float32")
    try:
        model = build(
            recipe.model, network_shape(recipe, spec), n_classes,
            labels=recipe.labels, normalization=recipe.normalization, mean=mean,
            variance=variance, channels=spec.declaration.channels,
        )
    except ValueError as error:
        raise UsageError(
            f"--model {recipe.model} on {recipe.features}, crops of "
            f"{lengths_text(recipe, spec)}: {error}"
        ) from None
    compile_for(model, recipe.labels, recipe.learning_rate)
    return model


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def network_digest(task: NetworkTask) -> str:
    """SHA-256 over the built network: layers, loss and optimizer, and the code of own classes.

    Layers are numbered, so that their names do not matter. Of a class that is not Keras' own,
    the configuration does not tell what it computes, so its code counts too, without comments and
    docstrings; functions that it calls do not. The mean and variance are made up and the same for
    every fold, with a constant feature among them, so that the rule for these is covered.
    """
    n_features = max(1, task.spec.width)
    variance = np.arange(n_features, dtype=np.float64)  # 0 for the first: constant
    model = make_model(task.recipe, task.spec, task.n_classes, fold=0,
                       mean=np.arange(n_features) - 0.5, variance=variance)
    layers = list(_all_layers(model))
    numbers = {layer.name: f"#{i}" for i, layer in enumerate(layers)}
    own = {type(part) for part in (*layers, model.loss, model.optimizer)
           if type(part).__module__.partition(".")[0] != "keras"}
    content = {
        "layers": _renamed(model.get_config(), numbers),
        "loss": _unnamed(model.loss),
        "optimizer": _unnamed(model.optimizer),
        "code": sorted(_code(each) for each in own),
    }
    text = json.dumps(content, sort_keys=True, default=lambda x: np.asarray(x).tolist())
    return hashlib.sha256(text.encode()).hexdigest()


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
