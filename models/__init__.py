"""Keras models: (input shape, classes) -> keras.Model.

Importing :mod:`models.build` registers the project's layers with Keras, so that
``keras.saving.load_model(path, safe_mode=True)`` reads what it built. The package itself imports
nothing, so that :mod:`models.names` can be read without Keras.

May import: networks, layers.
"""
