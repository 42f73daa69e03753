"""Keras models: (input shape, classes) -> keras.Model.

Importing the package registers its layers and metrics with Keras, so that
``keras.saving.load_model(path, safe_mode=True)`` reads what :mod:`models.build` built.

May import: networks.
"""

from models import layers, metrics

__all__ = ["layers", "metrics"]
