"""Train and predict with Keras, from a store to scores.

``train_run``, ``predict_run``, ``task``, ``examples``, ``fold_data`` and what they import can be used without
TensorFlow; the other modules need it.

May import: runtime, store, dataset, batching, runs, scoring, features, models.
"""
