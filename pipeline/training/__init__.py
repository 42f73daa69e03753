"""Train and predict with Keras, from a store to scores.

``train_run``, ``predict_run``, ``task``, ``examples`` and ``fold_data`` can be imported without
TensorFlow; the other modules need it.

May import: runtime, store, dataset, batching, runs, scoring, features, models.
"""
