"""Train and predict with Keras, from a store to scores.

``task``, ``examples`` and ``fold_data`` need no TensorFlow; the other modules do.

May import: runtime, store, dataset, batching, runs, scoring, features, models.
"""
